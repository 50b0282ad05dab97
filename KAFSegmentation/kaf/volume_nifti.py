"""What ITK does not say about a NIfTI file: cut short, or a header that contradicts itself.

ITK takes a missing voxel size for 1, a negative one for positive, and a truncated file for a whole one.  The
header is therefore read once more here, and the bytes are counted.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaf.errors import InputError

MEND_GEOMETRY = "Open it in Slicer, mend spacing and axes in the Volumes module or resample it, and save it again."
_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")


@dataclass(frozen=True)
class Header:
    """The parts of a NIfTI-1 or NIfTI-2 header that are checked.

    ``dims`` and ``pixdim`` are per axis, ``sform`` is 4 x 4 (voxel index to RAS), ``bytes_needed`` counts the
    data file from its beginning to the last voxel.
    """

    dims: tuple[int, ...]
    pixdim: tuple[float, ...]
    sform: np.ndarray
    sform_code: int
    qform_code: int
    bytes_needed: int

    def refuse_shear(self, path: Path) -> None:
        """:class:`InputError` with the angle where the sform is what keeps ITK from reading the file."""
        matrix = self.sform[:3, :3]
        if self.sform_code <= 0:
            return
        if not np.isfinite(matrix).all() or not (np.linalg.norm(matrix, axis=0) > 0).all():
            raise InputError(path, "its sform matrix holds a zero axis or numbers that are not finite", MEND_GEOMETRY)
        cosines = matrix / np.linalg.norm(matrix, axis=0)
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-5:
            raise sheared(path, cosines)

    def doubts(self, affine: np.ndarray, shape: tuple[int, ...]) -> list[str]:
        """Sentences about an orientation that is missing or contradicts the one that ITK (and Slicer) took."""
        if self.sform_code <= 0 and self.qform_code <= 0:
            return ["the header gives no orientation (no qform, no sform); the axes were taken as Slicer takes them."]
        if self.sform_code <= 0 or len(self.dims) < 3:
            return []
        corners = np.array([[i, j, k, 1] for i in (0, shape[2]) for j in (0, shape[1]) for k in (0, shape[0])])
        apart = np.linalg.norm((corners @ (self.sform - affine).T)[:, :3], axis=1).max()
        if apart <= 0.5 * np.linalg.norm(affine[:3, :3], axis=0).min():
            return []
        return [f"the header contradicts itself: its sform lies up to {apart:.1f} mm from the grid that Slicer and "
                "KAF use (qform and pixdim)."]


def sheared(path: str | Path, cosines: np.ndarray) -> InputError:
    """The error for axes (columns of unit vectors) that are not at right angles."""
    cosines = cosines / np.linalg.norm(cosines, axis=0)
    pairs = {"columns and rows": (0, 1), "columns and slices": (0, 2), "rows and slices": (1, 2)}
    dots = {name: abs(float(cosines[:, a] @ cosines[:, b])) for name, (a, b) in pairs.items()}
    name = max(dots, key=lambda key: dots[key])
    angle = np.degrees(np.arccos(min(1.0, dots[name])))
    return InputError(
        path, f"its axes are sheared: {name} meet at {angle:.2f} degrees instead of 90",
        "Resample it to a rectangular grid (in Slicer: Resample Scalar/Vector/DWI Volume), and use that.",
    )


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
    order = next((o for o in "<>" if len(raw) >= 348 and struct.unpack(f"{o}i", raw[:4])[0] in (348, 540)), None)
    if order is None:
        raise InputError(path, "is not a NIfTI file, or is cut short within its header", "Copy or export it again.")
    header = _parse(raw, order)
    if not 1 <= len(header.dims) <= 7 or min(header.dims, default=0) < 1:
        raise InputError(path, f"is empty: its size is {header.dims}", "Export the volume again.")
    for size, length in list(zip(header.dims, header.pixdim, strict=False))[:3]:
        if not np.isfinite(length) or length < 0 or (length == 0 and size > 1):
            words = " x ".join(f"{value:g}" for value in header.pixdim[:3])
            raise InputError(path, f"its header gives voxels of {words} mm", MEND_GEOMETRY)
    return header


def _parse(raw: bytes, order: str) -> Header:
    if struct.unpack(f"{order}i", raw[:4])[0] == 348:
        dim, bits = struct.unpack(f"{order}8h", raw[40:56]), struct.unpack(f"{order}h", raw[72:74])[0]
        pixdim, offset = struct.unpack(f"{order}8f", raw[76:108]), struct.unpack(f"{order}f", raw[108:112])[0]
        qform, sform = struct.unpack(f"{order}2h", raw[252:256])
        rows = struct.unpack(f"{order}12f", raw[280:328])
    else:
        raw = raw.ljust(540, b"\0")
        dim, bits = struct.unpack(f"{order}8q", raw[16:80]), struct.unpack(f"{order}h", raw[14:16])[0]
        pixdim, offset = struct.unpack(f"{order}8d", raw[104:168]), struct.unpack(f"{order}q", raw[168:176])[0]
        qform, sform = struct.unpack(f"{order}2i", raw[344:352])
        rows = struct.unpack(f"{order}12d", raw[400:496])
    dims = tuple(int(n) for n in dim[1 : 1 + max(0, min(7, dim[0]))])
    matrix = np.vstack([np.reshape(rows, (3, 4)), [0, 0, 0, 1]]).astype(np.float64)
    start = int(offset) if np.isfinite(offset) else 0
    needed = start + (int(np.prod(dims, dtype=np.float64)) * bits + 7) // 8
    return Header(dims, tuple(pixdim[1 : 1 + len(dims)]), matrix, sform, qform, needed)


def check_complete(path: Path, header: Header) -> None:
    """Unpacks the data file to its end (a .gz is checked by its CRC) and counts.

    Raises:
        InputError: damaged, or fewer bytes than the header promises.
    """
    data = path if path.name.lower().endswith((".nii", ".nii.gz")) else _beside(path, ".img")
    try:
        if data.name.lower().endswith(".gz"):
            with _open(data) as file:
                held = 0
                while chunk := file.read(1 << 20):
                    held += len(chunk)
        else:
            held = data.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    if held < header.bytes_needed:
        raise InputError(
            path, f"is cut short: it holds {held} of {header.bytes_needed} bytes", "Copy or export it again."
        )


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(path, f"is damaged or cut short ({error})", "Copy or export it again.")


def _open(path: Path):
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _beside(path: Path, suffix: str) -> Path:
    """The other file of a .hdr/.img pair."""
    stem = path.name[: path.name.lower().rindex(".img" if ".img" in path.name.lower() else ".hdr")]
    plain = path.with_name(stem + suffix)
    return plain if plain.exists() else path.with_name(stem + suffix + ".gz")
