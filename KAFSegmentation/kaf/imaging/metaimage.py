"""Where a MetaImage (.mha, .mhd) keeps its voxels, as its header says.

MetaIO takes whatever it does not understand for a field of the user, and hands out what lay in memory where voxels
cannot be unpacked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from kaf.imaging.itk import COPY_AGAIN, real_numbers
from kaf.imaging.stored import Stored
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

_LONGEST = 1 << 20  # bytes of a header
_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}
_ORIENTATION = ("TransformMatrix", "Orientation", "Rotation")
_SPACING = ("ElementSpacing", "ElementSize")
_ORIGIN = ("Offset", "Position", "Origin")
_MOST_FILES = 100_000


def is_mine(path: Path) -> bool:
    return path.name.lower().endswith((".mha", ".mhd"))


def read_header(path: Path) -> tuple[Stored, list[str]]:
    """Where the voxels are, and sentences about what the header leaves out.

    Raises:
        InputError: not a MetaImage, or a header that does not say what the voxels are.
    """
    fields, names, end = _parse(path)
    sizes = _numbers(path, fields, "DimSize")
    if len(sizes) != _numbers(path, fields, "NDims")[0]:
        raise _broken(path, "its header gives another number of sizes than of dimensions")
    size = _BYTES.get(fields.get("ElementType", ""))
    if size is None:
        raise _broken(path, f"its header gives no type of numbers that KAF knows ('{fields.get('ElementType', '')}')")
    components = _numbers(path, {"ElementNumberOfChannels": "1", **fields}, "ElementNumberOfChannels")[0]
    if components < 1:
        raise _broken(path, f"its header promises {components} numbers per voxel")
    if not _is_true(path, {"BinaryData": "False", **fields}, "BinaryData"):
        raise InputError(path, "holds its voxels as text, which ITK does not read reliably",
                         "Save it again with binary voxels.")
    for names_of, count in ((_SPACING, len(sizes)), (_ORIGIN, len(sizes)), (_ORIENTATION, len(sizes) ** 2)):
        for name in names_of:
            if name in fields:
                real_numbers(path, name, fields[name], count)
    files = _data_files(path, names)
    skipped = _numbers(path, {"HeaderSize": "0", **fields}, "HeaderSize")[0]
    offset = -1 if skipped == -1 else max(0, skipped) or (0 if files else end)
    if not _is_true(path, {"CompressedData": "False", **fields}, "CompressedData"):
        if "CompressedDataSize" in fields:
            raise _broken(path, "its header gives the size of compressed voxels and does not say that they are")
        return Stored(path, sizes, 8 * size * components, files or (path,), "raw", offset,
                      components=components), _missing(fields)
    length = None
    if "CompressedDataSize" in fields:
        length = _numbers(path, fields, "CompressedDataSize")[0]
    elif not files:
        raise _broken(path, "its header does not say how many bytes its compressed voxels take")
    return Stored(path, sizes, 8 * size * components, files or (path,), "zlib", offset, length,
                  components=components), _missing(fields)


def _missing(fields: dict[str, str]) -> list[str]:
    found = []
    if not any(name in fields for name in _SPACING):
        found.append("the header gives no voxel size; 1 mm was taken, as in Slicer.")
    if not any(name in fields for name in _ORIENTATION):
        found.append("the header gives no orientation; axes were taken as in Slicer.")
    return found


def _parse(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields, the words about the data files, and where the header ends."""
    check_regular(path)
    fields: dict[str, str] = {}
    with path.open("rb") as content:
        while line := content.readline(_LONGEST):
            if not line.strip():
                continue
            name, *rest = re.split(rb"[=:]", line, maxsplit=1)
            if not rest:  # MetaIO would take this line and the next for one
                raise _broken(path, f"its header has a line without a value ({os.fsdecode(line.strip()[:40])!r})")
            known, text = name.strip().decode("latin-1"), os.fsdecode(rest[0].strip())  # blanks of ASCII, as MetaIO
            if content.tell() > _LONGEST:
                break
            if known == "ElementDataFile":
                if not text.upper().startswith("LIST"):
                    return fields, [text], content.tell()
                names = [os.fsdecode(entry.strip()) for entry in content.read(_LONGEST).splitlines()]
                return fields, [text, *(entry for entry in names if entry)], content.tell()
            fields[known] = text
    raise InputError(path, "is no image in a format KAF can read, or is damaged: its header does not say where its "
                     "voxels are (ElementDataFile)", COPY_AGAIN)


def _data_files(path: Path, names: list[str]) -> tuple[Path, ...]:
    """The files of the voxels, none where they follow the header."""
    first, *others = names
    if first.upper() == "LOCAL":
        return ()
    if first.upper().startswith("LIST"):
        if not others:
            raise _broken(path, "its header lists no data file")
        return tuple(path.parent / name for name in others)
    if "%" not in first:
        return (path.parent / first,)
    pattern, *numbers = first.split()
    try:
        start, stop, step = [*map(int, numbers), 1][:3]
        if step < 1 or not 0 <= stop - start < _MOST_FILES:
            raise ValueError("a run of files without an end")
        return tuple(path.parent / (pattern % number) for number in range(start, stop + 1, step))
    except (TypeError, ValueError) as error:
        raise _broken(path, f"its header names its data files in a way that leads nowhere ('{first}')") from error


def _numbers(path: Path, fields: dict[str, str], name: str) -> tuple[int, ...]:
    words = fields.get(name, "").split()
    if not words or not all(re.fullmatch(r"[-+]?\d{1,18}", word) for word in words):
        raise _broken(path, f"its header does not say its {name} in whole numbers")
    return tuple(map(int, words))


def _is_true(path: Path, fields: dict[str, str], name: str) -> bool:
    word = fields[name]
    if word[:1] in ("T", "t", "1"):
        return True
    if word[:1] in ("F", "f", "0"):
        return False
    raise _broken(path, f"its header does not say {name} with True or False")


def _broken(path: Path, reason: str) -> InputError:
    return InputError(path, f"is damaged: {reason}", COPY_AGAIN)
