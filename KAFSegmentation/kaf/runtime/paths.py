"""How two places on the disk lie to each other, whatever links, letters' cases or spellings name them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def relation(folder: str | Path, other: str | Path) -> str:
    """"is", "contains" or "lies inside", said of the folder and the other file or folder; "" where they are apart.

    Both are taken as what they lead to, through links.  What does not exist is apart from everything.
    """
    with suppress(OSError, ValueError):
        if not os.fspath(other):
            return ""
        first, second = Path(folder).resolve(strict=True), Path(other).resolve(strict=True)
        if os.path.samefile(first, second):
            return "is"
        if _is_below(second, first):
            return "contains"
        if _is_below(first, second):
            return "lies inside"
    return ""


def identity(path: str | Path) -> tuple[int, int] | None:
    """What two names of one file or folder have in common; None where there is none."""
    with suppress(OSError, ValueError):
        state = os.stat(path)
        return state.st_dev, state.st_ino
    return None


def _is_below(path: Path, top: Path) -> bool:
    """By the places themselves, not by their names, which a disk may not tell apart by case."""
    return any(os.path.samefile(parent, top) for parent in path.parents)
