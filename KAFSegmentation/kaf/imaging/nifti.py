"""What ITK does not say about a NIfTI file: cut short, or a header that contradicts itself.

ITK takes a missing voxel size for 1, a negative one for positive, a size of 0 for 1, the end of a header for voxels and
a truncated file for a whole one.  The header is therefore read once more here.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from kaf.imaging.itk import COPY_AGAIN, FIX_GEOMETRY, largest_cosine, sheared, times
from kaf.imaging.stored import Stored, damaged
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1792: 128,
         2304: 32}
_ODD_TYPES = {1: "single bits", 1536: "floats of 128 bits", 2048: "complex numbers of 256 bits"}
_UNITS = {1: (1000.0, "metres"), 3: (0.001, "micrometres")}  # of xyzt_units; all else is taken for mm
_SHEARED = 1e-5  # largest |cosine| between two axes of an sform that ITK reads


@dataclass(frozen=True)
class Header:
    """The parts of a NIfTI-1, NIfTI-2 or Analyze header that are checked.

    ``dims`` and ``pixdim`` are per axis; ``sform`` and ``qform`` are 4 x 4 (voxel index to RAS) in the file's own
    unit, of which ``unit`` gives the mm and the name; ``scaling`` is slope and intercept; ``quaternion`` is (b, c, d);
    ``version`` is 1 (Analyze too) or 2; ``stored`` says where the voxels lie.
    """

    dims: tuple[int, ...]
    pixdim: tuple[float, ...]
    sform: np.ndarray
    sform_code: int
    qform: np.ndarray
    qform_code: int
    quaternion: tuple[float, float, float]
    scaling: tuple[float, float]
    unit: tuple[float, str]
    version: int
    stored: Stored

    def refuse_broken_axes(self, path: Path) -> None:
        """:class:`InputError` where an orientation that counts is not finite or no turn; ITK would take another."""
        if self.sform_code > 0 and not np.isfinite(self.sform).all():
            raise InputError(path, "its sform matrix holds a zero axis or is not finite", FIX_GEOMETRY)
        if self.qform_code > 0 and not np.isfinite([*self.quaternion, *self.qform[:3, 3]]).all():
            raise InputError(path, "its qform is not finite", FIX_GEOMETRY)
        if self.qform_code > 0 >= self.sform_code and sum(q * q for q in self.quaternion) > 1.001:
            raise InputError(path, "its qform is no turn: its quaternion is longer than 1", FIX_GEOMETRY)

    def refuse_for_itk(self, path: Path) -> None:
        """:class:`InputError` with the reason where a sound file is one that ITK does not read: sheared, or NIfTI-2."""
        if self.version == 2:
            raise InputError(path, "is a NIfTI-2 file, which this version of SimpleITK does not read",
                             "Save it as NIfTI-1 or NRRD.")
        matrix = self.sform[:3, :3]
        if self.sform_code <= 0:
            return
        if not (np.linalg.norm(matrix, axis=0) > 0).all():
            raise InputError(path, "its sform matrix holds a zero axis or is not finite", FIX_GEOMETRY)
        if largest_cosine(matrix) > _SHEARED:
            raise sheared(path, matrix)

    def doubts(self, affine: np.ndarray, shape: tuple[int, ...]) -> list[str]:
        """Sentences about what is missing or contradicts what ITK (and Slicer) took."""
        found = []
        slope, intercept = self.scaling
        if not (math.isfinite(slope) and math.isfinite(intercept)):
            found.append("the header's scale factor or offset of the voxels is not finite; none was applied, as in "
                         "Slicer.")
        elif slope == 0 and intercept != 0:
            found.append(f"the header contradicts itself: it says that voxels are not scaled, and gives an offset of "
                         f"{intercept:g}, which was added, as in Slicer.")
        if self.unit[0] != 1:
            found.append(f"the header gives its lengths in {self.unit[1]}; they were converted to mm.")
        if self.sform_code <= 0 and self.qform_code <= 0:
            return [*found, "the header gives no orientation (no qform, no sform); axes were taken as in Slicer."]
        if len(self.dims) < 3:
            return found
        corners = np.array(list(product((0, shape[2]), (0, shape[1]), (0, shape[0]), (1,))))
        for name, code, form, taken in (("sform", self.sform_code, self.sform, "qform and pixdim"),
                                        ("qform", self.qform_code, self.qform, "sform and pixdim")):
            if code <= 0:
                continue
            form = np.diag([self.unit[0]] * 3 + [1.0]) @ form
            apart = np.linalg.norm((corners @ (form - affine).T)[:, :3], axis=1).max()
            if not apart <= 0.5 * np.linalg.norm(affine[:3, :3], axis=0).min():
                found.append(f"the header contradicts itself: its {name} lies up to {apart:.1f} mm from the grid that "
                             f"Slicer and KAF use ({taken}).")
        return found


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES)


def read_header(path: Path) -> Header:
    """The header, checked for dimensions, voxel sizes, the type of numbers and where they begin.

    Raises:
        InputError: not NIfTI, empty, of a type that KAF cannot read, or with voxel sizes that are zero, negative or
            not finite.
    """
    single = path.name.lower().endswith((".nii", ".nii.gz"))
    beside = path if single else _beside(path, ".hdr")
    check_regular(beside)
    try:
        with _open(beside) as file:
            raw = file.read(544)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from error
    orders = [order for order in "<>" if struct.unpack(f"{order}i", raw[:4].ljust(4))[0] in (348, 540)]
    if not orders or len(raw) < 348:
        raise InputError(path, "is not a NIfTI file, or is cut short within its header", COPY_AGAIN)
    header = _parse(path, raw, orders[0], single)
    for size, length in list(zip(header.dims, header.pixdim, strict=False))[:3]:
        if not np.isfinite(length) or length < 0 or (length == 0 and size > 1):
            raise InputError(path, f"its header gives voxels of {times(header.pixdim[:3])} mm", FIX_GEOMETRY)
    header.refuse_broken_axes(path)
    return header


@dataclass(frozen=True)
class _Layout:
    """Where the fields of a version of the header lie, for struct."""

    size: int
    dim: tuple[str, int]
    kind: tuple[str, int]
    pixdim: tuple[str, int]
    offset: tuple[str, int]
    scaling: tuple[str, int]
    unit: tuple[str, int]
    codes: tuple[str, int]  # qform, sform
    quaternion: tuple[str, int]  # b, c, d and the origin
    rows: tuple[str, int]
    magic: int


_FIRST = _Layout(348, ("8h", 40), ("h", 70), ("8f", 76), ("f", 108), ("2f", 112), ("b", 123), ("2h", 252), ("6f", 256),
                 ("12f", 280), 344)
_SECOND = _Layout(540, ("8q", 16), ("h", 12), ("8d", 104), ("q", 168), ("2d", 176), ("i", 500), ("2i", 344),
                  ("6d", 352), ("12d", 400), 4)


def _parse(path: Path, raw: bytes, order: str, single: bool) -> Header:
    layout = _FIRST if struct.unpack(f"{order}i", raw[:4])[0] == 348 else _SECOND
    if len(raw) < layout.size:
        raise InputError(path, "is cut short within its header", COPY_AGAIN)

    def field(place: tuple[str, int]) -> tuple[Any, ...]:
        return struct.unpack_from(order + place[0], raw, place[1])

    n, *dim = field(layout.dim)
    if not 1 <= n <= 7:
        raise InputError(path, f"is damaged: its header promises {n} dimensions", COPY_AGAIN)
    dims = tuple(dim[:n])
    if min(dims) < 1:
        raise InputError(path, f"is empty: its size is {times(dims)}", "Export the volume again.")
    kept = len(dims)
    while kept > 3 and dims[kept - 1] == 1:
        kept -= 1
    if not 2 <= kept <= 5:
        raise InputError(path, f"has {kept} dimension{'s' * (kept > 1)}", "Save one 3-D volume of it.")
    kind, = field(layout.kind)
    if kind not in _BITS:
        raise InputError(path, f"holds {_ODD_TYPES.get(kind, f'numbers of an unknown type ({kind})')}",
                         "Save it with whole numbers or floats of 32 bits.")
    pixdim, origin = field(layout.pixdim), field(layout.quaternion)[3:]
    quaternion, (qform_code, sform_code) = field(layout.quaternion)[:3], field(layout.codes)
    sform = np.vstack([np.reshape(field(layout.rows), (3, 4)), [0, 0, 0, 1]]).astype(np.float64)
    if layout is _FIRST and raw[344] != ord("n"):  # Analyze 7.5, which knows no orientation
        qform_code = sform_code = 0
    floats = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)
    stored = _stored(path, raw, layout, dims, kind, field(layout.offset)[0], floats, single)
    return Header(dims, tuple(pixdim[1 : 1 + n]), sform, sform_code, _qform(quaternion, origin, pixdim), qform_code,
                  quaternion, field(layout.scaling), _UNITS.get(field(layout.unit)[0] & 7, (1.0, "mm")),
                  1 if layout is _FIRST else 2, stored)


def _stored(path: Path, raw: bytes, layout: _Layout, dims: tuple[int, ...], kind: int, offset: float, floats: Any,
            single: bool) -> Stored:
    """Where the voxels lie.  They begin after the header, and after the extension block that follows some headers."""
    data = path if single else _beside(path, ".img")
    least = layout.size + 4 if single else 0
    if not math.isfinite(offset) or offset < least or offset != int(offset):
        raise InputError(path, f"is damaged: its header says that the voxels begin at byte {offset:g}"
                         + (", which is within the header" if single else ""), COPY_AGAIN)
    magic = raw[layout.magic : layout.magic + 3]
    if single and magic not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise InputError(path, "is damaged: its header is not that of a single NIfTI file", COPY_AGAIN)
    extended = single and offset == least and raw[layout.size : layout.size + 1] not in (b"", b"\0")
    packed = data.name.lower().endswith(".gz")
    return Stored(path, dims, _BITS[kind], (data,), "gzip" if packed else "raw", 0 if packed else int(offset),
                  skip=int(offset) if packed else 0, floats=floats, padded=not extended)


def _qform(quaternion: tuple[float, ...], origin: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    """4 x 4, voxel index to RAS; NaN where there is none."""
    b, c, d = quaternion
    form = np.eye(4)
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d)) if np.isfinite(quaternion).all() else math.nan
    turn = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])
    form[:3, :3] = turn * [pixdim[1], pixdim[2], pixdim[3] * (-1 if pixdim[0] < 0 else 1)]
    form[:3, 3] = origin
    return form


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _beside(path: Path, suffix: str) -> Path:
    """The other file of a .hdr/.img pair."""
    stem = path.name[: path.name.lower().rindex(".img" if ".img" in path.name.lower() else ".hdr")]
    plain = path.with_name(stem + suffix)
    return plain if plain.exists() else path.with_name(stem + suffix + ".gz")
