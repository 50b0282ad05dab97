"""Slices that a person has finished: which they are, that they stay as drawn, and which to check next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaf.imaging.grid import Grid
from kaf.imaging.prepare import Prepared
from kaf.inference.segmentation import Segmentation
from kaf.runtime.errors import InputError


def finished_slices(grid: Grid, drawn: np.ndarray, stored: Sequence[int]) -> tuple[int, ...]:
    """Canonical numbers of the finished slices: the given ones (as the scan is stored), or all with a label."""
    count = grid.n_slices
    wrong = [index for index in stored if not 0 <= index < count]
    if wrong:
        raise InputError("slices", f"{wrong[0]} is not in the scan", f"It has the slices 0 to {count - 1}.")
    if stored:
        return tuple(sorted(set(as_stored(grid, stored))))
    held = np.flatnonzero(grid.view(drawn).any(axis=(1, 2)))
    if not held.size:
        raise InputError("labels", "hold no finished slice", "Draw or correct at least one slice.")
    return tuple(held.tolist())


def as_stored(grid: Grid, slices: Sequence[int]) -> list[int]:
    """Canonical slices as the scan's own array counts them, and the other way round."""
    return [grid.n_slices - 1 - index if grid.flipped[0] else index for index in slices]


def keep_drawn(labels: np.ndarray, drawn: np.ndarray, grid: Grid, finished: Sequence[int]) -> np.ndarray:
    """The labels with the finished slices exactly as they were drawn."""
    kept = labels.copy()
    grid.view(kept)[list(finished)] = grid.view(drawn)[list(finished)]
    return kept


def review_order(result: Segmentation, prepared: Prepared, finished: Sequence[int]) -> tuple[int, ...]:
    """Unfinished canonical slices by the sum of their uncertainty, the most uncertain first."""
    assert result.uncertainty is not None
    doubt = prepared.grid.view(result.uncertainty.voxels).sum(axis=(1, 2))
    return tuple(int(index) for index in np.argsort(-doubt, kind="stable") if index not in set(finished))
