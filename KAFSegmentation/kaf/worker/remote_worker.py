"""The worker at the other end of a connection: the same requests, and their files come and go through the same pipe.

What arrives lies in a private folder, which goes with the worker; nothing is kept on this computer, and no path of it
reaches the other one.  A model is taken from the library here where that has the same weights and card, else it comes
with the request.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from kaf.modelfile.library import list_models
from kaf.runtime import json_files
from kaf.runtime.errors import KafError, ResourceError
from kaf.runtime.events import Error, Event, Result, to_dict
from kaf.runtime.files import remove
from kaf.runtime.temporary import Scratch
from kaf.worker.array_transfer import plain
from kaf.worker.file_lines import checked_name, file_lines, is_part, keep_part, replaced
from kaf.worker.process import Worker

SILENCE = 300.0
"""Seconds without a line, be it an empty one, after which the other computer counts as gone."""


class RemoteWorker(Worker):
    """Serves a client on another computer; the arguments are those of :class:`Worker`."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO, verbs: dict[str, str], own_group: bool = False):
        super().__init__(requests, answers, verbs, own_group)
        self._scratch = Scratch()
        self._folder = self._scratch.path
        self._models = {entry.card.key: (entry.path, entry.name) for entry in list_models()}
        self._failed: dict[int, KafError] = {}
        self._called: dict[str, str] = {}  # path here -> what the other computer calls it
        self._heard = time.monotonic()
        threading.Thread(target=self._listen_for_life, name="kaf-alive", daemon=True).start()

    def _greeting(self) -> dict[str, Any]:
        return {**super()._greeting(), "models": sorted(self._models)}

    def _take(self, line: bytes) -> None:
        """A part of a file is kept, an empty line is a sign of life, and any other is a request."""
        self._heard = time.monotonic()
        if not line.strip():
            return
        try:
            values = json_files.parse(line)
            if not is_part(values):
                self._inbox.put(json.dumps(self._request(values)).encode("ascii"))
            elif values["id"] not in self._failed:
                self._keep(values)
        except (AttributeError, KeyError, TypeError, ValueError):
            self._inbox.put(line)  # which the worker refuses

    def _keep(self, values: dict[str, Any]) -> None:
        try:
            keep_part(values, self._folder)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._failed[values["id"]] = ResourceError(
                "temporary folder", f"cannot take what was sent ({reason})",
                "Free space there, or point TMPDIR (TEMP on Windows) at a larger disk on that computer.")

    def _request(self, values: dict[str, Any]) -> dict[str, Any]:
        """The request with paths of this computer."""
        kept = set(values.pop("files", ()))
        for path in self._folder.glob("in-*"):
            if path.name not in kept:
                remove(path)
        folder = self._folder / str(int(values["id"]))
        folder.mkdir(exist_ok=True)
        return {**replaced(values, self._here), "folder": str(folder)}

    def _here(self, item: Any) -> Any:
        """The path of a file or model that the request names."""
        if not isinstance(item, dict):
            return item
        if set(item) == {"file"}:
            return str(self._folder / checked_name(item["file"]))
        if set(item) == {"model", "name", "sent"}:
            path = self._models[item["model"]][0] if not item["sent"] else \
                self._folder / checked_name(item["sent"])
            self._called[str(path)] = str(item["name"])
            return str(path)
        return item

    def _answer(self, line: bytes) -> None:
        try:
            number = json_files.parse(line)["id"]
            failed = self._failed.pop(number, None)
        except (KeyError, TypeError, ValueError):
            failed = None
        if failed is None:
            super()._answer(line)
        else:
            self._send(number, Error.of(failed))

    def _send(self, number: int, event: Event) -> None:
        """The event, after the files of the request's folder that it names."""
        files: list[Path] = []
        folder = str(self._folder / str(number))

        def there(item: Any) -> Any:
            if not isinstance(item, str):
                return item
            for called, name in self._called.items():
                item = item.replace(called, name)
            path = Path(item) if item.startswith(folder) else None
            if path is None or not path.is_file():
                return item
            files.append(path)
            return {"file": path.name}

        values = replaced(json.loads(json.dumps(to_dict(event), default=plain)), there)
        for path in files:
            for line in file_lines(number, path):
                self._write(line)
            remove(path)
        self._write(json.dumps({"id": number, **values}).encode("ascii") + b"\n")
        if isinstance(event, (Result, Error)):
            shutil.rmtree(folder, ignore_errors=True)

    def _leave(self) -> None:
        self._scratch.close()
        super()._leave()

    def _listen_for_life(self) -> None:
        """Ends the worker when the other computer is gone and the pipe was not closed."""
        while time.monotonic() - self._heard < SILENCE:
            time.sleep(min(SILENCE, 5.0))
        self._leave()
