"""How right a slice is likely to be, which one to look at next, and which to draw first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


def expected_dice(soft: Tensor, best: Tensor) -> list[float]:
    """The Dice that each slice's best labels expect of themselves, over structures: soft labels (T, K, H, W), best
    classes (T, H, W).

    2 sum_{x in L} p(x) / (|L| + sum p), with L where the structure is the best label; a slice without any is as sure
    as its background.
    """
    classes = torch.arange(1, soft.shape[1])[:, None, None]
    scores = []
    for shares, labels in zip(soft[:, 1:], best, strict=True):
        chosen = labels[None] == classes
        hit, size = (shares * chosen).flatten(1).sum(1), (shares + chosen).flatten(1).sum(1)
        held = chosen.flatten(1).any(1)
        if bool(held.any()):
            scores.append(float((2 * hit[held] / size[held]).mean()))
        else:
            scores.append(float(1 - shares.sum(0).max()))
    return scores


# Of the log-odds of a slice's Dice, fitted as in Testing/benchmarks/memory_confidence.py on 32 volumes for tuning, on
# the model's grid.
_OFFSET, _EXPECTED, _TRUSTED, _FAR, _UNIT = -1.489, 0.805, 0.649, 1.082, 10.0
_SHARPEST = 0.98
_LEAST_AT_STAKE = 0.2  # of the worth of checking the slice with the largest labelled area: one without any label


def confidence(expected: float, trust: float, beyond: float) -> float:
    """The Dice to expect of a slice, 0..1: of slices with a confidence of .9 the mean Dice is about .9.

    Args:
        expected: what its soft labels expect of themselves (:func:`expected_dice`).
        trust: Dice that its source had on the finished slices left out.
        beyond: places to the outermost finished slice, 0 between two or where none was read.
    """
    logit = (_OFFSET + _EXPECTED * _logit(expected) + _TRUSTED * _logit(trust)
             - _FAR * math.log1p(beyond / _UNIT))
    return 1 / (1 + math.exp(-logit))


def _logit(share: float) -> float:
    share = min(max(share, 1 - _SHARPEST), _SHARPEST)
    return math.log(share / (1 - share))


def review_order(confidence: Mapping[int, float], finished: Sequence[int], areas: Mapping[int, float]
                 ) -> tuple[int, ...]:
    """Unfinished slices, the one to check next first: doubt, times what may be wrong there, times the distance from
    what is finished or in the list already, so that neighbours do not come one after the other.

    Args:
        confidence: slice -> 0..1.
        areas: slice -> how much of it is labelled.  A slice beyond the end of a structure has little to correct.
    """
    left = dict(confidence)
    largest = max([0.0, *areas.values()]) or 1.0
    stakes = {number: _LEAST_AT_STAKE + (1 - _LEAST_AT_STAKE) * math.sqrt(areas[number] / largest) for number in left}
    done = list(finished)
    span = max([1, *(abs(a - b) for a in left for b in done)])
    order = []
    while left:
        best = max(left, key=lambda number: (
            (1.02 - left[number]) * stakes[number] * _away(number, done, span), -number))
        order.append(best)
        done.append(best)
        del left[best]
    return tuple(order)


def _away(number: int, done: Sequence[int], span: int) -> float:
    """0..1: how far a slice is from all that is done; two thirds of the way counts in full."""
    distance = min((abs(number - other) for other in done), default=span)
    return min(1.0, distance / max(1.0, span / 3)) ** 0.5


def first_slices(held: Sequence[bool], count: int = 3) -> tuple[int, ...]:
    """Which slices to draw first: the ends of the structure and its middle, then evenly between.

    held: for each slice whether the structure is likely in it; where nobody knows, every slice.
    """
    places = [index for index, value in enumerate(held) if value] or list(range(len(held)))
    if count == 1:
        return (places[len(places) // 2],)
    chosen = np.linspace(places[0], places[-1], min(count, len(places)))
    return tuple(dict.fromkeys(round(place) for place in chosen.tolist()))
