"""Several scans of one patient on the same voxels as the channels of one volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError

_SAME_GRID = 1e-2  # mm by which the affines of two channels may differ, as of a scan and its label map


def with_channels(volumes: Sequence[Volume]) -> Volume:
    """The first volume with the voxels of the others as further channels.

    Raises:
        InputError: one of them has other voxels, or they lie elsewhere.
    """
    first, *others = volumes
    for volume in others:
        if volume.shape != first.shape:
            sizes = [" x ".join(map(str, shape[::-1])) for shape in (volume.shape, first.shape)]
            raise InputError(volume.source, f"has {sizes[0]} voxels where {first.source}, another channel of the same "
                             f"scan, has {sizes[1]}", "Resample it onto the voxels of the first channel.")
        if not np.allclose(volume.affine, first.affine, atol=_SAME_GRID):
            raise InputError(volume.source, f"lies elsewhere in space than {first.source}, another channel of the same "
                             "scan", "Resample it onto the voxels of the first channel.")
    warnings = (warning for volume in volumes for warning in volume.warnings)
    return replace(first, more=tuple(volume.voxels for volume in others), warnings=tuple(dict.fromkeys(warnings)))


def first_channel(image: np.ndarray) -> np.ndarray:
    """(S, H, W) of prepared slices with one channel, or the first of (S, C, H, W)."""
    return image if image.ndim == 3 else image[:, 0]
