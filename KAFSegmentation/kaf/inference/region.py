"""The part of a scan that is segmented: a box in it, and the largest connected part of a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaf.imaging.grid import Grid
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError


def roi_box(volume: Volume, roi: Sequence[float]) -> np.ndarray:
    """(2, 3) int: first and last voxel (i, j, k) that the RAS box ``roi`` touches, inside the volume.

    A voxel reaches half its size around its centre, so that a box thinner than a slice still lies in one.
    """
    low, high = np.array(roi[:3]), np.array(roi[3:])
    if (high <= low).any():
        raise InputError("roi", f"the box {tuple(roi)} has no extent along one of its axes",
                         "Give R, A, S of the lower corner, then of the upper corner, in mm.")
    corners = np.array([[x, y, z, 1] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    ijk = (np.linalg.inv(volume.affine) @ corners.T)[:3].T
    last = np.array(volume.shape[::-1]) - 1
    first, final = np.floor(ijk.min(0) + 0.5 + 1e-6), np.ceil(ijk.max(0) - 0.5 - 1e-6)
    if (first > last).any() or (final < 0).any():
        raise InputError("roi", f"the box {tuple(roi)} lies outside the scan",
                         "Place the box on the scan; the numbers are RAS millimetres.")
    return np.stack([first.clip(0, last), final.clip(0, last)]).astype(int)


def slices_in(grid: Grid, box: np.ndarray) -> range:
    """The canonical slices that the voxel box touches."""
    ends = grid.points_to_canonical(box)[:, 0]
    return range(max(0, int(np.floor(ends.min()))), min(grid.n_slices, int(np.ceil(ends.max())) + 1))


def clear_outside(labels: np.ndarray, box: np.ndarray) -> None:
    """Zero what lies outside the voxel box, in place."""
    (i0, j0, k0), (i1, j1, k1) = box
    labels[:k0], labels[k1 + 1:] = 0, 0
    labels[:, :j0], labels[:, j1 + 1:] = 0, 0
    labels[:, :, :i0], labels[:, :, i1 + 1:] = 0, 0


def keep_largest(labels: np.ndarray, values: Sequence[int]) -> None:
    """Keep only the largest face-connected part of each of these labels, in place."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labels) if values else []
    for value in values:
        if value > len(boxes) or boxes[value - 1] is None:
            continue
        view = labels[boxes[value - 1]]
        parts, count = ndimage.label(view == value)
        if count > 1:
            sizes = np.bincount(parts.reshape(-1))
            sizes[0] = 0
            view[(parts > 0) & (parts != sizes.argmax())] = 0
