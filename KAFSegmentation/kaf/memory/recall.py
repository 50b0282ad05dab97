"""What finished slices say about the others: soft labels of unfinished slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kaf.memory.attention import Neighbours, Window
from kaf.memory.finished import FinishedSlices
from kaf.memory.guesses import between_guess, beyond_guess, by_structure
from kaf.memory.two_scales import Reading

_CERTAIN = 1e-4
# Between finished slices so many slices apart a structure comes and goes, and the nearer one is the more right: the
# inverse distance counts to a higher power there, at most to this one.
_APART, _STEEPEST = 8, 4.0

Features = Callable[[Sequence[int]], Tensor]
"""Slices -> their features (n, D, h, w), float32."""


@dataclass(frozen=True)
class Recipe:
    """How to read: the window of attention, the weight of the interpolated shape, and for each class what its labels
    are taken from, nothing: attention for all of them."""

    window: Window
    shape: float
    sources: tuple[str, ...] = ()


def recall_memory(features: Features, memory: FinishedSlices, targets: Sequence[int]
                  ) -> tuple[Neighbours, list[int]]:
    """What these targets look at, and the numbers of these slices."""
    used = sorted({index for target in targets for index in memory.around(target)})
    numbers = [memory.numbers[index] for index in used]
    weights = memory.weights(targets)[:, used]
    partly = [target for target in targets if target in memory.partly]
    keys, labels, hidden = features([*numbers, *partly]), memory.labels[used], None
    log_weights = torch.tensor([_power(memory, target) for target in targets])[:, None] * weights.log()
    if partly:
        own = torch.full((len(targets), len(partly)), -math.inf)
        for column, target in enumerate(partly):
            own[list(targets).index(target), column] = 0.0
        log_weights = torch.cat([log_weights, own], 1)
        labels = torch.cat([labels, torch.stack([memory.partly[target][0] for target in partly])])
        unknown = torch.stack([~memory.partly[target][1] for target in partly])
        hidden = torch.cat([torch.zeros(len(used), *unknown.shape[1:], dtype=torch.bool), unknown])
    return Neighbours(keys, labels, log_weights, hidden), [*numbers, *partly]


def _power(memory: FinishedSlices, target: int) -> float:
    """Of the inverse distance, by which the neighbours of a target are weighed."""
    numbers = [memory.numbers[index] for index in memory.around(target)]
    return min(max((max(numbers, default=0) - min(numbers, default=0)) / _APART, 1.0), _STEEPEST)


def recall(features: Features, memory: FinishedSlices, targets: Sequence[int], window: Window, shape: float
           ) -> Tensor:
    """Soft labels (T, K, h, w) of the targets, read from the finished slices next to them.

    Between two finished slices the shape interpolated from both counts where attention is unsure.

    Args:
        features: of any slice of the scan.
        shape: weight of the interpolated shape, 0: none.
    """
    return with_shape(reading(features, memory, targets).read(window), memory, targets, shape)


def reading(features: Features, memory: FinishedSlices, targets: Sequence[int]) -> Reading:
    """The targets and their neighbours, for one or more windows."""
    return Reading(features(targets), recall_memory(features, memory, targets)[0])


def with_shape(soft: Tensor, memory: FinishedSlices, targets: Sequence[int], shape: float) -> Tensor:
    """What attention read (T, K, h, w), joined with the interpolated shape of this weight where it is unsure."""
    between = [row for row, target in enumerate(targets) if memory.is_between(target)]
    if shape and between:
        soft[between] = _joined(soft[between], between_guess(memory, [targets[row] for row in between]), shape)
    return soft


def recall_scan(features: Features, memory: FinishedSlices, targets: Sequence[int], recipe: Recipe) -> Tensor:
    """Soft labels (T, K, h, w) of any unfinished slices.

    Beyond the outermost finished slice the structure shrinks as a ball of its area would, the more the farther away.
    """
    read = recall(features, memory, targets, recipe.window, recipe.shape)
    for rows, guess in beyond_guess(memory, targets):
        read[rows] = _joined(read[rows], guess, max(recipe.shape, 0.5), certain=True)
    return by_structure(read, memory, targets, recipe.sources)


def _joined(soft: Tensor, guess: Tensor, weight: float, certain: bool = False) -> Tensor:
    """p ~ attention * shape ** (weight * doubt): shape decides where attention is of two minds, and only there;
    everywhere if ``certain``."""
    doubt = 1.0 if certain else (2 * (1 - soft.amax(1, keepdim=True))).clamp(0, 1)
    logits = soft.clamp_min(_CERTAIN).log_() + weight * doubt * guess.clamp_min(_CERTAIN).log_()
    return logits.softmax(1)
