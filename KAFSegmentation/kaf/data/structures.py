"""How large the structures of a label map are, and what intensities they have: what a plan is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_PERCENTILES = (0.5, 99.5)
_SAMPLES = 100_000


@dataclass(frozen=True)
class Structures:
    """What a label map holds.

    Attributes:
        box: (2, 3) voxel (i, j, k) of two corners of the box around all structures; of no extent where there is none.
        widths: value -> mm, the diameter of a circle as large as the mean cross-section, of the direction in which
            this is smallest: 10 mm for a spinal cord, whatever its length.
    """

    box: np.ndarray
    widths: dict[int, float]


def measure(labels: np.ndarray, affine: np.ndarray) -> Structures:
    """The structures of a label map (k, j, i) uint8 with its affine from voxel (i, j, k) to RAS mm."""
    places = np.nonzero(labels)
    values = labels[places].astype(np.int64)
    if not len(values):
        return Structures(np.zeros((2, 3)), {})
    ends = [(float(at.min()) - 0.5, float(at.max()) + 0.5) for at in places[::-1]]
    lengths = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)[::-1]  # of k, j, i
    areas = []
    for axis, at in enumerate(places):
        size = labels.shape[axis]
        counts = np.bincount(values * size + at, minlength=(values.max() + 1) * size).reshape(-1, size)
        slices = (counts > 0).sum(1)
        areas.append(counts.sum(1) / np.maximum(slices, 1) * lengths.prod() / lengths[axis])
    least = np.min(areas, axis=0)
    found = np.flatnonzero(least)
    return Structures(np.array(ends).T, {int(v): float(np.sqrt(4 * least[v] / np.pi)) for v in found})


def intensities(voxels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A sample of the intensities inside the structures, float64; empty where the two grids differ."""
    if voxels.shape != labels.shape:
        return np.empty(0)
    inside = voxels[labels > 0].astype(np.float64)
    return inside[::max(1, len(inside) // _SAMPLES)]


def window_of(samples: Sequence[np.ndarray], least: tuple[float, float]) -> tuple[float, float]:
    """The window that holds what the structures of some scans hold (0.5 to 99.5 % of each), and at least ``least``."""
    ends = [np.percentile(sample, _PERCENTILES) for sample in samples if len(sample)]
    if not ends:
        return least
    low, high = np.median(ends, axis=0)
    return min(least[0], float(np.floor(low))), max(least[1], float(np.ceil(high)))
