"""The folder of a run: what was asked, what happened, what came out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from kaf.errors import InputError, ModelError, OutputError, SettingsError
from kaf.events import OnEvent, to_json
from kaf.files import atomic_write
from kaf.settings import Settings


class RunFolder:
    """``settings.json``, ``events.jsonl`` and whatever the verb adds, in one folder.

    A folder that is in use is refused unless ``resume`` (go on with it) or ``overwrite`` (empty it first).  Of
    several processes the first one ``leads``; the others write nothing.
    """

    def __init__(self, path: Path, settings: Settings, resume: bool, overwrite: bool, leads: bool = True):
        self.path = path
        self._events: IO[str] | None = None
        self._new = False
        if not leads:
            return
        # A hidden name is that of a file that was being written when a run was killed.
        used = path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir())
        self._new = not used or overwrite
        if used and not (path / "settings.json").is_file():
            raise OutputError(path, "is a folder with other files in it", "Choose an empty or a new folder.")
        if used and overwrite:
            shutil.rmtree(path)
        elif used and not resume:
            raise OutputError(path, "already holds a run",
                              "Go on with it (--resume), start again in it (--overwrite), or choose another folder.")
        elif resume and not used:
            raise OutputError(path, "holds no run to go on with", "Check the folder, or start without --resume.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_json(path / "settings.json", settings.model_dump(mode="json"))  # first: it makes this a run folder
            self._events = (path / "events.jsonl").open("a", encoding="ascii")
        except OSError as error:
            raise OutputError(path, f"cannot be written ({error.strerror})",
                              "Choose a folder that you can write to.") from error

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
            self._events.close()
            began = (self.path / "checkpoints").exists()
            if self._new and not began and isinstance(error, (InputError, SettingsError, ModelError)):
                shutil.rmtree(self.path, ignore_errors=True)  # nothing to go on with


def _write_json(path: Path, values: Any) -> None:
    atomic_write(path, json.dumps(values, indent=1, sort_keys=True) + "\n", overwrite=True)
