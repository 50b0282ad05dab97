"""Which way of reading suits this scan: each finished slice is left out once and read from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from kaf.evaluation.dice import dice, overlap
from kaf.memory.attention import Window
from kaf.memory.finished import FinishedSlices
from kaf.memory.guesses import ATTENTION, GUESSES, by_structure
from kaf.memory.recall import Features, Recipe, reading, with_shape

_FARTHEST = 8  # places that a window reaches
_CLEARLY = 0.005  # Dice by which a later recipe must be better than an earlier one
_SURELY = 0.05  # Dice by which labels alone must be better than attention to them
_FEWEST = 2
_MOST = 5  # finished slices that are left out in turn


def _recipe(spread: float, temperature: float, shape: float) -> Recipe:
    return Recipe(Window(min(_FARTHEST, round(3 * spread)), spread, temperature), shape)


# From "the structure stays where it is" to "it may be anywhere near, if it looks the same".
RECIPES = {
    1: (_recipe(2.0, 1.0, 0.5), _recipe(1.0, 0.5, 0.5), _recipe(6.0, 1.0, 0.5), _recipe(6.0, 0.4, 0.0)),
    2: (_recipe(2.0, 1.0, 0.5), _recipe(1.0, 1.0, 1.0), _recipe(4.0, 1.0, 0.5), _recipe(4.0, 0.4, 0.0)),
}
"""By the pixels along the side of a place."""
_THICK = 3.0  # slices so many times as far apart as pixels differ more than those of a fine volume


def recipes_for(stride: int, anisotropy: float) -> tuple[Recipe, ...]:
    """The recipes to try, first the one that is taken where nothing can be tried: between slices far apart a structure
    moves farther.  anisotropy: distance of the slices in pixels."""
    recipes = RECIPES[stride]
    return recipes if anisotropy < _THICK else (recipes[2], *recipes[:2], *recipes[3:])


@dataclass(frozen=True)
class Trial:
    """One finished slice left out: its number, and what the recipe read, soft labels (K, h, w)."""

    number: int
    soft: Tensor


def label_dice(soft: Tensor, truth: Tensor) -> float:
    """Mean Dice over structures of the best labels; both (K, h, w).  NaN where neither holds a structure."""
    scores, drawn = _scores(soft, truth)
    if np.isnan(scores).all():
        return float("nan")
    held = np.unique(drawn)
    held = held[held > 0] - 1
    return float(scores[held].mean()) if len(held) else 0.0


def tune(features: Features, memory: FinishedSlices, recipes: Sequence[Recipe]
         ) -> tuple[Recipe, list[Trial]]:
    """The recipe with the best mean Dice over finished slices left out, and what it read there; the first recipe
    where there is nothing to leave out."""
    tried = _spread_out([number for index, number in enumerate(memory.numbers)
                         if len(memory.numbers) > 1 and bool(memory.labels[index, 1:].any())])
    if not tried:
        return recipes[0], []
    best, chosen, trials = -1.0, recipes[0], list[Trial]()
    rest = {number: memory.without(number) for number in tried}
    read = {number: reading(features, rest[number], [number]) for number in tried}
    for recipe in recipes:
        found = [Trial(number, with_shape(read[number].read(recipe.window), rest[number], [number], recipe.shape)[0])
                 for number in tried]
        scores = [label_dice(trial.soft, _truth(memory, trial)) for trial in found]
        mean = float(np.nanmean(scores)) if not np.isnan(scores).all() else 0.0
        if mean > best + _CLEARLY:
            best, chosen, trials = mean, recipe, found
    sources = _sources(memory, rest, trials)
    return replace(chosen, sources=sources), [
        Trial(trial.number, by_structure(trial.soft[None], rest[trial.number], [trial.number], sources)[0])
        for trial in trials]


def structure_dice(soft: Tensor, truth: Tensor) -> np.ndarray:
    """(K - 1,) Dice of each structure's best labels; NaN where neither of the two, (K, h, w), holds it."""
    return _scores(soft, truth)[0]


def _scores(soft: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(K - 1,) Dice of the best labels, and (h, w) those of the reference."""
    guess, drawn = (maps.max(0).indices.numpy() for maps in (soft, truth))  # many times faster than argmax on a CPU
    return dice(*overlap(guess, drawn, len(truth))), drawn


def _sources(memory: FinishedSlices, rest: Mapping[int, FinishedSlices], trials: Sequence[Trial]) -> tuple[str, ...]:
    """What each class is taken from: attention, unless labels alone were clearly better on at least two of the
    finished slices left out that lie between others.  rest: slice that is left out -> the memory without it."""
    sources = [ATTENTION] * memory.labels.shape[1]
    trials = [trial for trial in trials if rest[trial.number].is_between(trial.number)]
    if len(trials) < _FEWEST:
        return tuple(sources)
    scores = {ATTENTION: np.stack([structure_dice(trial.soft, _truth(memory, trial)) for trial in trials])}
    for name, guess in GUESSES.items():
        scores[name] = np.stack([structure_dice(guess(rest[trial.number], [trial.number])[0], _truth(memory, trial))
                                 for trial in trials])
    for index in range(len(sources) - 1):
        mine = {name: np.nan_to_num(values[:, index]) for name, values in scores.items()}
        counted = ~np.isnan(np.stack([values[:, index] for values in scores.values()])).all(0)
        if counted.sum() < _FEWEST:
            continue
        means = {name: float(values[counted].mean()) for name, values in mine.items()}
        best = max(means, key=lambda name: means[name])
        if means[best] > means[ATTENTION] + _SURELY:
            sources[index + 1] = best
    return tuple(sources)


def _truth(memory: FinishedSlices, trial: Trial) -> Tensor:
    return memory.labels[memory.numbers.index(trial.number)]


def _spread_out(numbers: Sequence[int]) -> list[int]:
    """At most a few of them, evenly."""
    if len(numbers) <= _MOST:
        return list(numbers)
    return [numbers[round(place * (len(numbers) - 1) / (_MOST - 1))] for place in range(_MOST)]
