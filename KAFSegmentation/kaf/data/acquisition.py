"""In which plane scans were acquired, judged by their spacings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kaf.imaging.grid import anatomical_axes

ISOTROPIC = 1.2
"""Largest over smallest spacing up to which every plane is as sharp as the others."""
LARGEST_SPACING = "largest-spacing"
_ACROSS = ("sagittal", "coronal", "axial")  # the plane of the slices that follow each other along R, A, S


def acquired_plane(affine: np.ndarray) -> str | None:
    """The plane of a scan's slices, a value of the setting ``slicing_axis``; None where the scan is nearly isotropic.

    Slices follow each other along the axis whose spacing differs from that of the other two: thick slices (1 x 1 x 8
    mm, "largest-spacing", whatever their direction) and slices closer to each other than their pixels are wide
    (4 x 4 x 2.5 mm of a planning CT; the plane that is nearest).

    Args:
        affine: 4 x 4, voxel index (i, j, k, 1) to RAS mm.
    """
    lengths = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    small, middle, large = np.sort(lengths)
    if large <= ISOTROPIC * small:
        return None
    if large / middle >= middle / small:
        return LARGEST_SPACING
    thin = int(np.argmin(lengths))
    return _ACROSS[anatomical_axes(affine).index(thin)]


def usual_plane(affines: Sequence[np.ndarray]) -> str | None:
    """The plane that most scans were acquired in; of equally many the one that is not None and comes first."""
    counts = Counter(acquired_plane(affine) for affine in affines)
    return max(counts, key=lambda plane: (counts[plane], plane is not None))
