"""The Dice that a network expects of its own labels, summed while the slices stream by.

With p the softmax and m the labels (the best class), the expected overlap of a structure is
2 sum(p m) / (sum p + sum m): the soft Dice of the probabilities with the decision made from them.  It needs no second
pass and keeps three numbers per slice and structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_TRACE = 10.0  # pixels: less probability than this in a slice without a label says that there is nothing


@dataclass(frozen=True, eq=False)
class Expected:
    """Sums per slice and class, (S, K) float64 each: of the probability, of the labelled pixels, and of the
    probability inside the labelled pixels.  Rows of slices that were not segmented are 0."""

    probability: np.ndarray
    labelled: np.ndarray
    inside: np.ndarray

    def by_class(self) -> np.ndarray:
        """(K,) expected Dice of the volume, 0..1; NaN for a class that no pixel was labelled with."""
        return _ratio(self.inside.sum(0), self.probability.sum(0), self.labelled.sum(0), 0.0)

    def by_slice(self) -> np.ndarray:
        """(S, K) the same slice by slice: 0 where a structure is probable but nothing is labelled, NaN where there is
        hardly any probability either."""
        return _ratio(self.inside, self.probability, self.labelled, _TRACE)


class ExpectedSums:
    """Takes the logits of slices as they come."""

    def __init__(self, slices: int, classes: int):
        self._sums = np.zeros((3, slices, classes))

    def add(self, part: Sequence[int], logits: Tensor) -> None:
        """Logits (B, K, H, W) of the slices ``part``."""
        with torch.inference_mode():
            probability = logits.float().softmax(1)
            best, chosen = probability.max(1)
            flat, certainty = chosen.flatten(1), best.flatten(1)
            count, inside = (torch.zeros(probability.shape[:2], device=logits.device) for _ in range(2))
            count.scatter_add_(1, flat, torch.ones_like(certainty))
            inside.scatter_add_(1, flat, certainty)
            self._sums[:, list(part)] = torch.stack([probability.sum((2, 3)), count, inside]).cpu().double().numpy()

    def result(self) -> Expected:
        return Expected(*self._sums)


def _ratio(inside: np.ndarray, probability: np.ndarray, labelled: np.ndarray, trace: float) -> np.ndarray:
    there = labelled > 0
    if trace:
        there = there | (probability >= trace)
    return np.divide(2 * inside, probability + labelled, out=np.full(inside.shape, np.nan), where=there)
