"""The child that does a job: ``python -m kaf.cli.job_process FOLDER ATTEMPT``: what :mod:`kaf.runs.launch` wrote there.

It waits for its turn, runs the command as the command line would, listens for a request to stop, and always
records how it ended.  Nothing heavy is imported before its turn has come.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from kaf.cli import entry as cli
from kaf.runs.command_line import positionals
from kaf.runs.job_folder import JobFolder, process_start
from kaf.runs.queue import Place
from kaf.runtime import locks
from kaf.runtime import processes as job_process
from kaf.runtime.errors import Cancelled, KafError, OutputError
from kaf.runtime.events import Error, Result, from_json, to_json
from kaf.runtime.files import open_to_append, write_problem
from kaf.runtime.plain_text import plain_lines

_LOOK = 0.2  # seconds between two looks for the wish to stop


class EventStream(io.TextIOBase):
    """The stdout of the command: its lines go to the file of events; the last result or error is kept too, because the
    disk may be full."""

    def __init__(self, path: Path):
        self._file = open_to_append(path, encoding="utf-8", errors="backslashreplace", buffering=1)
        self._line = ""
        self.last: Error | Result | None = None

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                event = from_json(line)
                self.last = event if isinstance(event, (Error, Result)) else None
        self._file.write(text)
        return len(text)

    def flush(self) -> None:
        self._file.flush()


class Listener(threading.Thread):
    """Waits for the wish to stop: a Ctrl-C for the command, and, when its grace is over, the end by force."""

    def __init__(self, work: Work):
        super().__init__(name="kaf-stop", daemon=True)
        self._work = work

    def run(self) -> None:
        while (grace := self._wish()) is None:
            time.sleep(_LOOK)
        if sys.platform == "win32":
            signal.raise_signal(signal.SIGINT)  # which wakes the main thread there, interrupt_main() does not
        else:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
        time.sleep(grace)
        error = Cancelled(self._work.files.run, f"did not stop within {grace:g} s and was killed",
                          "Resume it from the last checkpoint with --resume.")
        self._work.end(1, Error.of(error))
        job_process.end_tree(os.getpid(), self._work.group)

    def _wish(self) -> float | None:
        """Seconds of grace, once somebody asks this attempt to stop."""
        with contextlib.suppress(OSError, ValueError):
            attempt, grace = self._work.files.wish()
            if attempt == self._work.attempt:
                return float(grace)
        return None


class Work:
    """One attempt at a job.

    Raises:
        OutputError: another attempt has the folder, or has been asked for meanwhile.  Where the lock is not handed over
            (Windows), somebody may start a job between the start of this process and its own lock; the last one counts.
    """

    def __init__(self, run: Path, attempt: str):
        self.files = JobFolder(run)
        self.attempt = attempt
        self._lock = None if self._was_handed() else self._take_lock()
        self.asked = self.files.read()
        last = self.asked["attempts"][-1]
        if last["id"] != attempt:
            raise OutputError(run, "the job was started once more meanwhile", "Look at it again.")
        self.started = float(last["started"])
        self.group = os.getpid() if sys.platform == "win32" else os.getpgrp()
        self._who = {"id": self.attempt, "pid": os.getpid(), "group": self.group, "host": socket.gethostname(),
                     "began": process_start(os.getpid())}
        self._over = threading.Lock()

    def _was_handed(self) -> bool:
        """Whether the lock came with the process, as it does but on Windows and through launchers that close files."""
        with contextlib.suppress(OSError, ValueError):
            number = int(os.environ.pop(job_process.LOCK, ""))
            return locks.INHERITED and os.path.samestat(os.fstat(number), self.files.lock.stat())
        return False

    def _take_lock(self) -> IO[bytes]:
        """The lock, which is this process's from here on."""
        lock = locks.take(self.files.lock, wait=5.0)
        if lock is None:
            raise OutputError(self.files.run, "is in use by another process", "Stop that process, or wait for it.")
        return lock

    def say(self, phase: str, **more: Any) -> None:
        """Write down how far it is."""
        self.files.write_child(**self._who, phase=phase, **more)

    def end(self, code: int, outcome: Error | Result | None) -> None:
        """Record how the attempt ended; the first record counts."""
        if self._over.acquire(blocking=False):
            error = outcome if isinstance(outcome, Error) else None
            self.say("ended", code=code, kind=error.kind if error else "", error=error.text if error else "")

    def run(self) -> int:
        """Do it; the exit code."""
        stream = None
        try:
            os.chdir(self.asked.get("place", "."))  # paths in the settings may be relative to where it was asked for
            if self.asked["queue"]:
                self.say("queued")
                place = Place(self.asked["queue"], f"{self.started:017.3f}-{self.attempt}")
                place.wait(lambda ahead: self.say("queued", ahead=ahead))
            self.say("running")
            stream = EventStream(self.files.events)
            with contextlib.redirect_stdout(stream):
                verb, values = self.asked["verb"], self.asked["values"]
                code = cli.main([verb, *positionals(verb, values), "--settings", str(self.files.settings), "--events"],
                                self.files.log)
            outcome: Error | Result | None = stream.last
        except KeyboardInterrupt:
            code, outcome = 1, error_event(Cancelled())
            if stream is not None and isinstance(stream.last, Result):  # it was over
                code, outcome = 0, stream.last
        except OSError as error:
            code, outcome = 1, error_event(OutputError(error.filename or self.files.run, *write_problem(error)))
        except BaseException as error:
            traceback.print_exc()
            code, outcome = 1, error_event(KafError(
                f"kaf {self.asked['verb']}", f"met an unexpected error ({type(error).__name__}: {error})",
                f"Please report it with the log {self.files.log}."))
        if stream is not None and code and isinstance(stream.last, Error):
            outcome = stream.last
        elif isinstance(outcome, Error):
            with contextlib.suppress(OSError, ValueError), open_to_append(self.files.events, encoding="ascii") as file:
                file.write(to_json(outcome) + "\n")
        self.end(code, outcome)
        return code


def error_event(error: KafError) -> Error:
    """The error as an event; it is printed on stderr, too."""
    print(plain_lines(f"kaf: {error}"), file=sys.stderr)
    return Error.of(error)


def main() -> None:
    """Entry of the process."""
    try:
        work = Work(Path(sys.argv[1]), sys.argv[2])
    except OutputError as error:  # which is another attempt's business
        print(plain_lines(f"kaf: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    work.say("starting")
    stop = cli.Stop()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    Listener(work).start()
    code = work.run()
    os._exit(code)  # tearing torch down takes half a second


if __name__ == "__main__":
    main()
