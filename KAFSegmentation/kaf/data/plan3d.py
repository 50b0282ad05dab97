"""What a 3-D network takes from the scans: its patch, and the strides and kernels that go with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaf.settings.network import NetworkSettings
from kaf.settings.stages import design, total_stride

_VOXELS = 16 * 96 * 96  # of the published patch (Xie et al., 2020)


def fit_network(network: NetworkSettings, shapes: Sequence[tuple[int, int, int]], spacing: Sequence[float],
                side: int | None = None) -> NetworkSettings:
    """The network with patch, strides and kernels written down, those that its settings leave open from the scans.

    Args:
        shapes: (slices, rows, columns) of the scans on the canonical grid.
        spacing: their usual (slice, row, column) spacing in mm.
        side: rows and columns of a patch, if they were asked for.
    """
    patch: Sequence[float] = network.patch or fit_patch(shapes, spacing)
    if side is not None:
        patch = (patch[0], side, side)
    if not network.strides:
        strides, kernels = design(patch, spacing)
        network = network.model_copy(update={"strides": strides, "kernels": kernels})
    whole = [int(np.ceil(n / cell)) * cell for n, cell in zip(patch, total_stride(network), strict=True)]
    asked = network.patch is not None and side is None
    return network.model_copy(update={"patch": network.patch if asked else tuple(whole)})


def fit_patch(shapes: Sequence[tuple[int, int, int]], spacing: Sequence[float]) -> tuple[float, float, float]:
    """The size that holds nine of ten scans, or as large a cube in mm as the published patch has voxels."""
    sizes = np.percentile(np.array(shapes, float), 90, axis=0)
    longest = float((sizes * spacing).max())
    while np.minimum(sizes, longest / np.array(spacing)).prod() > _VOXELS:
        longest *= 0.98
    fitted = np.maximum(np.minimum(sizes, longest / np.array(spacing)), 4.0)
    return float(fitted[0]), float(fitted[1]), float(fitted[2])
