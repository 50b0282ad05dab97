"""JSON that anybody may have written: whatever a text or a file holds, reading it ends, and ends in one of two errors.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kaf.runtime.errors import KafError
from kaf.runtime.files import open_regular


def parse(text: str | bytes) -> Any:
    """What the text says; bytes are UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it is not JSON, or is nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read(path: str | Path) -> Any:
    """What the file says.

    Raises:
        OSError: it is missing, is no regular file or cannot be read; ``strerror`` says which.
        ValueError: as :func:`parse`.
    """
    with open_regular(path) as file:
        return parse(file.read())


def read_given(path: str | Path, error: type[KafError]) -> Any:
    """What a file of the user's says; whatever is wrong with the file is an ``error``."""
    try:
        return read(path)
    except OSError as problem:
        raise error(path, f"cannot be read ({problem.strerror})", "Check the path.") from problem
    except ValueError as problem:
        raise error(path, f"is not valid JSON ({problem})", "Fix the file at that place.") from problem


def holds_nul(value: Any) -> bool:
    """Whether a text in it, at any depth, holds the character NUL, which no path and no name can have."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(item) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(holds_nul(item) for item in value)
