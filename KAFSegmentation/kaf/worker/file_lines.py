"""Files as lines of the worker's protocol, for two computers that share no disk.

A part of a file is one line of ASCII JSON: ``{"id": 3, "file": "in-1.npy", "offset": 0, "size": 9, "data": "..."}``,
where ``data`` is at most a megabyte, compressed (zlib) and in base64.  The parts of a file come in order; an empty file
is one part.  Where a path would stand in a request or an answer, ``{"file": "in-1.npy"}`` stands instead.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PART = 1 << 20
"""Bytes of a file in one line."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def file_lines(number: int, path: Path, name: str = "") -> Iterator[bytes]:
    """The lines that carry a file, for the request of this number, under a name (its own unless given)."""
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while part := file.read(PART):
            yield _line(number, name or path.name, offset, size, part)
            offset += len(part)
    if not size:
        yield _line(number, name or path.name, 0, 0, b"")


def _line(number: int, name: str, offset: int, size: int, part: bytes) -> bytes:
    data = base64.b64encode(zlib.compress(part, 1)).decode("ascii")
    return json.dumps({"id": number, "file": name, "offset": offset, "size": size, "data": data}).encode() + b"\n"


def is_part(values: dict[str, Any]) -> bool:
    """Whether a line of the protocol carries a part of a file."""
    return "file" in values and "data" in values


def keep_part(values: dict[str, Any], folder: Path) -> None:
    """Writes a part to the file of its name in ``folder``.

    Raises:
        ValueError: it is no part, its name leads elsewhere, or a part before it is missing.
        OSError: the disk refuses.
    """
    path = folder / checked_name(values["file"])
    try:
        packed = zlib.decompressobj()
        part = packed.decompress(base64.b64decode(values["data"], validate=True), PART)
    except (TypeError, binascii.Error, zlib.error) as error:
        raise ValueError(f"a part of {path.name} is damaged ({error})") from error
    if values["offset"] == 0:
        path.write_bytes(part)
        return
    with path.open("ab") as file:
        if file.tell() != values["offset"]:
            raise ValueError(f"a part of {path.name} is missing")
        file.write(part)


def checked_name(name: Any) -> str:
    """The name of a file, which leads to no other folder; ValueError for any other."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{str(name)[:100]!r} is no name of a file that is sent")
    return name


def replaced(values: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of what JSON holds, every string and every object passed through ``change`` (objects after their parts).
    """
    if isinstance(values, dict):
        return change({name: replaced(value, change) for name, value in values.items()})
    if isinstance(values, (list, tuple)):
        return [replaced(value, change) for value in values]
    return change(values) if isinstance(values, str) else values
