"""The folder of a run: what was asked, what happened, what came out."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from kaf import locks
from kaf.errors import Cancelled, InputError, KafError, ModelError, OutputError, SettingsError
from kaf.events import Error, OnEvent, to_json
from kaf.files import atomic_write, write_problem
from kaf.jobs import folder as job_folder
from kaf.jobs.foreign import LOCK, WORDS, run_words
from kaf.settings import Settings


class RunFolder:
    """``settings.json``, ``events.jsonl`` and whatever the verb adds, in one folder.

    A folder that is in use is refused unless ``resume`` (go on with it) or ``overwrite`` (empty it first), and in any
    case while another process works in it.  Of several processes the first one ``leads``; the others write nothing.
    The files of a job that runs it (``kaf.jobs.folder``) are left alone.
    """

    def __init__(self, path: Path, settings: Settings, resume: bool, overwrite: bool, leads: bool = True):
        self.path = path
        self._events: IO[str] | None = None
        self._new = False
        self._lock: IO[bytes] | None = None
        if not leads:
            return
        # A hidden name is that of a file that was being written when a run was killed.
        used = path.is_dir() and bool(_content(path))
        self._new = not used or overwrite
        if used and not (path / "settings.json").is_file():
            raise OutputError(path, "is a folder with other files in it", "Choose an empty or a new folder.")
        if used and not (resume or overwrite):
            raise OutputError(path, "already holds a run",
                              "Go on with it (--resume), start again in it (--overwrite), or choose another folder.")
        elif resume and not used:
            raise OutputError(path, "holds no run to go on with", "Check the folder, or start without --resume.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = locks.take(path / LOCK, wait=1.0)
            if self._lock is None:
                raise OutputError(path, "another process is at work in this run folder",
                                  "Wait for it or stop it, or choose another folder.")
            if used and overwrite:
                _empty(path)
            _write_json(path / "settings.json", settings.model_dump(mode="json"))  # first: it makes this a run folder
            if self._new:
                _write_json(path / WORDS, run_words(settings.verb(), time.time()))
            self._events = (path / "events.jsonl").open("a", encoding="ascii")
        except OSError as error:
            raise OutputError(path, *write_problem(error)) from error

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
        return send

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._events is not None:
            if error is not None:
                self._say_last(error)
            self._events.close()
            began = (self.path / "checkpoints").exists()
            if self._new and not began and isinstance(error, (InputError, SettingsError, ModelError)):
                _empty(self.path)  # nothing to go on with
        if self._lock is not None:
            locks.give_back(self._lock, self.path / LOCK)
            if not (self.path / "settings.json").exists():
                with suppress(OSError):  # a job's files are in it, or it has gone
                    self.path.rmdir()

    def _say_last(self, error: BaseException) -> None:
        """The error that ends the run, for those who only look at its files."""
        if isinstance(error, KeyboardInterrupt):
            error = Cancelled(self.path)
        words = str(error) if isinstance(error, KafError) else f"{type(error).__name__}: {error}"
        assert self._events is not None
        with suppress(OSError):
            self._events.write(to_json(Error(words, type(error).__name__)) + "\n")


def _content(path: Path) -> list[Path]:
    """What is in a folder, but for the files of a job and hidden ones: those that a killed run was just writing."""
    return [file for file in path.iterdir() if not file.name.startswith(".") and file.name != job_folder.NAME]


def _empty(path: Path) -> None:
    """Take everything out of a run folder."""
    for file in _content(path):
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)


def _write_json(path: Path, values: Any) -> None:
    atomic_write(path, json.dumps(values, indent=1, sort_keys=True) + "\n", overwrite=True)
