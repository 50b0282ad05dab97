"""For tests of reading and writing: an array of numbers, and files of it."""

from __future__ import annotations

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
