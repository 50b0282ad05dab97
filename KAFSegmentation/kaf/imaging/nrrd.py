"""Where an NRRD file keeps its voxels, as its header says (http://teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from kaf.imaging.itk import COPY_AGAIN, FIX_GEOMETRY, check_lengths, real_numbers
from kaf.imaging.stored import Packing, Stored
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

_LONGEST = 16 << 20  # bytes of a header; a segmentation of many structures has long ones
_BYTES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: ("short", "short int", "signed short", "signed short int", "int16", "int16_t", "ushort", "unsigned short",
        "unsigned short int", "uint16", "uint16_t"),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"),
    8: ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t",
        "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
}
_SIZES = {name: size for size, names in _BYTES.items() for name in names}
_PACKING: dict[str, Packing] = {
    "raw": "raw", "gz": "gzip", "gzip": "gzip", "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
}
_ALSO = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
_SPACING = ("spacings", "space directions")
_UNKNOWN = ("none", "nan")  # for an axis that is none of space
_MOST_FILES = 100_000


def is_mine(path: Path) -> bool:
    return path.name.lower().endswith((".nrrd", ".nhdr"))


def read_header(path: Path) -> tuple[Stored, list[str]]:
    """Where the voxels are, and sentences about what the header leaves out.

    Raises:
        InputError: not an NRRD header, or one that does not say what the voxels are.
    """
    fields, files, start = _parse(path)
    sizes = _whole_numbers(path, fields, "sizes")
    if str(len(sizes)) != fields.get("dimension", "").strip():
        raise _broken(path, "its header gives another number of sizes than of dimensions")
    size = _SIZES.get(fields.get("type", "").lower())
    if size is None:
        raise _broken(path, f"its header gives no type of numbers that KAF knows ('{fields.get('type', '')}')")
    encoding = fields.get("encoding", "").lower()
    if encoding in ("bz2", "bzip2"):
        raise InputError(path, "its voxels are packed with bzip2, which ITK does not read",
                         "Save it with gzip compression, or without.")
    if encoding not in _PACKING:
        raise _broken(path, f"its header gives no way of packing that KAF knows ('{encoding}')")
    packing = _PACKING[encoding]
    for name in _SPACING:
        if name in fields:
            _check_spacing(path, name, fields[name], len(sizes))
    lines, skip = (_whole_numbers(path, {name: fields.get(name, "0")}, name)[0] for name in ("line skip", "byte skip"))
    if lines < 0 or skip < -1:
        raise _broken(path, "its header skips a negative number of lines or bytes")
    offset = _after_lines(files[0] if files else path, 0 if files else start, lines)
    if packing == "raw":
        offset, skip = (-1, 0) if skip < 0 else (offset + skip, 0)
    stored = Stored(path, sizes, 8 * size, tuple(files) or (path,), packing, offset, skip=skip)
    missing = [] if any(name in fields for name in _SPACING) else [
        "the header gives no voxel size; 1 mm was taken, as in Slicer."]
    return stored, missing


def _check_spacing(path: Path, name: str, text: str, axes: int) -> None:
    """NRRD's reader takes 1 mm for what it does not understand."""
    entries = re.findall(r"\([^()]*\)|[^\s()]+", text)
    known = [entry for entry in entries if entry.lower() not in _UNKNOWN]
    vectors = [real_numbers(path, name, entry.strip("()").replace(",", " "), entry.count(",") + 1) for entry in known]
    of_components = entries[:1] != known[:1]  # the first axis may be that of colours or layers
    if len(entries) != axes or len(vectors) < min(3, axes) - of_components:
        raise InputError(path, f"its header gives {len(vectors)} {name} for {axes} axes", FIX_GEOMETRY)
    check_lengths(path, [math.hypot(*vector) for vector in vectors[:3]])


def _parse(path: Path) -> tuple[dict[str, str], list[Path], int]:
    """Fields by lower-case name, data files (none where the voxels follow), and the length of the header."""
    check_regular(path)
    fields: dict[str, str] = {}
    with path.open("rb") as content:
        if not content.read(4) == b"NRRD":
            raise InputError(path, "is no image in a format KAF can read, or is damaged: it is not an NRRD file",
                             COPY_AGAIN)
        content.readline(_LONGEST)
        while (line := content.readline(_LONGEST)).strip(b"\r\n"):
            if content.tell() > _LONGEST:
                raise _broken(path, "its header has no end")
            name, colon, value = line.partition(b":")
            if line.startswith(b"#") or not colon or value.startswith(b"="):
                continue  # a comment, or a key of somebody's own
            known = name.strip().decode("latin-1").lower()
            known = _ALSO.get(known, known)
            fields[known] = os.fsdecode(value.strip())
            if known == "data file" and fields[known].startswith("LIST"):
                names = [os.fsdecode(name.strip()) for name in content.read(_LONGEST).splitlines()]
                return fields, [path.parent / name for name in names if name], content.tell()
        files = _data_files(path, fields["data file"]) if "data file" in fields else []
        return fields, files, content.tell()


def _data_files(path: Path, words: str) -> list[Path]:
    """One name, or a printf pattern with first, last and step (and perhaps a dimension)."""
    pattern, *numbers = words.rsplit(maxsplit=4) if "%" in words else [words]
    numbers = [number for number in numbers if number.lstrip("-").isdigit()]
    if len(numbers) < 3:
        return [path.parent / words]
    first, last, step = map(int, numbers[:3])
    if step == 0 or not 1 <= (last - first) // step + 1 <= _MOST_FILES:
        raise _broken(path, "its header numbers its data files in a way that has no end")
    try:
        return [path.parent / (pattern % number) for number in range(first, last + (1 if step > 0 else -1), step)]
    except (TypeError, ValueError) as error:
        raise _broken(path, "its header gives a pattern of file names that is none") from error


def _whole_numbers(path: Path, fields: dict[str, str], name: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in fields.get(name, "").split())
    except ValueError:
        numbers = ()
    if not numbers:
        raise _broken(path, f"its header does not say its {name} in whole numbers")
    return numbers


def _after_lines(file: Path, start: int, lines: int) -> int:
    """Where the data begin: so many lines after ``start``."""
    if lines == 0:
        return start
    check_regular(file)
    with file.open("rb") as content:
        content.seek(start)
        for _ in range(lines):
            if not content.readline(_LONGEST):
                break
        return content.tell()


def _broken(path: Path, reason: str) -> InputError:
    return InputError(path, f"is damaged: {reason}", COPY_AGAIN)
