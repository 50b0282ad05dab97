"""What a network makes of a whole scan: the mean of its bottleneck, and how sure it is of what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.cache import CachedCase
from kaf.inference.loaded_model import LoadedModel
from kaf.inference.slices import SlicePredictor
from kaf.inference.uncertainty import entropy
from kaf.network import Features
from kaf.network.kafunet import SIZE_MULTIPLE
from kaf.runtime.errors import SettingsError

_TISSUE = 0.1  # of the range of intensities, as for their normalisation
_FOREGROUND = 0.1  # least probability of not being background


class _ToBottleneck(nn.Module):
    """A network that stops there."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, keypoints: Tensor | None = None, mask: Tensor | None = None,
                capture: bool = False) -> Features:
        features: Features = self.network(image, keypoints, mask, until="bottleneck")
        return features


def embed(ready: LoadedModel, case: CachedCase, batch: int) -> np.ndarray:
    """(C,) float64: the bottleneck's mean over the tissue of a slice, then over the slices that have any.

    Air does not count, so that neither the field of view nor the size of the scan does.

    Raises:
        SettingsError: a network that has no bottleneck of its own to look at.
    """
    if ready.card.network["kind"] != "kaf" and not ready.in_3d:
        raise SettingsError("by", f"coverage cannot be computed with a network of kind {ready.card.network['kind']}",
                            "Use weights that KAF has pretrained, or --by uncertainty.")
    network = _ToBottleneck(ready.network)
    means, shares = list[np.ndarray](), list[np.ndarray]()
    for values, tissue in _in_3d(network, ready, case) if ready.in_3d else _in_2d(network, ready, case, batch):
        weight = tissue.flatten(1).to(values.device)
        mean = (values.float().flatten(2) * weight[:, None]).sum(2) / weight.sum(1, keepdim=True).clamp(min=1e-6)
        means.append(mean.cpu().double().numpy())
        shares.append(weight.sum(1).cpu().double().numpy())
    every, share = np.concatenate(means), np.concatenate(shares)
    if ready.in_3d:  # patches at the border hold less
        return np.average(every, axis=0, weights=share + 1e-9)
    return every[share > 0].mean(0) if (share > 0).any() else every.mean(0)


def _in_2d(network: nn.Module, ready: LoadedModel, case: CachedCase, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, C, h, w) bottlenecks and (B, h, w) shares of tissue."""
    predictor = SlicePredictor(network, ready.place, ready.card.slice_context, batch)
    level = _tissue_level(case.image)
    for part, features in predictor(case.image, case.keypoints):
        tissue = torch.from_numpy((case.image[part] > level).astype(np.float32))
        tissue = F.pad(tissue, (0, -tissue.shape[2] % SIZE_MULTIPLE, 0, -tissue.shape[1] % SIZE_MULTIPLE))
        size = features.bottleneck.shape[2:]
        yield features.bottleneck, F.adaptive_avg_pool2d(tissue[:, None], (size[0], size[1]))[:, 0]


def _in_3d(network: nn.Module, ready: LoadedModel, case: CachedCase) -> Iterator[tuple[Tensor, Tensor]]:
    """(1, C, d, h, w) bottlenecks and (1, d, h, w) shares of tissue of patches side by side."""
    patch = ready.card.network.get("patch") or (16, 96, 96)
    level, border = _tissue_level(case.image), float(case.image.min())
    for corner in np.ndindex(*(-(-size // side) for size, side in zip(case.image.shape, patch, strict=True))):
        where = tuple(slice(c * side, (c + 1) * side) for c, side in zip(corner, patch, strict=True))
        found = np.full(patch, border, np.float32)
        inside = case.image[where]
        found[tuple(slice(size) for size in inside.shape)] = inside
        tissue = torch.from_numpy((found > level).astype(np.float32))[None]
        with torch.inference_mode(), ready.place.autocast():
            values = network(torch.from_numpy(found)[None, None].to(ready.place.device)).bottleneck
        d, h, w = values.shape[2:]
        yield values, F.adaptive_avg_pool3d(tissue[None], (d, h, w))[0]


def _tissue_level(image: np.ndarray) -> float:
    low, high = float(image.min()), float(image.max())
    return low + _TISSUE * (high - low)


@dataclass(frozen=True)
class Doubt:
    """How unsure a model is of a scan: the mean entropy (0..1) over where it finds, or may find, a structure; the same
    for every label (NaN where it finds none of it); the slice with most doubt; the share of voxels looked at."""

    mean: float
    by_label: dict[int, float]
    worst_slice: int
    share: float


def doubt(ready: LoadedModel, case: CachedCase, predictor: SlicePredictor) -> Doubt:
    """The mean predictive entropy over the foreground: a mean, so that a large scan is not more uncertain than a small
    one.  Where the model finds nothing at all the doubt is 1."""
    sums, counts = np.zeros(256), np.zeros(256)
    by_slice: dict[int, float] = {}
    looked = 0
    for part, features in predictor(case.image, case.keypoints):
        probability = features.logits.softmax(1)
        unsure = entropy(features.logits)
        region = (1 - probability[:, 0]) > _FOREGROUND
        likely = probability[:, 1:].argmax(1) + 1
        looked += region.numel()
        sums += _sum_by(likely[region], unsure[region])
        counts += _sum_by(likely[region], torch.ones_like(unsure[region]))
        by_slice |= dict(zip(part, (unsure * region).sum((1, 2)).tolist(), strict=True))
    if not counts.sum():
        return Doubt(1.0, {}, 0, 0.0)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    by_label = {label.value: float(means[label.value]) for label in ready.card.labels}
    return Doubt(float(sums.sum() / counts.sum()), by_label, max(by_slice, key=lambda index: by_slice[index]),
                 float(counts.sum() / looked))


def _sum_by(labels: Tensor, values: Tensor) -> np.ndarray:
    return np.bincount(labels.cpu().numpy().reshape(-1), values.cpu().double().numpy().reshape(-1), 256)
