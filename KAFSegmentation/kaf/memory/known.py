"""What a model knows of the drawn structures, and how its word and the memory's are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kaf.evaluation.dice import dice

_KNOWN = 0.5  # Dice on the finished slices from which a model counts as one that knows a structure
_CERTAIN = 1e-4
_BETWEEN, _BEYOND = 0.92, 0.85  # Dice of the memory where nothing could be left out
# The odds of the memory are worth more than the model's equal odds, which are those of all its slices alike: what the
# memory gets wrong lies at boundaries, and it has seen this scan.  Least beyond the last of several finished slices.
_WORTH, _WORTH_BEYOND = 4.0, 2.0
_FADES = 60.0  # millimetres beyond the outermost finished slice at which the memory is half as right


@dataclass(frozen=True)
class Known:
    """For each drawn class (0 is the background): the classes of the model that mean it, and the Dice of these on the
    finished slices, 0..1; none for a structure that the model does not know."""

    classes: tuple[tuple[int, ...], ...]
    right: tuple[float, ...]

    @property
    def any(self) -> bool:
        return any(self.classes[1:])

    def padded(self, classes: int) -> Known:
        """The same for so many classes: those that are not there yet are unknown."""
        more = classes - len(self.classes)
        return Known((*self.classes, *((),) * more), (*self.right, *(0.0,) * more))

    @property
    def all(self) -> bool:
        return all(self.classes[1:])


def known_structures(shares: Tensor, drawn: np.ndarray, same: Mapping[int, int]) -> Known:
    """By overlap on the finished slices.

    Args:
        shares: (F, classes of the model, H, W) probabilities on the finished slices.
        drawn: (F, H, W) classes 0..K-1.
        same: drawn class -> class of the model that is the same structure by definition.
    """
    count = max([0, int(drawn.max(initial=0)), *same]) + 1
    guess = shares.argmax(1).numpy()
    joint = np.zeros((max([shares.shape[1] - 1, *same.values()]) + 1, count), int)
    np.add.at(joint, (guess.ravel(), drawn.ravel()), 1)
    means = joint.argmax(1)
    classes: list[tuple[int, ...]] = [()]
    right = [0.0]
    for value in range(1, count):
        told = (same[value],) if value in same else ()
        found = tuple(int(other) for other in np.flatnonzero((means == value) & (joint.sum(1) > 0)) if other)
        empty = not joint[:, value].any()  # nothing drawn says that the model is wrong
        scores = {mine: 0.9 if mine == told and empty else _score(joint, mine, value) for mine in (told, found) if mine}
        best = max(scores, key=lambda mine: scores[mine], default=())
        knows = scores.get(best, 0.0) >= _KNOWN
        classes.append(best if knows else ())
        right.append(scores[best] if knows else 0.0)
    return Known(tuple(classes), tuple(right))


def _score(joint: np.ndarray, mine: tuple[int, ...], value: int) -> float:
    """Dice of classes of the model, taken as one, and a drawn class, from their joint counts."""
    both, total = joint[list(mine), value].sum(), joint[list(mine)].sum() + joint[:, value].sum()
    return float(np.nan_to_num(dice(both, total), nan=0.0))


def in_drawn_classes(shares: Tensor, known: Known, memory: Tensor) -> Tensor:
    """The model's probabilities (T, classes of the model, H, W) as those of the drawn classes (T, K, H, W).

    A structure that it does not know lies in its background, and gets there the share that the memory gives it.
    """
    result = torch.zeros_like(memory)
    for value, classes in enumerate(known.classes):
        if classes:
            result[:, value] = shares[:, list(classes)].sum(1)
    open_classes = [0, *(value for value, classes in enumerate(known.classes) if value and not classes)]
    rest = (1 - result.sum(1, keepdim=True)).clamp_min(0)
    split = memory[:, open_classes].clamp_min(_CERTAIN)
    result[:, open_classes] = rest * split / split.sum(1, keepdim=True)
    return result


@dataclass(frozen=True)
class Trust:
    """How right the model and the memory are here: Dice of the model on the finished slices, and of the memory on those
    that were left out, between others and beyond them; 0..1.  lone: a single slice is finished."""

    model: float
    between: float = _BETWEEN
    beyond: float = _BEYOND
    lone: bool = False

    def share(self, distances: Sequence[float], between: Sequence[bool]) -> Tensor:
        """(T,) weight of the memory against the model, by the odds of either being right.

        distances: to the nearest finished slice, in mm; beyond the outermost one the memory fades.
        """
        model = _odds(self.model)
        memory = [(_WORTH if inside or self.lone else _WORTH_BEYOND)
                  * _odds(self.between if inside else self.beyond * 0.5 ** (distance / _FADES))
                  for distance, inside in zip(distances, between, strict=True)]
        return torch.tensor([odds / (odds + model) for odds in memory], dtype=torch.float32)


def _odds(right: float) -> float:
    right = min(max(right, 0.05), 0.98)
    return right / (1 - right)


def joined(memory: Tensor, model: Tensor, share: Tensor) -> Tensor:
    """p ~ memory ** share * model ** (1 - share); (T, K, H, W), share (T,)."""
    weight = share[:, None, None, None]
    logits = weight * memory.clamp_min(_CERTAIN).log() + (1 - weight) * model.clamp_min(_CERTAIN).log()
    return logits.softmax(1)
