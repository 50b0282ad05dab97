"""Which slice to check next: the one whose voxels the model is least sure of."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Review:
    """``order``: slices as the scan is stored, the most uncertain first. ``spots``: for each slice, by its number, the
    voxel (slice, row, column) where the model is least sure. ``key``: what it is valid for."""

    key: tuple
    order: tuple[int, ...]
    spots: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, uncertainty: np.ndarray, key: tuple, axis: int) -> Review:
        """From an uncertainty map (slice, row, column) and the axis of the slices."""
        others = tuple(other for other in range(3) if other != axis)
        order = np.argsort(-uncertainty.sum(axis=others, dtype=np.float64), kind="stable")
        spots = []
        for index in range(uncertainty.shape[axis]):
            sheet = np.take(uncertainty, index, axis)
            place = list(np.unravel_index(int(np.argmax(sheet)), sheet.shape))
            place.insert(axis, index)
            spots.append(tuple(int(part) for part in place))
        return cls(key, tuple(int(index) for index in order), tuple(spots))

    def next(self, done: Container[int]) -> int | None:
        """The most uncertain slice that is not among ``done``, or None."""
        return next((index for index in self.order if index not in done), None)
