"""How far a scan lies from the scans that a model was trained on: spacing, intensities, mean embedding.

Each group of features is compared with its mean and standard deviation over the training scans: the root mean square of
the deviations in standard deviations, divided by the value that 95 % of the training scans stay below.  The distance of
a scan is that of its strangest group: up to 1 for a scan like those of the training set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Features = dict[str, np.ndarray]
SPACING, INTENSITY, EMBEDDING = "spacing", "intensity", "embedding"

_TISSUE = 0.1  # of the range of intensities, as for their normalisation
_QUANTILES = (5, 25, 50, 75, 95)
_SAMPLES = 200_000
_USUAL = 95  # percent of the training scans have a distance of at most 1
# What a scan may differ by without being strange, where all training scans are alike: 10 % of the distance between
# slices, 25 % of the field of view, a tenth of the standard deviation of tissue; of an embedding, a tenth of the mean
# deviation over its channels.
_LEAST = {SPACING: (0.1, 0.25), INTENSITY: (0.1,)}
_LEAST_SHARE = 0.1


def scan_features(image: np.ndarray, spacing: Sequence[float], embedding: np.ndarray | None = None) -> Features:
    """Features of a prepared scan: image (S, H, W) with normalised intensities, spacing (slice, row, column) in mm,
    embedding (C,) of :class:`MeanEmbedding`.

    spacing: logarithms of the distance between slices and of the side of the field of view (geometric mean, mm).
    intensity: percentiles 5, 25, 50, 75 and 95 of the tissue, the share of tissue, the mean difference of neighbours.
    """
    step = max(1, math.isqrt(image.size // _SAMPLES))
    sample = np.asarray(image[:, ::step, ::step], np.float32)
    level = tissue_level(image)
    tissue = sample[sample > level]
    if tissue.size < 2:
        tissue = sample.reshape(-1)
    pairs = np.abs(np.diff(np.asarray(image[:, ::step]), axis=2))[np.asarray(image[:, ::step, 1:]) > level]
    side = math.sqrt(image.shape[1] * spacing[1] * image.shape[2] * spacing[2])
    quantiles = np.percentile(tissue, _QUANTILES)
    share, rough = float(np.mean(sample > level)), float(pairs.mean()) if pairs.size else 0.0
    found = {SPACING: np.log([spacing[0], side]), INTENSITY: np.array([*quantiles, share, rough], np.float64)}
    return found if embedding is None else {**found, EMBEDDING: embedding}


def tissue_level(image: np.ndarray) -> float:
    low, high = float(image.min()), float(image.max())
    return low + _TISSUE * (high - low)


class MeanEmbedding:
    """The bottleneck's mean over the tissue of a slice, then over slices; air does not count."""

    def __init__(self, image: np.ndarray):
        self._image, self._level = image, tissue_level(image)
        self._means: list[np.ndarray] = []

    def add(self, part: Sequence[int], bottleneck: Tensor) -> None:
        """Bottleneck (B, C, h, w) of the slices ``part``; one of another shape is none."""
        if bottleneck.ndim != 4 or not bottleneck.numel():
            return
        tissue = torch.from_numpy((self._image[list(part)] > self._level).astype(np.float32))[:, None]
        with torch.inference_mode():
            height, width = bottleneck.shape[2:]
            share = F.adaptive_avg_pool2d(tissue, (height, width)).to(bottleneck.device)
            total = share.sum((2, 3))
            mean = (bottleneck.float() * share).sum((2, 3)) / total.clamp(min=1e-6)
            self._means += list(mean[total[:, 0] > 0].cpu().double().numpy())

    def result(self) -> np.ndarray | None:
        """(C,) float64; None where there is no tissue, or the network has no bottleneck of its own."""
        return np.mean(self._means, axis=0) if self._means else None


def training_statistics(scans: Sequence[Features]) -> dict[str, Any]:
    """What the card keeps of the training scans: per group mean, standard deviation and usual deviation."""
    groups = {}
    for name in (SPACING, INTENSITY, EMBEDDING):
        values = np.array([scan[name] for scan in scans if name in scan])
        if not len(values):
            continue
        spread = values.std(axis=0)
        least = np.resize(_LEAST[name], spread.shape) if name in _LEAST else _LEAST_SHARE * spread.mean()
        spread = np.sqrt(spread ** 2 + np.maximum(least, 1e-6) ** 2)
        mean = values.mean(axis=0)
        usual = np.percentile([_deviation(row, mean, spread) for row in values], _USUAL)
        groups[name] = {"mean": _rounded(mean), "sd": _rounded(spread), "usual": round(max(float(usual), 1.0), 4)}
    return {"scans": len(scans), "groups": groups}


def distance(statistics: Mapping[str, Any], scan: Features) -> tuple[float, str] | None:
    """(distance, the group that it comes from); None where nothing can be compared."""
    found = []
    for name, group in statistics.get("groups", {}).items():
        values = scan.get(name)
        if values is not None and len(values) == len(group["mean"]):
            deviation = _deviation(values, np.array(group["mean"]), np.array(group["sd"]))
            found.append((deviation / group["usual"], name))
    return max(found) if found else None


def _deviation(values: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> float:
    return float(np.sqrt(np.mean(((values - mean) / spread) ** 2)))


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
