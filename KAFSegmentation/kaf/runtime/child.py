"""The worker as a child process: pipes that never block the caller, an end that takes the whole process tree, and a
message that says why it died.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kaf.runtime.errors import WorkerError
from kaf.runtime.logs import header, last_line
from kaf.runtime.processes import end_tree, exit_name, own_group

_SHORT_OF_MEMORY = (
    "Close other programs, crop the volume to the region you need or choose a smaller batch."
)
_AGAIN = "Run it again; a new worker is started. If it happens again, please report it with the log."
# What each signal or Windows status usually means: (what happened, what to do).
_DEATHS = {
    "SIGKILL": ("was killed, most often by the system because memory ran out", _SHORT_OF_MEMORY),
    "SIGBUS": (
        "lost its memory-mapped voxels, most often because the temporary disk is full",
        "Free space in the temporary folder (or point TMPDIR at a larger disk) and run it again.",
    ),
    "SIGILL": (
        "used an instruction that this CPU does not support",
        "Install a build of torch (and of the other libraries in the log) built for this CPU.",
    ),
    "SIGSEGV": ("crashed with a memory fault inside a compiled library", _AGAIN),
    "SIGABRT": ("was aborted by a compiled library", _AGAIN),
    "SIGTERM": ("was terminated by another program", "Run it again; a new worker is started."),
    "0xC0000005": ("crashed with a memory fault inside a compiled library", _AGAIN),
    "0xC0000374": ("crashed with a memory fault inside a compiled library", _AGAIN),
    "0xC0000017": ("ran out of memory", _SHORT_OF_MEMORY),
    "0xC000012D": ("ran out of memory", _SHORT_OF_MEMORY),
    "0xC000001D": (
        "used an instruction that this CPU does not support",
        "Install a build of torch (and of the other libraries in the log) built for this CPU.",
    ),
}


class Child:
    """One running worker.

    A thread reads its stdout into :attr:`lines` (bytes without the line end; None after the last), another
    writes what :meth:`send` was given, so that neither a full pipe nor a wedged worker ever holds the caller.

    Args:
        command: the program and its arguments.
        environment: the whole environment of the process.
        log: file that takes its stderr, appended to.

    Raises:
        WorkerError: the program cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path):
        self.command, self.log = list(command), log
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        self.ready = self._ended = False
        self.started = self.last_output = time.monotonic()
        self._outbox: queue.Queue[bytes | None] = queue.Queue()
        with log.open("ab") as errors:
            errors.write(header(self.command))
            errors.flush()
            self._log_start = errors.tell()
            try:
                self._popen = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                    env=dict(environment), **own_group(),
                )
            except OSError as error:
                raise WorkerError(
                    self.command[0], f"cannot be started ({error.strerror or error})",
                    "Give the path of a Python interpreter that has the packages KAF needs.",
                ) from error
        self._reader = threading.Thread(target=self._read, name="kaf-worker-reader", daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, name="kaf-worker-writer", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id of what was started: the worker, or the launcher in front of it."""
        return self._popen.pid

    def exited(self) -> bool:
        """True once the process has ended."""
        return self._popen.poll() is not None

    @property
    def subject(self) -> str:
        """What a message about this process is about."""
        return self.command[0]

    def send(self, line: str) -> None:
        """Hands over one line of ASCII; returns at once, also when the worker does not listen."""
        self._outbox.put(line.encode("ascii") + b"\n")

    def kill(self, patience: float = 0.0) -> None:
        """Ends the process and everything it started; returns when it is gone.

        Args:
            patience: seconds that it is given to end by itself, when it is known to be ending.
        """
        if self._ended:  # its number may be somebody else's by now
            return
        if patience:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(patience)
        # The group outlives a leader that has died, so it is ended even when the process has exited; its number may be
        # somebody else's then.
        end_tree(None if self.exited() else self.pid, self.pid)
        with contextlib.suppress(OSError):
            self._popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5)
        self._ended = True
        self._outbox.put(None)
        self._reader.join(2)
        if self._reader.is_alive():  # a descendant that left the group still holds the pipe
            self.lines.put(None)

    def note(self, words: str) -> None:
        """Adds a line to the log."""
        with contextlib.suppress(OSError), self.log.open("ab") as log:
            log.write(words.encode("utf-8", "backslashreplace") + b"\n")

    def why_it_died(self, subject: str) -> WorkerError:
        """Why it died, as a message; to be called when it is dead.

        Args:
            subject: what it was doing, for the head of the message.
        """
        code = self._popen.poll()
        name = "still ending" if code is None else exit_name(code)
        happened, remedy = _DEATHS.get(name, ("ended unexpectedly", _AGAIN))
        if not self.ready:
            happened = "could not start" if name not in _DEATHS else f"could not start: it {happened}"
            last = last_line(self.log, self._log_start)
            happened += f'; the last line of its log is "{last}"' if last else ""
            remedy = "Check that this Python works and has the packages KAF needs."
        return WorkerError(subject, f"the worker {happened} ({name})", f"{remedy} The log is {self.log}.")

    def _next(self) -> bytes | None:
        """The next line to write, waited for; None for the end."""
        return self._outbox.get()

    def _parts(self, line: bytes) -> Iterable[bytes]:
        """What is written for a line, on the writer's thread."""
        return (line,)

    def _taken(self, line: bytes) -> Iterable[bytes]:
        """What a line of the worker is worth to the client, on the reader's thread."""
        return (line,)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            for line in pipe:
                self.last_output = time.monotonic()
                for taken in self._taken(line.rstrip(b"\r\n")):
                    self.lines.put(taken)
        self.lines.put(None)

    def _write(self) -> None:
        assert self._popen.stdin is not None
        pipe = self._popen.stdin
        # A broken pipe is no news here: the reader sees the death and tells it.
        with contextlib.suppress(OSError):
            for line in iter(self._next, None):
                for part in self._parts(line):
                    pipe.write(part)
                    pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()
