"""Does pretraining help yet?  A linear probe of the frozen encoder, on a few labelled cases.

The probe is fitted to every second patient and evaluated on the others, then the other way round.  It works on a coarse
grid (every fourth pixel), so its Dice compares representations and does not predict that of a segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice, overlap
from kaf.inference.slices import SlicePredictor
from kaf.network import Features
from kaf.runtime.device_choice import DeviceChoice

_STRIDE = 4
_RIDGE = 1e-2


def probe(network: nn.Module, place: DeviceChoice, cases: Sequence[CachedCase], context: int) -> float:
    """Mean Dice, 0..1, of the linear probe over labels and cases; with one patient, odd and even slices are the halves;
    NaN where there are too few.

    network: its ``Features.encoder`` and ``Features.bottleneck`` are used, in evaluation mode.  cases:
    labelled.  context: neighbouring slices seen on each side.
    """
    patients = sorted({case.patient for case in cases})
    pixels, labels, halves = [], [], []
    for case in cases:
        x, y = _pixels(network.eval(), place, case, context)
        turn = np.arange(len(y)) if len(patients) == 1 else np.full(len(y), patients.index(case.patient))
        pixels.append(x)
        labels.append(y)
        halves.append(torch.from_numpy(turn % 2))
    classes = 1 + max(int(y.max()) for y in labels)
    scores = []
    for half in (0, 1):
        # Slices of different cases may differ in size: what is joined is their places.
        taught = [(x[h != half].flatten(0, 1), y[h != half].flatten())
                  for x, y, h in zip(pixels, labels, halves, strict=True)]
        if not any(len(y) for _, y in taught):
            continue
        reader = _Reader(torch.cat([x for x, _ in taught]), torch.cat([y for _, y in taught]), classes)
        for x, y, h in zip(pixels, labels, halves, strict=True):
            mine = h == half
            if bool(mine.any()):
                scores.append(dice(*overlap(reader(x[mine]).numpy(), y[mine].numpy(), classes)))
    found = np.array(scores)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def _pixels(network: nn.Module, place: DeviceChoice, case: CachedCase, context: int) -> tuple[Tensor, Tensor]:
    """(S, P, D) features and (S, P) labels of the coarse grid of every slice."""
    assert case.labels is not None
    height, width = case.image.shape[1:]
    size = (-(-height // _STRIDE), -(-width // _STRIDE))
    found = [_joined(features, size) for _, features in
             SlicePredictor(network, place, context)(case.image, case.keypoints)]
    coarse = torch.from_numpy(np.ascontiguousarray(case.labels[:, ::_STRIDE, ::_STRIDE])).long()
    return torch.cat(found), coarse.flatten(1)


def _joined(features: Features, size: tuple[int, int]) -> Tensor:
    """(B, P, D): all maps of the encoder on one grid of ``size``."""
    maps = []
    for values in [*features.encoder, features.bottleneck]:
        values = values.float()
        stride = _STRIDE * values.shape[2] // features.encoder[0].shape[2]
        if stride > 1:
            values = F.avg_pool2d(values, stride, ceil_mode=True)
        elif values.shape[2] * _STRIDE != features.encoder[0].shape[2]:
            full = [n // _STRIDE for n in features.encoder[0].shape[2:]]
            values = F.interpolate(values, full, mode="bilinear", align_corners=False)
        maps.append(values[:, :, :size[0], :size[1]])
    return torch.cat(maps, 1).flatten(2).transpose(1, 2).cpu()


class _Reader:
    """Ridge regression on labels, each label weighing as the square root of its size."""

    def __init__(self, pixels: Tensor, labels: Tensor, classes: int):
        self._mean, self._scale = pixels.mean(0), pixels.std(0).clamp(min=1e-4)
        x = self._with_one(pixels).double()
        y = F.one_hot(labels, classes).double()
        weight = y.sum(0).clamp(min=1).rsqrt()[labels][:, None]
        gram = x.T @ (x * weight) / weight.sum()
        gram += _RIDGE * torch.eye(len(gram), dtype=gram.dtype)
        # Not linalg.solve: with two threads MKL's LU fails or hangs from about 150 rows on (torch 2.13).
        self._matrix = torch.cholesky_solve(x.T @ (y * weight) / weight.sum(), torch.linalg.cholesky(gram)).float()

    def _with_one(self, pixels: Tensor) -> Tensor:
        scaled = (pixels - self._mean) / self._scale
        return torch.cat([scaled, scaled.new_ones(*scaled.shape[:-1], 1)], -1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(..., D) -> (...) labels."""
        return (self._with_one(pixels) @ self._matrix).argmax(-1)
