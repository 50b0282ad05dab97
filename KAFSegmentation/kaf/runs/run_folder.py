"""The folder of a run: what was asked, what happened, what came out."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from kaf.runs.cli_runs import LOCK, WORDS, run_words
from kaf.runs.earlier import BACK, WAITING, EarlierRun, check_replaceable, has_checkpoint, own_content
from kaf.runs.layout import TRAINING
from kaf.runtime import locks
from kaf.runtime.errors import Cancelled, InputError, ModelError, OutputError, SettingsError
from kaf.runtime.events import Error, Message, OnEvent, ignore, to_json
from kaf.runtime.files import atomic_write, write_problem
from kaf.settings.base import Settings

_EVENTS = "events.jsonl"


class RunFolder:
    """``settings.json``, ``events.jsonl`` and whatever the verb adds, in one folder.

    A folder that is in use is refused unless ``resume`` (go on with it) or ``overwrite`` (replace the run in it), and
    in any case while another process works in it.  Of several processes the first one ``leads``; the others write
    nothing.  The files of a job that runs it (``kaf.runs.job_folder``) are left alone.

    ``overwrite``: only a run may be replaced, only where nothing else is in the folder, and never where what
    the new run reads lies in it or around it.  The earlier run is kept aside (:mod:`kaf.runs.earlier`) until
    :meth:`checkpointed`, and is put back where the new one fails before that.
    """

    def __init__(self, path: Path, settings: Settings, resume: bool, overwrite: bool, leads: bool = True):
        self.path = path
        self._earlier = EarlierRun(path)
        self._events: IO[str] | None = None
        self._tell: OnEvent = ignore
        self._new = self._made = False
        self._lock: IO[bytes] | None = None
        if not leads:
            return
        if resume and not path.is_dir():
            raise self._nothing()
        try:
            self._made = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            self._lock = locks.take(path / LOCK, wait=1.0)
            if self._lock is None:
                raise OutputError(path, "is in use by another process",
                                  "Wait for it or stop it, or choose another folder.")
            self._take_over(settings, resume, overwrite)
            if (path / _EVENTS).exists() and not (path / _EVENTS).is_file():  # a named pipe waits for its reader
                raise OutputError(path / _EVENTS, "is not a regular file", "Remove it, or choose another folder.")
            _write_json(path / "settings.json", settings.model_dump(mode="json"))  # first: it makes this a run folder
            if self._new:
                _write_json(path / WORDS, run_words(settings.verb(), time.time()))
            self._events = (path / _EVENTS).open("a", encoding="ascii")
        except BaseException as error:
            self._give_back_earlier()
            self._release()
            if isinstance(error, OSError):
                raise OutputError(path, *write_problem(error)) from error
            raise

    def _take_over(self, settings: Settings, resume: bool, overwrite: bool) -> None:
        """Have the folder as the new run needs it, whatever killed processes have left there."""
        state = self._earlier.settle()
        begun = (self.path / "settings.json").is_file()
        if state == WAITING and overwrite:
            self._earlier.remove_new()
        elif state == WAITING and not (resume and begun):
            self._earlier.put_back()
            state = BACK
        if state == BACK and resume:
            raise OutputError(self.path, "contains the earlier run again: the run that was to replace it ended before "
                              "it started", "Resume the earlier run (--resume), or start over (--overwrite).")
        used = bool(own_content(self.path))
        if used and not (self.path / "settings.json").is_file():
            raise OutputError(self.path, "contains other files", "Choose an empty or a new folder.")
        if used and not (resume or overwrite):
            raise OutputError(self.path, "already contains a run",
                              "Resume it (--resume), replace it (--overwrite), or choose another folder.")
        if resume and not used:
            raise self._nothing()
        self._new = not resume
        if used and overwrite:
            check_replaceable(self.path, settings)
            self._earlier.put_aside()

    def _nothing(self) -> OutputError:
        return OutputError(self.path, "contains no run to resume", "Check the folder, or start without --resume.")

    def checkpointed(self) -> None:
        """The run has written a checkpoint: what it replaces may go."""
        if self._lock is not None:
            self._earlier.drop()

    def write_json(self, name: str, values: Any) -> None:
        if self._events is not None:
            _write_json(self.path / name, values)

    def recording(self, on_event: OnEvent) -> OnEvent:
        """``on_event`` that also appends every event to events.jsonl; nothing where another process leads."""
        def send(event: Any) -> None:
            if self._events is not None:
                self._events.write(to_json(event) + "\n")
                self._events.flush()
                on_event(event)

        self._tell = on_event
        if self._events is not None and self._earlier.waits:
            send(Message(f"The earlier run is kept in {self._earlier.path} until this one has a checkpoint."))
        return send

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._events is not None:
            if error is not None:
                self._say_last(error)
            self._events.close()
            if error is None or has_checkpoint(self.path):
                self._earlier.drop()
            elif self._new and not self._give_back_earlier() and \
                    isinstance(error, (InputError, SettingsError, ModelError)):
                with suppress(OSError):
                    TRAINING.remove(self.path, keep=(LOCK,))  # nothing to go on with
        self._release()

    def _give_back_earlier(self) -> bool:
        """Put the run back that this one was to replace; whether there is one.  A run that is gone on with may be gone
        on with again: its earlier one keeps waiting."""
        if not (self._new and self._earlier.waits):
            return False
        with suppress(OSError):  # the next one who opens the folder tries again
            self._earlier.put_back()
            self._tell(Message(f"{self.path} contains the earlier run again.", "warning"))
        return True

    def _release(self) -> None:
        if self._lock is not None:
            locks.give_back(self._lock, self.path / LOCK)
        if self._made and not (self.path / "settings.json").exists():
            with suppress(OSError):  # a job's files are in it, or it has gone
                self.path.rmdir()

    def _say_last(self, error: BaseException) -> None:
        """The error that ends the run, for those who only look at its files."""
        if isinstance(error, KeyboardInterrupt):
            error = Cancelled(self.path)
        assert self._events is not None
        with suppress(OSError):
            self._events.write(to_json(Error.of(error)) + "\n")


def _write_json(path: Path, values: Any) -> None:
    atomic_write(path, json.dumps(values, indent=1, sort_keys=True) + "\n", overwrite=True)
