"""What doing nothing is worth: the Dice of the same answer for every scan.

On scans that were cut to their structure it is far from nothing: 0.70 on the hippocampi of the Medical Segmentation
Decathlon, 0.31 on whole short-axis slices of ACDC.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice, overlap

_DEPTH = 16  # slices of the average
_SIDE = 256  # pixels of its longest side; of larger slices every few pixels count
_CASES = 32  # most training cases that it is an average of


def constant_dice(training: Sequence[CachedCase], validation: Sequence[CachedCase], values: Sequence[int]) -> float:
    """Mean Dice, 0..1, over the labels ``values`` and the validation cases, of the label that most training cases have
    at a place; NaN where no validation case has any of them.

    Scans are laid on each other by the middle of their slices, and by their first and last slice.
    """
    maps = [case.labels for case in training if case.labels is not None]
    truths = [(case, case.labels) for case in validation if case.labels is not None]
    if not maps or not truths:
        return float("nan")
    maps = maps[::-(-len(maps) // _CASES)]
    longest = max(max(labels.shape[1:]) for labels in (*maps, *(truth for _, truth in truths)))
    step = -(-longest // _SIDE)
    side = -(-longest // step)
    average = _most_common([_laid(labels[:, ::step, ::step], side) for labels in maps], values)
    scores = []
    for case, truth in truths:
        seen = truth[:, ::step, ::step]
        drawn = [case.annotated is None or value in case.annotated for value in range(1, max(values) + 1)]
        found = dice(*overlap(_lifted(average, seen.shape), np.asarray(seen), max(values) + 1))
        scores.append(np.where(drawn, found, np.nan))
    table = np.array(scores)[:, [value - 1 for value in values]]
    return float(np.nanmean(table)) if np.isfinite(table).any() else float("nan")


def _most_common(maps: Sequence[np.ndarray], values: Sequence[int]) -> np.ndarray:
    stack = np.stack(maps)
    best, most = np.zeros(stack.shape[1:], np.uint8), (stack == 0).sum(0, dtype=np.uint16)
    for value in values:
        count = (stack == value).sum(0, dtype=np.uint16)
        best[count > most] = value
        most = np.maximum(most, count)
    return best


def _laid(labels: np.ndarray, side: int) -> np.ndarray:
    """A label map on the grid of the average: (_DEPTH, side, side)."""
    slices = np.linspace(0, len(labels) - 1, _DEPTH).round().astype(int)
    laid = np.zeros((_DEPTH, side, side), np.uint8)
    rows, columns = (slice((side - n) // 2, (side - n) // 2 + n) for n in labels.shape[1:])
    laid[:, rows, columns] = labels[slices]
    return laid


def _lifted(average: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The average on the grid of a scan of this shape."""
    side = average.shape[1]
    slices = np.linspace(0, _DEPTH - 1, shape[0]).round().astype(int)
    rows, columns = (slice((side - n) // 2, (side - n) // 2 + n) for n in shape[1:])
    return average[slices][:, rows, columns]
