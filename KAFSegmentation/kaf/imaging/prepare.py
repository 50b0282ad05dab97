"""From a volume to what a network sees: canonical slices, standard intensities, keypoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.keypoints import Keypoints, detect_slices
from kaf.imaging.volume import Volume
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

_SAMPLES = 1_500_000


def normalise(voxels: np.ndarray, settings: NormalisationSettings) -> tuple[float, float, float, float]:
    """(low, high, offset, scale): clip to low..high, then (x - offset) / scale.

    "tissue": percentiles of the whole volume; mean and standard deviation over the voxels above a tenth of
    that range, so that the amount of air around the patient does not matter.  "volume": the same percentiles;
    mean and standard deviation over all voxels, clipped.  "window": the fixed range becomes -1..1.  ``voxels``
    are (slice, row, column) in canonical order; of a large volume every few pixels are taken, the same ones
    however the scan is stored.
    """
    if settings.kind == "window":
        low, high = settings.low, settings.high
        return low, high, (low + high) / 2, (high - low) / 2
    step = max(1, math.isqrt(voxels.size // _SAMPLES))
    sample = voxels[:, ::step, ::step].astype(np.float64).reshape(-1)
    low, high = np.percentile(sample, [settings.low, settings.high])
    if high <= low:
        return float(low), float(low) + 1.0, float(low), 1.0
    tissue = np.clip(sample, low, high)
    if settings.kind == "tissue":
        tissue = tissue[tissue > low + 0.1 * (high - low)]
    if tissue.size < 2 or tissue.std() == 0:
        return float(low), float(high), float(low), float(high - low)
    return float(low), float(high), float(tissue.mean()), float(tissue.std())


@dataclass(frozen=True)
class Prepared:
    """Canonical slices of one volume: image (S, H, W) float32, or (S, C, H, W) of several channels, keypoints per
    slice, and the way back."""

    image: np.ndarray
    keypoints: list[Keypoints]
    grid: Grid


def prepare(volume: Volume, spacing: float | None, slicing_axis: str, normalisation: NormalisationSettings,
            keypoints: KeypointSettings | None, describe: bool = False, threads: int = 2,
            more: Sequence[NormalisationSettings] = ()) -> Prepared:
    """Resample in-plane, standardise intensities, detect keypoints (none where no network will look at them).

    Args:
        more: the normalisation of each further channel of the volume.

    Raises:
        InputError: at this spacing the slices would have far too many pixels, or hardly any.
    """
    grid = canonical_grid(volume.voxels.shape, volume.affine, spacing, slicing_axis)
    grid.refuse_size(volume.source or "scan")
    channels = [_standardised(voxels, grid, settings) for voxels, settings in
                zip((volume.voxels, *volume.more), (normalisation, *more), strict=True)]
    image = channels[0] if len(channels) == 1 else np.stack(channels, 1)
    if keypoints is None:
        none = Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32))
        return Prepared(image, [none] * len(image), grid)
    looked_at = channels[min(keypoints.channel, len(channels) - 1)]
    return Prepared(image, detect_slices(looked_at, keypoints, describe, threads), grid)


def _standardised(voxels: np.ndarray, grid: Grid, normalisation: NormalisationSettings) -> np.ndarray:
    low, high, offset, scale = normalise(grid.view(voxels), normalisation)
    image = grid.to_canonical(voxels)
    np.clip(image, low, high, out=image)
    image -= np.float32(offset)
    image /= np.float32(scale)
    return image


def stack_context(image: np.ndarray, index: int, context: int) -> np.ndarray:
    """(2 * context + 1, H, W): slice ``index`` with its neighbours; the ends are repeated.

    Of slices with C channels, (S, C, H, W), it is ((2 * context + 1) * C, H, W), the channels of a slice together.
    """
    around = np.clip(np.arange(index - context, index + context + 1), 0, len(image) - 1)
    return image[around].reshape(-1, *image.shape[-2:])
