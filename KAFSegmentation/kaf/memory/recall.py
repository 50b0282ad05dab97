"""What finished slices say about the others: soft labels of unfinished slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kaf.memory.attention import Neighbours, Window
from kaf.memory.shape import interpolated, shrunk, signed_distances
from kaf.memory.two_scales import Reading

_CERTAIN = 1e-4
# Radius of the ball that a structure ends as, in that of the outermost finished slice: the only one, or one of several,
# which is mostly near the end.
_LONE, _LAST = 1.4, 0.6
_FINE, _COARSE = 1.5, 3.0  # how softly the ball ends, in places, where slices are close together and far apart
_THICK = 3.0  # places from slice to slice that are far apart

Features = Callable[[Sequence[int]], Tensor]
"""Slices -> their features (n, D, h, w), float32."""


@dataclass
class FinishedSlices:
    """The memory of one scan.

    numbers: slices, ascending; labels: (F, K, h, w) soft labels of them; partly: slice -> soft labels (K, h, w) and
    known places (h, w) bool of unfinished slices in which clicks or slices of another direction told some places;
    step: places from one slice to the next; foreign: features (M, D, h, w) and labels
    (M, K, h, w) of other scans.
    """

    numbers: tuple[int, ...]
    labels: Tensor
    step: float = 1.0
    partly: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _distances: dict[int, Tensor] = field(default_factory=dict)

    def without(self, number: int) -> FinishedSlices:
        """The memory as it was before this slice was finished."""
        keep = [index for index, other in enumerate(self.numbers) if other != number]
        numbers = tuple(self.numbers[index] for index in keep)
        return FinishedSlices(numbers, self.labels[keep], self.step, {}, self._distances)

    def around(self, target: int) -> list[int]:
        """Places in ``numbers`` of the nearest finished slices on either side."""
        below = [index for index, number in enumerate(self.numbers) if number < target]
        above = [index for index, number in enumerate(self.numbers) if number > target]
        return [*below[-1:], *above[:1]]

    def weights(self, targets: Sequence[int]) -> Tensor:
        """(T, F), rows sum to one: the neighbours of each target by the inverse of their distance."""
        weights = torch.zeros(len(targets), len(self.numbers))
        for row, target in enumerate(targets):
            for index in self.around(target):
                weights[row, index] = 1 / abs(self.numbers[index] - target)
        return weights / weights.sum(1, keepdim=True).clamp_min(1e-9)

    def is_between(self, target: int) -> bool:
        return len(self.around(target)) == 2

    def distance(self, target: int) -> float:
        """To the nearest finished slice, in places; infinite where there is none."""
        return min((abs(target - number) * self.step for number in self.numbers), default=math.inf)

    def signed(self, index: int) -> Tensor:
        """Signed distances (K, h, w) of the finished slice at this place, in places; found once."""
        number = self.numbers[index]
        if number not in self._distances:
            values = self.labels[index].max(0).indices.numpy().astype(np.uint8)
            self._distances[number] = signed_distances(values, self.labels.shape[1])
        return self._distances[number]


def recall_memory(features: Features, memory: FinishedSlices, targets: Sequence[int]
                  ) -> tuple[Neighbours, list[int]]:
    """What these targets look at, and the numbers of these slices."""
    used = sorted({index for target in targets for index in memory.around(target)})
    numbers = [memory.numbers[index] for index in used]
    weights = memory.weights(targets)[:, used]
    partly = [target for target in targets if target in memory.partly]
    keys, labels, hidden = features([*numbers, *partly]), memory.labels[used], None
    log_weights = weights.log()
    if partly:
        own = torch.full((len(targets), len(partly)), -math.inf)
        for column, target in enumerate(partly):
            own[list(targets).index(target), column] = 0.0
        log_weights = torch.cat([log_weights, own], 1)
        labels = torch.cat([labels, torch.stack([memory.partly[target][0] for target in partly])])
        unknown = torch.stack([~memory.partly[target][1] for target in partly])
        hidden = torch.cat([torch.zeros(len(used), *unknown.shape[1:], dtype=torch.bool), unknown])
    return Neighbours(keys, labels, log_weights, hidden), [*numbers, *partly]


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
        used = sorted({index for target in targets for index in memory.around(target)})
        distances = torch.stack([memory.signed(index) for index in used])
        guess = interpolated(distances, memory.weights(targets)[between][:, used])
        soft[between] = _joined(soft[between], guess, shape)
    return soft


def recall_scan(features: Features, memory: FinishedSlices, targets: Sequence[int], window: Window, shape: float
                ) -> Tensor:
    """Soft labels (T, K, h, w) of any unfinished slices.

    Beyond the outermost finished slice the structure shrinks as a ball of its area would, the more the farther away.
    """
    read = recall(features, memory, targets, window, shape)
    for side in (-1, 1):
        rows = [row for row, target in enumerate(targets) if not memory.is_between(target)
                and memory.around(target) and (target - memory.numbers[memory.around(target)[0]]) * side > 0]
        if rows:
            end = memory.around(targets[rows[0]])[0]
            far = torch.tensor([abs(targets[row] - memory.numbers[end]) * memory.step for row in rows])
            areas = memory.labels[end].flatten(1).sum(1)
            lone = len(memory.numbers) == 1
            guess = shrunk(memory.signed(end), areas * (_LONE if lone else _LAST) ** 2, far,
                           _FINE if memory.step < _THICK else _COARSE)
            read[rows] = _joined(read[rows], guess, max(shape, 0.5), certain=True)
    return read


def _joined(soft: Tensor, guess: Tensor, weight: float, certain: bool = False) -> Tensor:
    """p ~ attention * shape ** (weight * doubt): shape decides where attention is of two minds, and only there;
    everywhere if ``certain``."""
    doubt = 1.0 if certain else (2 * (1 - soft.amax(1, keepdim=True))).clamp(0, 1)
    logits = soft.clamp_min(_CERTAIN).log_() + weight * doubt * guess.clamp_min(_CERTAIN).log_()
    return logits.softmax(1)
