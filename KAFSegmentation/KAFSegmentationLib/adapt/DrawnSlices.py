"""Which slices a person has drawn on: what differs from what was written there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def drawnSlices(changed: np.ndarray) -> list[tuple[int, int]]:
    """The fewest slices, as (axis, index), in which all changed voxels (slice, row, column; bool) lie, found one by
    one: a stroke in one slice crosses many of the other directions, and has most of its voxels in its own."""
    places = np.argwhere(changed)
    found = []
    while len(places):
        counts = [np.bincount(places[:, axis]) for axis in range(places.shape[1])]
        axis = max(range(len(counts)), key=lambda one: int(counts[one].max()))
        index = int(counts[axis].argmax())
        found.append((axis, index))
        places = places[places[:, axis] != index]
    return found


def sliceOf(axis: int, index: int) -> tuple:
    """The place of a slice in an array (slice, row, column)."""
    return tuple(index if other == axis else slice(None) for other in range(3))


def keepSlices(target: np.ndarray, source: np.ndarray, slices: Iterable[tuple[int, int]]) -> None:
    """Puts slices, as (axis, index), of one array into another of the same shape."""
    for axis, index in slices:
        place = sliceOf(axis, index)
        target[place] = source[place]
