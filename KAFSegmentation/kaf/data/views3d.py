"""Two overlapping crops of an unlabelled scan with their exact places (Xie et al., 2020).

A batch is a function of (seed, step), as in 2-D.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kaf.data.cache import CachedCase
from kaf.data.geometry import Warp
from kaf.data.geometry3d import VolumeWarp, place_box
from kaf.data.intensity import change_intensity
from kaf.data.patches3d import darkest
from kaf.data.views import View, ViewBatch, hash_of
from kaf.settings.augmentation import AugmentationSettings

_BOX = (1.1, 1.4)  # sides of a crop, of the patch that it is resized to
_TRIES = 50


class VolumePairs:
    """Draws pairs of crops, views ``anchor`` and ``again`` of :class:`View` with one more axis:

    image (B, 1, D, H, W), valid (B, D, H, W), matrix (B, 3, 4) from (slice, row, column, 1) of the view to (slice,
    row, column) of the canonical volume, in voxels; no keypoints.

    Each crop is a box of 110 to 140 % of the patch, resized to it, mirrored along every axis (with
    ``augmentation.flips``), turned in the plane, and changed in intensity.  The two share at least
    ``least_overlap`` of the smaller box, as long as they are not turned.
    """

    def __init__(self, cases: Sequence[CachedCase], size: tuple[int, int, int], augmentation: AugmentationSettings,
                 seed: int, least_overlap: float = 0.1):
        self._cases, self._size, self._seed = list(cases), np.array(size), seed
        self._augmentation, self._least = augmentation, least_overlap
        flips = augmentation.flips
        self._flips = (all(flips), *flips)
        self._border: dict[int, float] = {}

    def __len__(self) -> int:
        """Pairs of one epoch: one of every scan."""
        return len(self._cases)

    def batch(self, step: int, count: int, part: slice | None = None) -> ViewBatch:
        """The pairs of training step ``step``: of ``count`` scans, or of the ``part`` of them named."""
        drawn = np.random.default_rng([self._seed, step]).choice(
            len(self._cases), count, replace=count > len(self._cases))
        items = list(range(count)[part] if part is not None else range(count))
        made: dict[str, list[tuple[np.ndarray, VolumeWarp, np.ndarray]]] = {"anchor": [], "again": []}
        position = []
        for item in items:
            c = int(drawn[item])
            rng = np.random.default_rng([self._seed, step, item])
            warps = self._pair(rng, self._cases[c].image.shape)
            for name, warp in zip(made, warps, strict=True):
                made[name].append(self._cut(rng, c, warp))
            middle = warps[0].step * (self._size[0] - 1) / 2 + warps[0].first
            position.append((middle + 1) / len(self._cases[c].image))
        views = {name: _stack(pieces) for name, pieces in made.items()}
        seeds = [hash_of(self._seed, step, item) for item in items]
        return ViewBatch(views, torch.tensor(position, dtype=torch.float32),
                         torch.full((len(items), 0), -1, dtype=torch.int64), torch.tensor(seeds))

    def _pair(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> list[VolumeWarp]:
        boxes = self._size * rng.uniform(*_BOX, (2, 1))
        first = np.array([place_box(rng, size, n) for size, n in zip(boxes[0], shape, strict=True)])
        for _ in range(_TRIES):
            near = first + rng.uniform(-0.5, 0.5, 3) * boxes.sum(0)
            second = np.array([place_box(rng, *at) for at in zip(boxes[1], shape, near, strict=True)])
            if shared(first, boxes[0], second, boxes[1]) >= self._least:
                break
        else:
            second = first
        return [self._warp(rng, middle, box / self._size)
                for middle, box in zip((first, second), boxes, strict=True)]

    def _warp(self, rng: np.random.Generator, middle: np.ndarray, zoom: np.ndarray) -> VolumeWarp:
        """The resized box around ``middle``, mirrored and turned at random."""
        signs = np.array([-1.0 if flip and rng.random() < 0.5 else 1.0 for flip in self._flips]) * zoom
        angle = np.deg2rad(rng.uniform(-1, 1) * self._augmentation.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * signs[1:]
        centre = (self._size - 1) / 2
        plane = np.concatenate([turn, (middle[1:] - turn @ centre[1:])[:, None]], 1)
        return VolumeWarp(Warp(plane, (int(self._size[1]), int(self._size[2]))), int(self._size[0]), float(signs[0]),
                          float(middle[0] - signs[0] * centre[0]))

    def _cut(self, rng: np.random.Generator, c: int, warp: VolumeWarp) -> tuple[np.ndarray, VolumeWarp, np.ndarray]:
        volume = self._cases[c].image
        if c not in self._border:
            self._border[c] = darkest(volume)
        image = change_intensity(rng, warp.image(volume, self._border[c]), self._augmentation.intensity)
        return image, warp, warp.valid(volume.shape)


def shared(middle: np.ndarray, sides: np.ndarray, other: np.ndarray, other_sides: np.ndarray) -> float:
    """Volume that two upright boxes share, of the smaller of them."""
    low = np.maximum(middle - sides / 2, other - other_sides / 2)
    high = np.minimum(middle + sides / 2, other + other_sides / 2)
    return float((high - low).clip(0).prod() / min(sides.prod(), other_sides.prod()))


def _stack(pieces: Sequence[tuple[np.ndarray, VolumeWarp, np.ndarray]]) -> View:
    count = len(pieces)
    return View(torch.from_numpy(np.stack([image for image, _, _ in pieces])[:, None]), torch.zeros(count, 0, 2),
                torch.zeros(count, 0, dtype=torch.bool), torch.from_numpy(np.stack([valid for _, _, valid in pieces])),
                torch.from_numpy(np.stack([warp.matrix for _, warp, _ in pieces]).astype(np.float32)))
