"""Whether a DICOM file holds what its elements promise, checked before GDCM reads it.

GDCM makes room for whatever length an element states, and for compressed images of whatever size: one wrong byte in a
file of 700 bytes took 4 to 19 GB.  The elements are therefore walked through here, without their values.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kaf.imaging.itk import COPY_AGAIN
from kaf.imaging.stored import allowed_claim, refuse_claim
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset((b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH",
                    b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS, _SYNTAX = 0x7FE00010, 0x00020010
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 32
_SIZES = {0x00280002: ("samples", "H"), 0x00280008: ("frames", ""), 0x00280010: ("rows", "H"),
          0x00280011: ("columns", "H"), 0x00280100: ("bits", "H")}


class _Coding(NamedTuple):
    """How elements are written: with their kind of value or without, and in which byte order."""

    explicit: bool = True
    order: str = "<"


class _Damage(Exception):  # noqa: N818 - it never leaves this file
    """What is wrong, a clause."""


def refuse_damage(subject: Path, file: Path) -> None:
    """Walks through the elements of a DICOM file up to its pixels; other files are left alone.

    Raises:
        InputError: an element reaches beyond the end of the file or is of no known kind, or the size of the image is
            not that of its pixels.
    """
    size = check_regular(file).st_size
    if size < 8:
        return
    with file.open("rb") as content, mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data:
        marked = size >= 132 and data[128:132] == b"DICM"
        if not marked and struct.unpack_from("<H", data)[0] not in (0x0002, 0x0008):
            return
        try:
            _check(file, data, 132 if marked else 0)
        except (_Damage, struct.error) as damage:
            which = "it" if subject == file else f"its file {file.name}"
            words = damage if isinstance(damage, _Damage) else "it ends within an element"
            raise InputError(subject, f"{which} is damaged or cut short: {words}", COPY_AGAIN) from None
        except InputError as error:
            raise InputError(subject, error.reason, error.remedy) from None


def _check(file: Path, data: mmap.mmap, start: int) -> None:
    body: mmap.mmap | bytes = data
    at, syntax = _meta(data, start)
    coding = {"1.2.840.10008.1.2": _Coding(False), "1.2.840.10008.1.2.2": _Coding(True, ">")}.get(syntax, _Coding())
    if at == 0:  # no header that tells: its first element does
        coding = _Coding(data[4:6] in _LONG | _SHORT)
    if syntax == "1.2.840.10008.1.2.1.99":
        body, at = _inflated(data[at:]), 0
    values: dict[str, int] = {}
    end = len(body)
    while at + 8 <= end:
        if _tag(body, at, coding) == 0:  # padding
            return
        tag, kind, value, length = _element(body, at, coding)
        if tag == _PIXELS:
            packed = length == _UNDEFINED
            if packed:
                _items(body, value, end, coding, 0, closed=False, raw=True)
            else:
                _within(tag, value, length, end)
            _compare(file, values, None if packed else length, len(data))
            return
        if tag in _SIZES and 0 < length != _UNDEFINED:
            name, layout = _SIZES[tag]
            _within(tag, value, length, end)
            if layout:
                values[name] = struct.unpack_from(coding.order + layout, body, value)[0]
            else:
                digits = bytes(body[value : value + min(length, 18)]).strip(b" \0")
                values[name] = int(digits) if digits.isdigit() else 1
        at = _after(body, tag, kind, value, length, end, coding, 0)


def _meta(data: mmap.mmap, at: int) -> tuple[int, str]:
    """Where the header that says how all else is written ends, and the transfer syntax it names."""
    syntax, end = "", len(data)
    while at + 8 <= end and struct.unpack_from("<H", data, at)[0] == 0x0002:
        tag, _, value, length = _element(data, at, _Coding())
        at = _within(tag, value, length, end)
        if tag == _SYNTAX:
            syntax = data[value:at].decode("latin-1").strip(" \0")
    return at, syntax


def _element(data: mmap.mmap | bytes, at: int, coding: _Coding) -> tuple[int, bytes, int, int]:
    """Tag, kind of value (empty where it is not written), where the value begins, and its length."""
    tag = _tag(data, at, coding)
    if tag >> 16 == 0xFFFE or not coding.explicit:
        return tag, b"", at + 8, struct.unpack_from(f"{coding.order}I", data, at + 4)[0]
    kind = bytes(data[at + 4 : at + 6])
    if kind in _LONG:
        return tag, kind, at + 12, struct.unpack_from(f"{coding.order}I", data, at + 8)[0]
    if kind not in _SHORT:
        raise _Damage(f"its element {_name(tag)} is of no known kind")
    return tag, kind, at + 8, struct.unpack_from(f"{coding.order}H", data, at + 6)[0]


def _after(data: mmap.mmap | bytes, tag: int, kind: bytes, value: int, length: int, end: int, coding: _Coding,
           depth: int) -> int:
    """Where an element ends; the items of a sequence are walked through."""
    if tag >> 16 == 0xFFFE:
        raise _Damage(f"a part of a sequence, {_name(tag)}, stands where an element should")
    if length == _UNDEFINED:
        if kind not in (b"SQ", b"UN", b"OB", b"OW", b""):
            raise _Damage(f"its element {_name(tag)} has no length")
        if kind == b"UN":
            with suppress(_Damage):  # as the standard has it; some writers keep to how the rest of the file is written
                return _items(data, value, end, _Coding(False), depth, closed=False)
        return _items(data, value, end, coding, depth, closed=False, raw=kind in (b"OB", b"OW"))
    stop = _within(tag, value, length, end)
    if kind == b"SQ" or (not coding.explicit and length >= 8 and _tag(data, value, coding) == _ITEM):
        _items(data, value, stop, coding, depth, closed=True)
    return stop


def _items(data: mmap.mmap | bytes, at: int, end: int, coding: _Coding, depth: int, closed: bool, raw: bool = False
           ) -> int:
    """Where the items from ``at`` end: at their delimiter or, ``closed``, at ``end``; ``raw`` ones hold no elements."""
    if depth > _DEEPEST:
        raise _Damage(f"its sequences are nested deeper than {_DEEPEST}")
    while at + 8 <= end:
        tag, _, value, length = _element(data, at, coding)
        if tag == _SEQUENCE_END:
            return value
        if tag != _ITEM:
            raise _Damage(f"an element {_name(tag)} stands where an item should")
        if length == _UNDEFINED and not raw:
            at = _elements(data, value, end, coding, depth + 1, closed=False)
            continue
        at = _within(tag, value, length, end)
        if not raw:
            _elements(data, value, at, coding, depth + 1, closed=True)
    if closed and at == end:
        return end
    raise _Damage("a sequence has no end")


def _elements(data: mmap.mmap | bytes, at: int, end: int, coding: _Coding, depth: int, closed: bool) -> int:
    """Where the elements of an item end: at its delimiter or, ``closed``, at ``end``."""
    while at + 8 <= end:
        tag, kind, value, length = _element(data, at, coding)
        if tag == _ITEM_END:
            return value
        at = _after(data, tag, kind, value, length, end, coding, depth)
    if closed and at == end:
        return end
    raise _Damage("an item has no end")


def _tag(data: mmap.mmap | bytes, at: int, coding: _Coding) -> int:
    group, element = struct.unpack_from(f"{coding.order}HH", data, at)
    return group << 16 | element


def _within(tag: int, value: int, length: int, end: int) -> int:
    """Where a value of this length ends."""
    if length > end - value:
        raise _Damage(f"its element {_name(tag)} takes {length} bytes, and {max(0, end - value)} are left")
    return value + length


def _compare(file: Path, values: dict[str, int], held: int | None, size: int) -> None:
    """The size of the image with the bytes of its pixels, or, compressed, with those of the whole file."""
    rows, columns, bits = (values.get(name, 0) for name in ("rows", "columns", "bits"))
    dims = (columns, rows, values.get("frames", 1) or 1)
    per_voxel = bits * values.get("samples", 1)
    needed = -(-columns * rows * dims[2] * per_voxel // 8)
    if held is None:
        refuse_claim(file, dims, -(-per_voxel // 8), size)
    elif held < needed:
        raise _Damage(f"its pixels take {held} of {needed} bytes")
    elif needed and held - needed >= max(2, needed // max(dims)):
        raise _Damage(f"its header promises {columns} x {rows} x {dims[2]} voxels, and {held - needed} bytes more are "
                      "there")


def _inflated(packed: bytes) -> bytes:
    """The elements of a file that is deflated as a whole."""
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        whole = unpack.decompress(packed, allowed_claim(len(packed)))
    except zlib.error as error:
        raise _Damage(f"it cannot be unpacked ({error})") from error
    if not unpack.eof:
        raise _Damage("it cannot be unpacked to its end")
    return whole


def _name(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
