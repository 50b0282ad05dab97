"""Who has a file open: what Windows knows by itself, and /proc tells here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_FIRST = os.environ.get("KAF_WINDOWS", "")
"""Number of the first process under the stand-in, which its children have in their environment."""


def is_held(path: str) -> bool:
    """Whether a process has the file open or mapped; of a folder, any file in it."""
    path = os.path.realpath(path)
    inside = os.path.join(path, "") if os.path.isdir(path) else ""
    return any(place == path or (inside and place.startswith(inside)) for place in _held())


def _held() -> Iterator[str]:
    own = Path("/proc") / str(os.getpid())
    others = (process for process in Path("/proc").iterdir() if process.name.isdigit() and process.name != own.name)
    # Its own files last: its threads are those that meet most often, and between this look and the deed.
    for process in (*filter(_is_one, others), own):
        yield from _mapped(process)
        yield from _opened(process)


def _is_one(process: Path) -> bool:
    """Whether it runs under this stand-in; a computer has many other processes."""
    if process.name == _FIRST:
        return True
    try:
        values = (process / "environ").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return False
    return not values or f"KAF_WINDOWS={_FIRST}\0".encode() in values  # none: it is just being started


def _opened(process: Path) -> Iterator[str]:
    try:
        numbers = os.listdir(process / "fd")
    except OSError:  # it has ended, or is somebody else's
        return
    for number in numbers:
        try:
            place = os.readlink(process / "fd" / number)
        except OSError:
            continue
        if not os.path.isdir(place):
            yield place


def _mapped(process: Path) -> Iterator[str]:
    try:
        lines = (process / "maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        place = line.partition("/")[2]
        if place and not place.startswith(("usr/", "lib/")):
            yield f"/{place}"
