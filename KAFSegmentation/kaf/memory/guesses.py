"""What the labels of the finished slices say about the others by themselves, without any features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kaf.memory.finished import FinishedSlices
from kaf.memory.shape import ending, interpolated

ATTENTION, SHAPE, NEAREST = "attention", "shape", "nearest"
# Radius of the ball that a structure ends as, in that of the outermost finished slice: the only one, or one of several,
# which is mostly near the end; and at least so much of the distance to the finished slice before that.
_LONE, _LAST, _GAP = 1.4, 0.6, 0.35
_FINE, _COARSE = 1.5, 3.0  # how softly the ball ends, in places, where slices are close together and far apart
_THICK = 3.0  # places from slice to slice that are far apart


def between_guess(memory: FinishedSlices, targets: Sequence[int]) -> Tensor:
    """Probabilities (T, K, h, w) of targets that lie between two finished slices: their shapes, interpolated."""
    used = sorted({index for target in targets for index in memory.around(target)})
    distances = torch.stack([memory.signed(index) for index in used])
    return interpolated(distances, memory.weights(targets)[:, used])


def beyond_guess(memory: FinishedSlices, targets: Sequence[int]) -> list[tuple[list[int], Tensor]]:
    """For either end the rows of the targets that lie beyond it, and their probabilities (rows, K, h, w)."""
    found = []
    for end in dict.fromkeys(index for target in targets if not memory.is_between(target)
                             for index in memory.around(target)):
        rows = [row for row, target in enumerate(targets) if memory.around(target) == [end]]
        far = torch.tensor([abs(targets[row] - memory.numbers[end]) * memory.step for row in rows])
        size = _LONE if len(memory.numbers) == 1 else _LAST
        softness = _FINE if memory.step < _THICK else _COARSE
        found.append((rows, ending(memory.hard(end), memory.labels.shape[1], far, size, _GAP * memory.gap(end),
                                   softness)))
    return found


def shape_guess(memory: FinishedSlices, targets: Sequence[int]) -> Tensor:
    """Probabilities (T, K, h, w): interpolated between finished slices, ending beyond them; none: background."""
    soft = torch.zeros(len(targets), *memory.labels.shape[1:])
    soft[:, 0] = 1
    between = [row for row, target in enumerate(targets) if memory.is_between(target)]
    if between:
        soft[between] = between_guess(memory, [targets[row] for row in between])
    for rows, guess in beyond_guess(memory, targets):
        soft[rows] = guess
    return soft


def nearest_guess(memory: FinishedSlices, targets: Sequence[int]) -> Tensor:
    """The labels (T, K, h, w) of the nearest finished slice; of two, the lower one.  None: background."""
    soft = torch.zeros(len(targets), *memory.labels.shape[1:])
    soft[:, 0] = 1
    for row, target in enumerate(targets):
        around = memory.around(target)
        if around:
            soft[row] = memory.labels[min(around, key=lambda index: abs(memory.numbers[index] - target))]
    return soft


GUESSES = {SHAPE: shape_guess, NEAREST: nearest_guess}


def by_structure(soft: Tensor, memory: FinishedSlices, targets: Sequence[int], sources: Sequence[str]) -> Tensor:
    """Soft labels (T, K, h, w) in which some structures are not those of attention; places that these leave are
    background, and what two claim goes by their shares.

    sources: of each class; none: attention for all of them.
    """
    if all(source == ATTENTION for source in sources):
        return soft
    result = soft.clone()
    for name, guess in GUESSES.items():
        mine = [value for value, source in enumerate(sources) if value and source == name]
        if mine:
            result[:, mine] = guess(memory, targets)[:, mine]
    held = result[:, 1:].sum(1)
    result[:, 0] = (1 - held).clamp_min(0)
    return result / result.sum(1, keepdim=True)
