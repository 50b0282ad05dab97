"""A run in a folder, whoever started it: its state, events, words; stopping it and going on with it.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaf.runs import cli_runs as job_foreign
from kaf.runs.command_line import command
from kaf.runs.job_folder import FORMAT, JobFolder, read_json
from kaf.runs.launch import launch
from kaf.runs.tail import Tail, read_events
from kaf.runtime import locks
from kaf.runtime import processes as job_process
from kaf.runtime.errors import InputError, KafError, OutputError
from kaf.runtime.events import Error, Event, Progress, Result
from kaf.runtime.files import write_problem
from kaf.runtime.logs import last_line

VERBS = ("pretrain", "finetune", "compare", "evaluate", "select")
QUEUED, STARTING, RUNNING, STOPPING = "queued", "starting", "running", "stopping"
FINISHED, FAILED, STOPPED, LOST = "finished", "failed", "stopped", "lost"
ALIVE = (QUEUED, STARTING, RUNNING, STOPPING)
"""States of a job whose process lives."""
GRACE = 60.0
"""Seconds that a job is given to keep a checkpoint when it is stopped."""
_RESUMED = ("pretrain", "finetune")  # the others go on by themselves
_OVERDUE = 2.0
_PATIENCE = 60.0  # seconds for a process to begin, where its lock cannot be handed to it


class Job:
    """A run in a folder, whoever started it; all that it tells comes from the files there.

    Raises:
        InputError: the folder contains no run.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._files = JobFolder(self.folder)
        self._read()
        if self.is_foreign and not job_foreign.is_run(self.folder):
            raise InputError(self.folder, "contains no run", "Choose the folder of a run.")

    def _read(self) -> None:
        self._stamp = self._stamp_now()
        self.is_foreign = self._stamp is None
        """Whether it was started elsewhere: on the command line, by a cluster, by an older version."""
        self.verb, self.queue = "", ""
        self.values: dict[str, Any] = {}
        self.note, self._usable = "", True
        """A sentence where another version made the run, or its files are damaged."""
        attempt: dict[str, Any] = {}
        if self.is_foreign:
            self.verb = job_foreign.verb_of(self.folder)
            self.note, self._usable = job_foreign.version_of(self.folder)
            self.values = job_foreign.values_of(self.folder)
            self.created = self.started = job_foreign.created(self.folder)
        else:
            try:
                asked = self._files.read()
                attempt = asked["attempts"][-1]
                self.verb, self.queue = str(asked["verb"]), str(asked["queue"])
                self.values = dict(asked["values"])
                self.created, self.started = float(asked["created"]), float(attempt["started"])
                self.note, self._usable = job_foreign.version(asked.get("version"), asked.get("format"), FORMAT)
            except ValueError:
                self.created = self.started = job_foreign.created(self._files.path)
                self.note, self._usable = f"The description of this job is damaged: {self._files.job}.", False
        self._attempt = str(attempt.get("id", ""))
        events = self.folder / "events.jsonl" if self.is_foreign else self._files.events
        self._tail = Tail(events, int(attempt.get("offset", 0)))

    def _stamp_now(self) -> int | None:
        """Changes when somebody starts it anew; None for a run that is no job."""
        try:
            return self._files.job.stat().st_mtime_ns
        except OSError:
            return None

    @property
    def command(self) -> str:
        """The same run as a line for a terminal."""
        return command(self.verb, self.values)

    @property
    def log(self) -> Path:
        """What the process and its libraries print."""
        return self._files.log

    @property
    def model(self) -> Path | None:
        """The finished model of a training."""
        path = self.folder / "model.safetensors"
        return path if path.is_file() else None

    @property
    def has_checkpoint(self) -> bool:
        """Whether a resumed training goes on from somewhere, and does not begin again."""
        return any((self.folder / "checkpoints").glob("checkpoint-*.safetensors"))

    @property
    def learning_rate(self) -> float | None:
        """That of the last attempt, where it is known."""
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
            return float(read_json(self.folder / "settings.json")["learning_rate"])
        return None

    def state(self) -> str:
        """queued, starting, running, stopping; finished, failed, stopped (on request), lost (ended unexpectedly)."""
        job_process.reap()
        if self._stamp_now() != self._stamp:
            self._read()
        if self.is_foreign:
            return self._foreign_state()
        child = self._child()
        if child.get("phase") == "ended":
            return self._ended(child.get("code"), child.get("kind"))
        alive = self._files.is_alive(child)
        if alive is None:  # on another computer, or not begun, and there is no lock to tell
            alive = bool(child) or time.time() - self.started < _PATIENCE
        elif not alive and self._attempt and not child and not locks.INHERITED:
            alive = time.time() - self.started < _PATIENCE and not job_process.has_ended(self._files.log)
        stopping = self._asked_to_stop()
        if not alive:
            again = self._child()  # it may have ended between the two looks
            if again.get("phase") == "ended":
                return self._ended(again.get("code"), again.get("kind"))
            return STOPPED if stopping else LOST
        if stopping:
            return STOPPING
        return str(child.get("phase", STARTING))

    @staticmethod
    def _ended(code: object, kind: object) -> str:
        return FINISHED if code == 0 else STOPPED if kind == "Cancelled" else FAILED

    def _foreign_state(self) -> str:
        if locks.is_held(self.folder / job_foreign.LOCK):
            return RUNNING
        if self.verb == "compare":
            return job_foreign.compare_state(self.folder)
        ending = self._tail.look().ending
        if isinstance(ending, Error):
            return self._ended(1, ending.kind)
        return FINISHED if isinstance(ending, Result) or self.model else LOST

    def _child(self) -> dict[str, Any]:
        """What the child of the last attempt wrote."""
        child = self._files.read_child()
        return child if child.get("id") == self._attempt else {}

    def _asked_to_stop(self) -> bool:
        return self._files.wish()[:1] == [self._attempt]

    def events(self, since: int = 0) -> tuple[list[Event], int]:
        """The events after byte ``since`` and the byte to go on from; a half-written line is left for later.

        After a resumed attempt the steps of metrics may begin again before the last ones: the later count.
        """
        return read_events(self._tail.path, since)

    def progress(self) -> Progress | None:
        """How far the present attempt is."""
        return self._tail.look().progress

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end of the present stage; None where that is not known, or nothing is running."""
        progress = self.progress()
        return progress.seconds_left if progress is not None and self.state() == RUNNING else None

    @property
    def ahead(self) -> int:
        """How many jobs are before this one in its queue."""
        return int(self._child().get("ahead", 0)) if self.state() == QUEUED else 0

    @property
    def error(self) -> str:
        """Why it failed or was lost, as a message for the user; nothing where all is well."""
        state = self.state()
        if state not in (FAILED, LOST):
            return ""
        words = str(self._child().get("error", ""))
        ending = self._tail.look().ending
        if words or isinstance(ending, Error):
            return words or ending.text  # type: ignore[union-attr]
        last = last_line(self.log)
        said = f'; the last line of its log is "{last}"' if last else ""
        begun = self._child() or self.is_foreign
        happened = "ended unexpectedly, as when the computer is switched off or runs out of memory" if begun else \
            "could not start"
        then = "Check that its Python works and has the packages KAF needs." if not begun else self._way_out()
        log = "" if self.is_foreign else f" The log is {self.log}."
        return f"{self.folder}: the process {happened}{said}. {then}{log}"

    @property
    def error_kind(self) -> str:
        """The class of the error that ended it, e.g. DivergedError; nothing where all is well, or where it was lost."""
        if self.state() != FAILED:
            return ""
        ending = self._tail.look().ending
        return str(self._child().get("kind", "")) or (ending.kind if isinstance(ending, Error) else "")

    def _way_out(self) -> str:
        if not self._usable:
            return self.note
        if self.verb not in _RESUMED:
            return "Resume it: what is finished is kept."
        return "Resume it: it continues from its last checkpoint." if self.has_checkpoint else \
            "Resume it: it starts over, because no checkpoint had been written yet."

    def stop(self, grace: float = GRACE) -> None:
        """Ask it to stop; it keeps a checkpoint.  Returns at once; after ``grace`` seconds it is ended by force.

        It ends itself then; one that is stuck too deep for that is killed by asking once more.

        Raises:
            KafError: it was not started as a job.
            OutputError: the folder cannot be written.
        """
        state = self.state()
        if state not in ALIVE:
            return
        if self.is_foreign:
            raise KafError(self.folder, "was not started from here", "Stop it where it was started.")
        if state == STOPPING:
            if self._overdue():
                self.kill()
            return
        try:
            self._files.asked_to_stop.write_text(f"{self._attempt} {grace:g}", "ascii")
        except OSError as error:
            raise OutputError(self.folder, *write_problem(error)) from error

    def _overdue(self) -> bool:
        with contextlib.suppress(OSError, ValueError, IndexError):
            grace = float(self._files.wish()[1])
            return time.time() - self._files.asked_to_stop.stat().st_mtime > grace + _OVERDUE
        return False

    def kill(self) -> None:
        """Kill it, with all that it started; what its last checkpoint holds is kept.  Only for a job."""
        child = self._child()
        if self._files.is_alive(child) and child.get("phase") != "ended":
            with contextlib.suppress(OSError):
                self._files.asked_to_stop.write_text(f"{self._attempt} 0", "ascii")
            if child:
                job_process.end_tree(int(child["pid"]), int(child.get("group", 0)))

    def _has_the_earlier_run(self) -> bool:
        """Whether the run in the folder is still the one that this job was asked to replace."""
        return bool(self.values.get("overwrite")) and job_foreign.created(self.folder) < self.created

    @property
    def can_resume(self) -> bool:
        """Whether :meth:`resume` would go on with it."""
        return self._usable and self.verb in VERBS and self.state() in (STOPPED, FAILED, LOST)

    def resume(self, python: str | os.PathLike[str] | None = None, queue: str | None = None,
               env: Mapping[str, str | None] | None = None) -> Job:
        """Go on with a run that was stopped, failed or lost, from its last checkpoint; returns at once.

        python: the interpreter; this one unless given.  Never the one that the folder names: a run may come from
            somebody else.

        Raises:
            KafError: it is running, is finished, or is another version's.
            OutputError: the folder cannot be written.
            WorkerError: the interpreter cannot be started.
        """
        state = self.state()
        if not self.can_resume:
            raise KafError(self.folder, f"is {state} and cannot be resumed", self.note or "Start a new run.")
        values = {name: value for name, value in self.values.items() if name not in ("resume", "overwrite")}
        values["output"] = str(self.folder.absolute())
        if self.verb in _RESUMED and (self.folder / "settings.json").is_file():
            values["overwrite" if self._has_the_earlier_run() else "resume"] = True
        if self.verb in ("evaluate", "select"):
            values["overwrite"] = True
        launch(self.folder, os.fspath(python or sys.executable or "python"), self.verb, values,
               self.queue if queue is None else queue, env, again=True)
        return Job(self.folder)
