"""Small solid scans for the tests of 3-D: two bodies in noise, in memory and on disk, and a plain trilinear reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from small_models import write_volume

from kaf.data.cache import CachedCase


def two_bodies(seed: int, shape: tuple[int, int, int] = (12, 26, 24)) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball (label 1) and a dark box (label 2) somewhere in a grey block: int16 image, uint8 labels."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    size = np.array(shape)
    ball = np.linalg.norm((place - size * rng.uniform(0.3, 0.45, 3)) / (size * 0.22), axis=-1) < 1
    box = (np.abs(place - size * rng.uniform(0.65, 0.75, 3)) < size * 0.17).all(-1)
    labels = np.where(box, 2, np.where(ball, 1, 0)).astype(np.uint8)
    image = np.array([500, 900, 150])[labels] + rng.normal(0, 40, shape)
    return image.astype(np.int16), labels


def some_volumes(count: int = 2, shape: tuple[int, int, int] = (12, 26, 24)) -> list[CachedCase]:
    """Prepared cases with standard intensities."""
    made = []
    for seed in range(count):
        image, labels = two_bodies(seed, shape)
        standard = ((image - image.mean()) / image.std()).astype(np.float32)
        made.append(CachedCase(f"v{seed}", f"v{seed}", standard, labels, [], (2.0, 1.0, 1.0)))
    return made


def write_volumes(folder: Path, names: Sequence[str] = ("v1", "v2", "v3"), labels: bool = True) -> Path:
    """Solid scans of 2 x 1 x 1 mm, <name>.nii.gz beside <name>_gt.nii.gz."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        image, truth = two_bodies(seed)
        write_volume(folder / f"{name}.nii.gz", image, (1.0, 1.0, 2.0))
        if labels:
            write_volume(folder / f"{name}_gt.nii.gz", truth, (1.0, 1.0, 2.0))
    return folder


def trilinear(volume: np.ndarray, place: Sequence[float], border: float) -> float:
    """One voxel read between its eight neighbours, in fp64; ``border`` where there is none."""
    below = np.floor(place).astype(int)
    total = 0.0
    for corner in np.ndindex(*[2] * len(below)):
        index = below + corner
        weight = np.prod([part if c else 1 - part for c, part in zip(corner, place - below, strict=True)])
        there = (index >= 0).all() and (index < volume.shape).all()
        total += weight * (float(volume[tuple(index)]) if there else border)
    return total
