"""Dice from voxel counts: per volume, and pooled over volumes.  numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def overlap(prediction: np.ndarray, reference: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxel counts of the foreground labels of two label maps.

    Args:
        prediction: integers 0 .. classes - 1, any shape.
        reference: the same shape and range.
        classes: labels, background included.

    Returns:
        (classes - 1,) intersections |P and R| and (classes - 1,) sums of sizes |P| + |R|.

    Raises:
        ValueError: a value above the range, or shapes of different length.
    """
    joint = np.bincount(reference.reshape(-1).astype(np.int64) * classes + prediction.reshape(-1),
                        minlength=classes * classes).reshape(classes, classes)
    return np.diag(joint)[1:], (joint.sum(0) + joint.sum(1))[1:]


def dice(intersections: ArrayLike, sums: ArrayLike) -> np.ndarray:
    """2 |P and R| / (|P| + |R|), element by element; NaN where neither map has a voxel of the label."""
    both, total = np.asarray(intersections, dtype=np.float64), np.asarray(sums, dtype=np.float64)
    return np.divide(2.0 * both, total, out=np.full_like(total, np.nan), where=total > 0)


def pooled_dice(intersections: ArrayLike, sums: ArrayLike) -> np.ndarray:
    """Dice per label from voxel counts pooled over all slices of all cases, as the KAF paper reports it.

    Large cases weigh more than small ones and an empty slice costs nothing, so the number is usually higher
    than the mean of per-volume Dice.  KAF's headline figure is the mean over the foreground labels of this.

    Args:
        intersections: |P and R| in voxels, shape (anything..., labels).
        sums: |P| + |R| in voxels, same shape.

    Returns:
        Shape (labels,), NaN for a label without a voxel in either map.
    """
    both, total = np.asarray(intersections, dtype=np.float64), np.asarray(sums, dtype=np.float64)
    labels = both.shape[-1]
    return dice(both.reshape(-1, labels).sum(axis=0), total.reshape(-1, labels).sum(axis=0))
