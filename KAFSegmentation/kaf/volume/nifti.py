"""What ITK does not say about a NIfTI file: cut short, or a header that contradicts itself.

ITK takes a missing voxel size for 1, a negative one for positive, and a truncated file for a whole one.  The
header is therefore read once more here, and the bytes are counted.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from kaf.errors import InputError
from kaf.volume.itk import COPY_AGAIN, MEND_GEOMETRY, largest_cosine, sheared

_CHUNK = 1 << 20  # a multiple of every voxel size
_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")


@dataclass(frozen=True)
class Header:
    """The parts of a NIfTI-1 or NIfTI-2 header that are checked.

    ``dims`` and ``pixdim`` are per axis, ``sform`` is 4 x 4 (voxel index to RAS).  The voxels lie
    between the bytes ``start`` and ``bytes_needed``; ``floats`` is their dtype where that is a real float.
    """

    dims: tuple[int, ...]
    pixdim: tuple[float, ...]
    sform: np.ndarray
    sform_code: int
    qform_code: int
    start: int
    bytes_needed: int
    floats: np.dtype | None

    def refuse_shear(self, path: Path) -> None:
        """:class:`InputError` with the angle where the sform is what keeps ITK from reading the file."""
        matrix = self.sform[:3, :3]
        if self.sform_code <= 0:
            return
        if not np.isfinite(matrix).all() or not (np.linalg.norm(matrix, axis=0) > 0).all():
            raise InputError(path, "its sform matrix holds a zero axis or is not finite", MEND_GEOMETRY)
        if largest_cosine(matrix) > 1e-5:
            raise sheared(path, matrix)

    def doubts(self, affine: np.ndarray, shape: tuple[int, ...]) -> list[str]:
        """Sentences about an orientation that is missing or contradicts the one ITK (and Slicer) took."""
        if self.sform_code <= 0 and self.qform_code <= 0:
            return ["the header gives no orientation (no qform, no sform); axes were taken as in Slicer."]
        if self.sform_code <= 0 or len(self.dims) < 3:
            return []
        corners = np.array(list(product((0, shape[2]), (0, shape[1]), (0, shape[0]), (1,))))
        apart = np.linalg.norm((corners @ (self.sform - affine).T)[:, :3], axis=1).max()
        if apart <= 0.5 * np.linalg.norm(affine[:3, :3], axis=0).min():
            return []
        return [
            f"the header contradicts itself: its sform lies up to {apart:.1f} mm from the grid that Slicer "
            "and KAF use (qform and pixdim)."
        ]


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES)


def read_header(path: Path) -> Header:
    """The header, checked for dimensions and voxel sizes.

    Raises:
        InputError: not NIfTI, empty, or with voxel sizes that are zero, negative or not finite.
    """
    beside = path if path.name.lower().endswith((".nii", ".nii.gz")) else _beside(path, ".hdr")
    try:
        with _open(beside) as file:
            raw = file.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    orders = [order for order in "<>" if struct.unpack(f"{order}i", raw[:4].ljust(4))[0] in (348, 540)]
    if not orders or len(raw) < 348:
        raise InputError(path, "is not a NIfTI file, or is cut short within its header", COPY_AGAIN)
    header = _parse(raw, orders[0])
    if not 1 <= len(header.dims) <= 7 or min(header.dims, default=0) < 1:
        raise InputError(path, f"is empty: its size is {header.dims}", "Export the volume again.")
    for size, length in list(zip(header.dims, header.pixdim, strict=False))[:3]:
        if not np.isfinite(length) or length < 0 or (length == 0 and size > 1):
            words = " x ".join(f"{value:g}" for value in header.pixdim[:3])
            raise InputError(path, f"its header gives voxels of {words} mm", MEND_GEOMETRY)
    return header


def _parse(raw: bytes, order: str) -> Header:
    if struct.unpack(f"{order}i", raw[:4])[0] == 348:
        dim, (kind, bits) = struct.unpack(f"{order}8h", raw[40:56]), struct.unpack(f"{order}hh", raw[70:74])
        pixdim = struct.unpack(f"{order}8f", raw[76:108])
        offset = struct.unpack(f"{order}f", raw[108:112])[0]
        qform, sform = struct.unpack(f"{order}2h", raw[252:256])
        rows = struct.unpack(f"{order}12f", raw[280:328])
    else:
        raw = raw.ljust(540, b"\0")
        dim, (kind, bits) = struct.unpack(f"{order}8q", raw[16:80]), struct.unpack(f"{order}hh", raw[12:16])
        pixdim = struct.unpack(f"{order}8d", raw[104:168])
        offset = struct.unpack(f"{order}q", raw[168:176])[0]
        qform, sform = struct.unpack(f"{order}2i", raw[344:352])
        rows = struct.unpack(f"{order}12d", raw[400:496])
    dims = tuple(int(n) for n in dim[1 : 1 + max(0, min(7, dim[0]))])
    matrix = np.vstack([np.reshape(rows, (3, 4)), [0, 0, 0, 1]]).astype(np.float64)
    start = max(0, int(offset)) if np.isfinite(offset) else 0
    needed = start + (math.prod(dims) * bits + 7) // 8
    floats = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}.get(kind)
    return Header(dims, tuple(pixdim[1 : 1 + len(dims)]), matrix, sform, qform, start, needed, floats)


def check_complete(path: Path, header: Header) -> int:
    """Unpacks the data file to its end (a .gz has a CRC) and counts the voxels that are not finite.

    Raises:
        InputError: damaged, fewer bytes than the header promises, or no finite voxel.
    """
    data = path if path.name.lower().endswith((".nii", ".nii.gz")) else _beside(path, ".img")
    not_finite = held = 0
    try:
        with _open(data) as file:
            held += len(file.read(header.start))
            while chunk := file.read(_CHUNK):
                if header.floats is not None:
                    wanted = chunk[: max(0, header.bytes_needed - held)]
                    numbers = np.frombuffer(wanted, header.floats, len(wanted) // header.floats.itemsize)
                    not_finite += numbers.size - int(np.count_nonzero(np.isfinite(numbers)))
                held += len(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    if held < header.bytes_needed:
        raise InputError(path, f"is cut short: it holds {held} of {header.bytes_needed} bytes", COPY_AGAIN)
    if not_finite and not_finite == math.prod(header.dims):
        raise InputError(path, "has no finite voxel (all are NaN or infinite)", "Export the volume again.")
    return not_finite


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(path, f"is damaged or cut short ({error})", COPY_AGAIN)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _beside(path: Path, suffix: str) -> Path:
    """The other file of a .hdr/.img pair."""
    stem = path.name[: path.name.lower().rindex(".img" if ".img" in path.name.lower() else ".hdr")]
    plain = path.with_name(stem + suffix)
    return plain if plain.exists() else path.with_name(stem + suffix + ".gz")
