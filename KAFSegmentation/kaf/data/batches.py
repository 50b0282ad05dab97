"""Batches of labelled patches: every one is a function of (seed, step), so a resumed run sees the same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaf.data.cache import CachedCase
from kaf.data.geometry import sample_warp
from kaf.data.intensity import change_intensity
from kaf.imaging.keypoints import fallback_grid, pad_keypoints
from kaf.imaging.prepare import stack_context
from kaf.settings.augmentation import AugmentationSettings

_OFF_CENTRE = 0.25  # of the patch: how far from its middle the place may be that it looks at


@dataclass
class Batch:
    """image (B, C, H, W) float32, labels (B, H, W) uint8, keypoints (B, N, 2) float32, mask (B, N) bool.

    known: (B, 256) bool, the values (0 among them) that were drawn in the case of each patch; None where all were in
        all cases that batches are made of, so that all processes of a training see the same.
    ignored: (B, H, W) bool, pixels that nobody has labelled; None: there are none.
    """

    image: np.ndarray
    labels: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray
    known: np.ndarray | None = None
    ignored: np.ndarray | None = None


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The batch in ``parts`` of equal size, or nothing where it does not go into that many."""
    count = len(batch.image)
    if count % parts:
        return []
    each = count // parts
    made = []
    for part in (slice(i, i + each) for i in range(0, count, each)):
        known, ignored = (None if values is None else values[part] for values in (batch.known, batch.ignored))
        made.append(Batch(batch.image[part], batch.labels[part], batch.keypoints[part], batch.mask[part], known,
                          ignored))
    return made


def are_partial(cases: Sequence[CachedCase]) -> bool:
    """Whether anything was not drawn in any of these cases."""
    return any(case.annotated is not None or case.ignored is not None for case in cases)


def known_values(cases: Sequence[CachedCase]) -> np.ndarray:
    """``known`` of a batch with a patch of each of these cases."""
    known = np.ones((len(cases), 256), bool)
    for row, case in zip(known, cases, strict=True):
        if case.annotated is not None:
            row[:] = False
            row[[0, *case.annotated]] = True
    return known


def together(ignored: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """``ignored`` of a batch from that of its patches."""
    there = [part for part in ignored if part is not None]
    return np.stack([np.zeros_like(there[0]) if part is None else part for part in ignored]) if there else None


def patch_keypoints(positions: np.ndarray, size: tuple[int, int], rng: np.random.Generator | None = None,
                    dropout: float = 0.0) -> np.ndarray:
    """Keypoints that lie in the patch, some left out at random; a coarse grid where none is left."""
    inside = ((positions >= -0.5) & (positions < np.array(size) - 0.5)).all(1)
    positions = positions[inside]
    if rng is not None and dropout > 0 and len(positions) > 1:
        positions = positions[rng.random(len(positions)) >= rng.uniform(0, dropout)]
    return positions if len(positions) else fallback_grid(*size)


class LabelledSlices:
    """Slices of labelled cases, drawn at random and balanced over the structures: a small one is seen as often as a
    large one.

    ``foreground`` is the share of patches that are drawn for a structure: each structure with the same chance, then a
    slice that holds it, then a place in it that the patch looks at.  The others are drawn anywhere.
    """

    def __init__(self, cases: Sequence[CachedCase], size: tuple[int, int], context: int,
                 augmentation: AugmentationSettings | None, seed: int, foreground: float = 2 / 3,
                 slices: Sequence[tuple[int, int]] | None = None):
        self._cases, self._size, self._context = list(cases), size, context
        self._augmentation, self._seed, self._foreground = augmentation, seed, foreground
        self._partial = are_partial(self._cases)
        self._all = list(slices) if slices is not None else [
            (c, s) for c, case in enumerate(self._cases) for s in range(len(case.image))]
        self._holding: dict[int, list[tuple[int, int]]] = {}
        for c, s in self._all:
            for value in np.unique(self._labels(c)[s]).tolist():
                if value:
                    self._holding.setdefault(value, []).append((c, s))
        self._values = sorted(self._holding)

    def __len__(self) -> int:
        return len(self._all)

    def _labels(self, case: int) -> np.ndarray:
        labels = self._cases[case].labels
        assert labels is not None, "labelled slices need labels"
        return labels

    def batch(self, step: int, count: int) -> Batch:
        """The ``count`` patches of training step ``step``."""
        rng = np.random.default_rng([self._seed, step])
        images, labels, points, cases, ignored = zip(*(self._patch(rng) for _ in range(count)), strict=True)
        keypoints, mask = pad_keypoints(points)
        return Batch(np.stack(images), np.stack(labels), keypoints, mask,
                     known_values(cases) if self._partial else None, together(ignored))

    def _draw(self, rng: np.random.Generator) -> tuple[int, int, tuple[float, float] | None]:
        """Case, slice, and the place in it that the middle of the patch looks at, or None for anywhere."""
        if not self._values or rng.random() >= self._foreground:
            return *self._all[rng.integers(len(self._all))], None
        value = self._values[rng.integers(len(self._values))]
        slices = self._holding[value]
        c, s = slices[rng.integers(len(slices))]
        if self._augmentation is None:
            return c, s, None
        places = np.flatnonzero(self._labels(c)[s] == value)
        row, column = divmod(int(places[rng.integers(len(places))]), self._labels(c).shape[2])
        near = np.array([row, column]) + rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * self._size
        return c, s, self._within(near, self._labels(c).shape[1:])

    def _within(self, place: np.ndarray, slice_: Sequence[int]) -> tuple[float, float]:
        """The place, moved so far that the patch does not leave the slice, or that the slice does not leave it."""
        margin = (np.array(self._size) - 1) / 2
        ends = np.sort([margin, np.array(slice_) - 1 - margin], axis=0)
        row, column = np.clip(place, *ends)
        return float(row), float(column)

    def _changed(self, rng: np.random.Generator, image: np.ndarray, channels: int) -> np.ndarray:
        """The patch with other intensities: the same change for neighbouring slices, another one for each channel."""
        assert self._augmentation is not None
        apart = image.reshape(-1, channels, *image.shape[1:])
        strength = self._augmentation.intensity
        changed = [change_intensity(rng, apart[:, channel], strength) for channel in range(channels)]
        return np.stack(changed, 1).reshape(image.shape)

    def _patch(self, rng: np.random.Generator
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray, CachedCase, np.ndarray | None]:
        c, s, place = self._draw(rng)
        case, settings = self._cases[c], self._augmentation
        labels = np.ascontiguousarray(self._labels(c)[s])
        warp = sample_warp(rng, labels.shape, self._size, settings, place)
        stack = stack_context(case.image, s, self._context)
        if settings is not None and rng.random() < 0.5:  # stacks are stored from either end
            stack = stack.reshape(2 * self._context + 1, -1, *labels.shape)[::-1].reshape(stack.shape)
        image = warp.image(stack)
        labels = warp.labels(labels)
        positions = warp.keypoints(case.keypoints[s].positions)
        dropout = settings.keypoint_dropout if settings else 0.0
        if settings is not None:
            image = self._changed(rng, image, 1 if case.image.ndim == 3 else case.image.shape[1])
        ignored = warp.labels(np.ascontiguousarray(case.ignored[s])) > 0 if case.ignored is not None else None
        return image, labels, patch_keypoints(positions, self._size, rng, dropout), case, ignored
