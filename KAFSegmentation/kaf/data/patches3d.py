"""Batches of labelled 3-D patches: every one is a function of (seed, step), so a resumed run sees the same data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaf.data.batches import Batch, are_partial, known_values, together
from kaf.data.cache import CachedCase
from kaf.data.geometry import sample_warp
from kaf.data.geometry3d import VolumeWarp, place_box
from kaf.data.intensity import change_intensity
from kaf.settings.augmentation import AugmentationSettings

_REMEMBERED = 2000  # places of each label and case, of which patches are drawn
_LOOK_EVERY = 4


def darkest(image: np.ndarray) -> float:
    """What stands for air around a scan: the lowest intensity of every fourth row and column."""
    return float(image[:, ::_LOOK_EVERY, ::_LOOK_EVERY].min())


def channels_first(image: np.ndarray) -> np.ndarray:
    """(C, S, H, W) of prepared slices, (S, H, W) or (S, C, H, W)."""
    return image[None] if image.ndim == 3 else np.moveaxis(image, 1, 0)


class LabelledVolumes:
    """Patches of labelled cases, drawn at random; ``foreground`` is the share of them that look at a structure.

    Rotation, scale and elastic changes are those of the plane; slices keep their places (but for a mirror).
    """

    def __init__(self, cases: Sequence[CachedCase], size: tuple[int, int, int], augmentation: AugmentationSettings,
                 seed: int, foreground: float = 0.67):
        self._cases, self._size, self._seed = list(cases), size, seed
        self._augmentation, self._foreground = augmentation, foreground
        self._border = [[darkest(channel) for channel in channels_first(case.image)] for case in self._cases]
        self._partial = are_partial(self._cases)
        self._places = [_places(case, seed) for case in self._cases]

    def __len__(self) -> int:
        """Patches of one epoch: one of every case."""
        return len(self._cases)

    def batch(self, step: int, count: int) -> Batch:
        """Image (count, C, D, H, W) and labels (count, D, H, W) of training step ``step``; there are no keypoints."""
        rng = np.random.default_rng([self._seed, step])
        images, labels, cases, ignored = zip(*(self._patch(rng) for _ in range(count)), strict=True)
        return Batch(np.stack(images), np.stack(labels), np.zeros((count, 0, 2), np.float32),
                     np.zeros((count, 0), bool), known_values(cases) if self._partial else None, together(ignored))

    def _patch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, CachedCase, np.ndarray | None]:
        c = int(rng.integers(len(self._cases)))
        case, settings = self._cases[c], self._augmentation
        assert case.labels is not None
        wanted = self._look_at(rng, self._places[c])
        shape = case.labels.shape
        middle = [place_box(rng, size, n, at) for size, n, at in zip(self._size, shape, wanted, strict=True)]
        plane = sample_warp(rng, shape[1:], self._size[1:], settings, (middle[1], middle[2]))
        step = -1.0 if all(settings.flips) and rng.random() < 0.5 else 1.0
        first = np.floor(middle[0] - step * (self._size[0] - 1) / 2 + 0.5)  # slices stay as sharp as they are
        warp = VolumeWarp(plane, self._size[0], step, float(first))
        channels = zip(channels_first(case.image), self._border[c], strict=True)
        image = np.stack([change_intensity(rng, warp.image(channel, border), settings.intensity)
                          for channel, border in channels])
        return image, warp.labels(case.labels), case, None if case.ignored is None else warp.labels(case.ignored) > 0

    def _look_at(self, rng: np.random.Generator, places: list[np.ndarray]) -> Sequence[float | None]:
        if not places or rng.random() >= self._foreground:
            return None, None, None
        of_label = places[rng.integers(len(places))]
        near = of_label[rng.integers(len(of_label))] + rng.uniform(-0.25, 0.25, 3) * self._size
        return float(near[0]), float(near[1]), float(near[2])


def _places(case: CachedCase, seed: int) -> list[np.ndarray]:
    """For each label of the case (n, 3) of its voxels, spread over all of it."""
    assert case.labels is not None, "training patches need labels"
    labels = np.asarray(case.labels)
    rng = np.random.default_rng([seed, 3])
    found = []
    for value in np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)):
        if value:
            flat = np.flatnonzero(labels.reshape(-1) == value)
            kept = rng.choice(flat, min(len(flat), _REMEMBERED), replace=False)
            found.append(np.stack(np.unravel_index(np.sort(kept), labels.shape), 1))
    return found
