"""The finished slices of a scan: their labels, which of them are next to another slice, and how far that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kaf.memory.shape import signed_distances


@dataclass
class FinishedSlices:
    """The memory of one scan.

    numbers: slices, ascending; labels: (F, K, h, w) soft labels of them; partly: slice -> soft labels (K, h, w) and
    known places (h, w) bool of unfinished slices in which clicks or slices of another direction labelled some places;
    step: places from one slice to the next.
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
            self._distances[number] = signed_distances(self.hard(index), self.labels.shape[1])
        return self._distances[number]

    def gap(self, index: int) -> float:
        """From the first or the last finished slice, at this place, to the next one, in places; 0 for a lone one."""
        other = 1 if index == 0 else index - 1
        return abs(self.numbers[index] - self.numbers[other]) * self.step if len(self.numbers) > 1 else 0.0

    def hard(self, index: int) -> np.ndarray:
        """Best classes (h, w) uint8 of the finished slice at this place."""
        return self.labels[index].max(0).indices.numpy().astype(np.uint8)
