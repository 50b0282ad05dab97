"""For tests of reading and writing: an array of numbers, and files of it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import SimpleITK


def scan(shape=(5, 7, 9), dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, shape).astype(dtype)


def save(path: Path, voxels: np.ndarray, spacing=None, direction=None, vector=False) -> Path:
    image = SimpleITK.GetImageFromArray(voxels, isVector=vector)
    if spacing:
        image.SetSpacing(spacing)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


def nifti(path: Path, pixdim=(1.0, 2.0, 3.0), sform=None, sform_code=1, qform_code=0, dims=(9, 7, 5), data=None,
          change=lambda header: None) -> Path:
    """A NIfTI-1 file from bytes, so that it can be wrong; ``change`` gets the header, ready to be spoilt."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(dims), *dims, *([1] * (7 - len(dims))))
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1.0, *pixdim, *([0.0] * (7 - len(pixdim))))
    struct.pack_into("<f", header, 108, 352.0)
    struct.pack_into("<hh", header, 252, qform_code, sform_code)
    rows = np.diag([*pixdim, 1.0])[:3] if sform is None else np.asarray(sform)
    struct.pack_into("<12f", header, 280, *np.ravel(rows))
    header[344:348] = b"n+1\0"
    change(header)
    content = bytes(header) + (scan(dims[::-1]).tobytes() if data is None else data)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path
