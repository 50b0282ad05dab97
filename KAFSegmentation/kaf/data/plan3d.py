"""What a 3-D network takes from the scans: its patch, and the strides and kernels that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from kaf.network.volumes import design, total_stride
from kaf.runtime.errors import SettingsError
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings

R = TypeVar("R", FinetuneSettings, PretrainSettings)

_VOXELS = 16 * 96 * 96  # of the published patch (PGL 4.2)
_FEW = 4  # patches in a batch where nothing was said; 16 slices hold as many pixels as 4 patches or fewer


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


def small_batches(settings: R) -> R:
    """For a 3-D network fewer patches at a time than slices, where nothing was said; and what does not go with it.

    Raises:
        SettingsError: neighbouring slices as channels, which patches hold already, or unlabelled slices.
    """
    if settings.network is None or settings.network.dimensions == 2:
        return settings
    if settings.slice_context:
        raise SettingsError("slice_context", "is for networks that see slices; a 3-D network sees patches",
                            "Leave it out with network.dimensions 3.")
    if isinstance(settings, FinetuneSettings) and settings.unlabelled:
        raise SettingsError("unlabelled", "mixes slices, and a 3-D network sees patches",
                            "Leave it out with network.dimensions 3; pretrain on these scans with --method pgl.")
    if "batch" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"batch": _FEW})
