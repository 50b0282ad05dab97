"""JSON that anybody may have written: whatever a text or a file holds, reading it ends, and ends in one of two errors.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def holds_nul(value: Any) -> bool:
    """Whether a text in it, at any depth, holds the character NUL, which no path and no name can have."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(item) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(holds_nul(item) for item in value)
