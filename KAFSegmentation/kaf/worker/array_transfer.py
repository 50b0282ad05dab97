"""What travels between two processes of ours: voxels by ``.npy`` file, everything else as one line of JSON.

Only the standard library and numpy: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kaf.runtime.errors import InputError, ResourceError


def write_array(name: str, array: np.ndarray, path: Path) -> Path:
    """Writes an array in C order and native byte order; returns ``path``.

    Args:
        name: what to call it in an error.

    Raises:
        InputError: an array of Python objects.
        ResourceError: the file cannot be written, most often because the disk is full.
    """
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise InputError(name, f"is an array of {array.dtype}", "Give an array of a number type.")
    ordered = np.require(array, array.dtype.newbyteorder("="), "C")
    try:
        np.save(path, ordered, allow_pickle=False)
    except OSError as error:
        remove(path)
        raise ResourceError(
            path.parent, f"cannot take '{name}', {array.nbytes / 1e6:.0f} MB ({_free(path.parent)}{error})",
            "Free space there, or point TMPDIR (TEMP on Windows) at a larger disk and restart.") from error
    return path


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free; "
    except OSError:
        return ""


def map_array(path: str | os.PathLike) -> np.ndarray:
    """The array in ``path``, memory-mapped and read-only."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def take_array(path: str | os.PathLike) -> np.ndarray:
    """The array in ``path``, whose file goes: memory-mapped copy-on-write, or read where a mapped file has to stay."""
    array = np.asarray(np.load(path, mmap_mode=None if sys.platform == "win32" else "c", allow_pickle=False))
    remove(Path(path))
    return array


def remove(path: Path) -> bool:
    """Deletes a file; whether it is gone.  On Windows one that somebody has mapped stays."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False


def check_affine(name: str, affine: Any) -> list[list[float]]:
    """A 4x4 affine as lists, ready for JSON, exactly.

    Raises:
        InputError: another shape, or numbers that are not finite.
    """
    try:
        matrix = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(name, f"has an affine that is not 4x4 finite numbers (shape {matrix.shape})",
                         "Give the matrix that takes (column, row, slice, 1) to RAS mm.")
    return matrix.tolist()


def plain(value: Any) -> Any:
    """For ``json.dumps(default=...)``: paths as words, numpy's numbers and arrays as numbers and lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
