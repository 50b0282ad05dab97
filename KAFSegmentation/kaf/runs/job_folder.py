"""The files of a job, in ``job`` inside its run folder: what was asked, who is at it, what it said, how it ended.

Only the standard library: Slicer's own process uses this file.

job.json        what was asked: verb, values, interpreter, queue, and every attempt; written by who starts it
settings.json   the values alone, as ``--settings`` takes them
child.json      who works on it and how it ended; written by the child, in place: also when the disk is full
events.jsonl    all that the command says, the error at its end too
log.txt         what it and its libraries print
lock            held as long as the child lives
stop            asks the child to stop
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from kaf.runs import record
from kaf.runtime import json_files, locks
from kaf.runtime.files import open_regular, patiently

NAME = "job"
FORMAT = 1
_ROOM = 4096  # bytes for child.json, taken when the job starts


class JobFolder:
    """The files of the job in a run folder."""

    def __init__(self, run: Path):
        self.run = run
        self.path = run / NAME
        self.job, self.settings = self.path / "job.json", self.path / "settings.json"
        self.events, self.log = self.path / "events.jsonl", self.path / "log.txt"
        self.lock, self.asked_to_stop, self._child = self.path / "lock", self.path / "stop", self.path / "child.json"

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file of a job but its lock."""
        return self.job, self.settings, self.events, self.log, self.asked_to_stop, self._child

    def read(self) -> dict[str, Any]:
        """What was asked; ValueError where that is not known."""
        return record.asked(read_json(self.job))

    def wish(self) -> list[str]:
        """The attempt that is asked to stop and its seconds of grace; nothing where nobody asks."""
        try:
            with open_regular(self.asked_to_stop) as file:
                return file.read(200).decode("ascii", "replace").split()
        except OSError:
            return []

    def make_room(self) -> None:
        """An empty child.json that has all the room on the disk that it will ever need."""
        self._child.write_bytes(b" " * _ROOM)

    def write_child(self, **values: Any) -> None:
        """Who works on the job and how far it is; in place, so that no disk is too full for it."""
        words = json.dumps(values).encode("ascii")
        if len(words) > _ROOM:
            values["error"] = str(values.get("error", ""))[:_ROOM // 16]
            words = json.dumps(values).encode("ascii")
        with patiently(lambda: self._child.open("r+b")) as file:
            file.write(words.ljust(_ROOM))

    def read_child(self) -> dict[str, Any]:
        """The last of :meth:`write_child`; empty before the child has written anything."""
        return record.child(read_json(self._child))

    def is_alive(self, child: dict[str, Any]) -> bool | None:
        """Whether the child lives: by its lock, where the disk has none by its number and the time of its start; None
        where neither tells, as on another computer: a number alone may be anybody's by now."""
        held = locks.is_held(self.lock)
        if held is not None:
            return held
        if not child:
            return None
        if child.get("host") != socket.gethostname():
            return None
        start = process_start(int(child["pid"]))
        return None if start == "" else start is not None and start == child.get("began")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is none; tried again where it is just being written."""
    for _ in range(3):
        try:
            with open_regular(path) as file:
                values = json_files.parse(file.read().strip(b"\0 \n") or b"{}")
            return values if isinstance(values, dict) else {}
        except (ValueError, PermissionError):  # the latter on Windows
            time.sleep(0.02)
        except OSError:
            return {}
    return {}


def process_start(pid: int) -> str | None:
    """When that process began, in the system's own words, "" where the system does not tell; None for no process."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            return None if words[0] == "Z" else words[19]
        return None
    if sys.platform == "win32":  # its disks have locks
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""
