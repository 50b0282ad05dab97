"""DICOM files written byte by byte (explicit VR, little endian): classic slices and enhanced multi-frame objects."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LONG = ("OB", "OW", "SQ", "UN", "UT")
_CLASSIC_MR, _ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
_CLASSIC_CT, _ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
Tag = tuple[int, int]


def element(tag: Tag, kind: str, value: bytes | str) -> bytes:
    """One data element; text is padded to an even length."""
    content = value.encode() if isinstance(value, str) else value
    if len(content) % 2:
        content += b"\0" if kind in ("UI", "OB", "OW") else b" "
    head = struct.pack("<HH", *tag) + kind.encode()
    if kind in _LONG:
        return head + struct.pack("<HI", 0, len(content)) + content
    return head + struct.pack("<H", len(content)) + content


def sequence(tag: Tag, *items: bytes) -> bytes:
    return element(tag, "SQ", b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items))


def _short(tag: Tag, number: int) -> bytes:
    return element(tag, "US", struct.pack("<H", number))


def _numbers(values: Sequence[float]) -> str:
    return "\\".join(f"{value:.10g}"[:16] for value in values)


def _file(sop: str, uid: str, content: bytes) -> bytes:
    meta = b"".join([element((2, 1), "OB", b"\0\1"), element((2, 2), "UI", sop), element((2, 3), "UI", uid),
                     element((2, 0x10), "UI", "1.2.840.10008.1.2.1"), element((2, 0x12), "UI", "1.2.3.4")])
    return b"\0" * 128 + b"DICM" + element((2, 0), "UL", struct.pack("<I", len(meta))) + meta + content


@dataclass(frozen=True)
class Series:
    """What the files of a series say of themselves."""

    uid: str = "1.2.826.0.1.77"
    title: str = "cine"
    modality: str = "MR"
    extra: dict[Tag, tuple[str, str]] = field(default_factory=dict)

    def head(self, sop: str, uid: str, number: int) -> list[bytes]:
        """The elements up to the series, in order of their tags."""
        return [element((8, 8), "CS", "ORIGINAL\\PRIMARY\\M\\NONE"), element((8, 0x16), "UI", sop),
                element((8, 0x18), "UI", uid), element((8, 0x20), "DA", "20200101"),
                element((8, 0x60), "CS", self.modality), element((8, 0x103E), "LO", self.title),
                element((0x10, 0x10), "PN", "Doe^Jo"), element((0x10, 0x20), "LO", "P1"),
                element((0x20, 0xD), "UI", f"{self.uid}.1"), element((0x20, 0xE), "UI", self.uid),
                element((0x20, 0x11), "IS", "1"), element((0x20, 0x13), "IS", str(number))]


def _pixels(frames: np.ndarray) -> list[bytes]:
    """Rows, columns, kind of numbers; the voxels themselves come last in a file."""
    signed = int(frames.dtype.kind == "i")
    return [_short((0x28, 2), 1), element((0x28, 4), "CS", "MONOCHROME2"), _short((0x28, 0x10), frames.shape[-2]),
            _short((0x28, 0x11), frames.shape[-1]), _short((0x28, 0x100), 16), _short((0x28, 0x101), 16),
            _short((0x28, 0x102), 15), _short((0x28, 0x103), signed)]


def _voxels(frames: np.ndarray) -> bytes:
    return element((0x7FE0, 0x10), "OW", frames.astype("<i2" if frames.dtype.kind == "i" else "<u2").tobytes())


def _geometry(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LPS: (4, 4) affine, spacing along (i, j, k), and the six cosines."""
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = np.concatenate([lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]])
    return lps, spacing, cosines


def write_classic(folder: Path, voxels: np.ndarray, affine: np.ndarray, names: Sequence[str],
                  series: Series = Series(), numbers: Sequence[int] | None = None) -> Path:
    """A file per slice of voxels (k, j, i) on a grid with this affine (index to RAS), under the given names."""
    folder.mkdir(exist_ok=True)
    lps, spacing, cosines = _geometry(affine)
    sop = _CLASSIC_CT if series.modality == "CT" else _CLASSIC_MR
    for index, (pixels, name) in enumerate(zip(voxels, names, strict=True)):
        uid = f"{series.uid}.{index + 1}"
        number = index + 1 if numbers is None else numbers[index]
        position = lps[:3, 3] + lps[:3, 2] * index
        parts = series.head(sop, uid, number)
        parts.insert(8, element((0x18, 0x50), "DS", _numbers([spacing[2]])))
        parts += [element((0x20, 0x32), "DS", _numbers(position)), element((0x20, 0x37), "DS", _numbers(cosines)),
                  element((0x20, 0x52), "UI", f"{series.uid}.9"), *_pixels(pixels)]
        parts.insert(-4, element((0x28, 0x30), "DS", _numbers([spacing[1], spacing[0]])))
        (folder / name).write_bytes(_file(sop, uid, b"".join(parts) + _voxels(pixels)))
    return folder


@dataclass(frozen=True)
class Enhanced:
    """How a multi-frame object is written: its frames in which order, which of them left out, how many phases."""

    order: tuple[int, ...] = ()
    phases: int = 1
    shared: bool = True


def write_enhanced(path: Path, voxels: np.ndarray, affine: np.ndarray, how: Enhanced = Enhanced(),
                   series: Series = Series()) -> Path:
    """One enhanced MR or CT object; ``how.order`` are slices in the order in which their frames are stored."""
    lps, spacing, cosines = _geometry(affine)
    sop = _ENHANCED_CT if series.modality == "CT" else _ENHANCED_MR
    measures = sequence((0x28, 0x9110), element((0x18, 0x50), "DS", _numbers([spacing[2]]))
                        + element((0x28, 0x30), "DS", _numbers([spacing[1], spacing[0]])))
    plane = sequence((0x20, 0x9116), element((0x20, 0x37), "DS", _numbers(cosines)))
    order = [(phase, index) for phase in range(how.phases) for index in how.order or range(len(voxels))]
    items = []
    for phase, index in order:
        position = lps[:3, 3] + lps[:3, 2] * index
        content = sequence((0x20, 0x9111), element((0x20, 0x9057), "UL", struct.pack("<I", index + 1))
                           + element((0x20, 0x9157), "UL", struct.pack("<II", phase + 1, index + 1)))
        where = sequence((0x20, 0x9113), element((0x20, 0x32), "DS", _numbers(position)))
        items.append(content + where + (b"" if how.shared else plane + measures))
    frames = np.stack([voxels[index] + (7 if phase else 0) for phase, index in order])
    parts = series.head(sop, f"{series.uid}.1", 1)
    rest = _pixels(frames)
    rest.insert(2, element((0x28, 8), "IS", str(len(frames))))
    dimensions = sequence((0x20, 0x9222), *(element((0x20, 0x9165), "AT", struct.pack("<HH", *tag))
                                            + element((0x20, 0x9167), "AT", struct.pack("<HH", 0x20, 0x9111))
                                            for tag in ((0x20, 0x9056), (0x20, 0x9057))))
    groups = sequence((0x5200, 0x9229), plane + measures if how.shared else b"") + sequence((0x5200, 0x9230), *items)
    content = b"".join([*parts, element((0x20, 0x52), "UI", f"{series.uid}.9"), dimensions, *rest, groups])
    path.write_bytes(_file(sop, f"{series.uid}.1", content + _voxels(frames)))
    return path
