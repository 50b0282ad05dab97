"""Model, memory or both: finished slices that are left out in turn decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from kaf.memory.features import pooled
from kaf.memory.finished import FinishedSlices
from kaf.memory.known import Known, Trust, in_drawn_classes, joined
from kaf.memory.tuning import Trial, label_dice

Source = Literal["model", "memory", "combination"]
_CLEARLY = 0.02  # Dice by which one of the two alone must be better than both together


@dataclass(frozen=True)
class Choice:
    """Which of model, memory and their combination labels the unfinished slices, and why.

    dice: of each on the finished slices that were left out, 0..1; slices: how many these were; reason: "asked",
    "unknown" (the model knows none of the structures), "nothing" (no slice is finished), "few" (nothing to leave out)
    or "measured".  "model" stands for the slices of earlier patients where these know the structures better.
    """

    source: Source
    reason: str
    dice: Mapping[str, float] = field(default_factory=dict)
    slices: int = 0

    @property
    def text(self) -> str:
        """One sentence for a person."""
        name = {"model": "the model alone", "memory": "the finished slices alone",
                "combination": "the model and the finished slices together"}[self.source]
        if self.reason == "asked":
            return f"Shown is the result of {name}, as asked."
        if self.reason == "unknown":
            return f"Shown is the result of {name}: the model knows none of the structures."
        if self.reason == "nothing":
            return "No slice is finished: shown is what the slices of earlier patients say."
        if self.reason == "few":
            return f"Shown is the result of {name}: with one finished slice the alternatives cannot be compared."
        scores = ", ".join(f"{word} {value:.2f}" for word, value in self.dice.items())
        slices = "1 finished slice" if self.slices == 1 else f"{self.slices} finished slices"
        return f"Shown is the result of {name}. Dice on {slices}, each left out in turn: {scores}."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"source": self.source, "reason": self.reason, "dice": dict(self.dice), "slices": self.slices,
                "text": self.text}


def trust_in(memory: FinishedSlices, known: Known, trials: Sequence[Trial]) -> Trust:
    """From the finished slices that were left out; what was read across a gap twice as wide as it will be counts as
    half as wrong."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for trial in trials:
        rest = memory.without(trial.number)
        score = label_dice(trial.soft, memory.labels[memory.numbers.index(trial.number)])
        found[rest.is_between(trial.number)].append(1 - (1 - score) / 2)
    usual = Trust(0.0)
    mine = {inside: [value for value in values if not np.isnan(value)] for inside, values in found.items()}
    model = [right for right, classes in zip(known.right, known.classes, strict=True) if classes]
    return Trust(float(np.mean(model)) if model else 0.0, _shrunk(mine[True], usual.between),
                 _shrunk(mine[False], usual.beyond), len(memory.numbers) == 1)


def _shrunk(values: Sequence[float], usual: float) -> float:
    """The mean, with one value that is usual among them."""
    return (sum(values) + usual) / (len(values) + 1)


def choose(probabilities: Callable[[Sequence[int]], Tensor], stride: int, memory: FinishedSlices, known: Known,
           trials: Sequence[Trial], trust: Trust, step_mm: float, wanted: str = "auto") -> Choice:
    """By the Dice of each on the finished slices left out; the combination unless another is clearly better.

    Args:
        probabilities: of the model, (n, classes of the model, H, W), for slices.
        stride: pixels along the side of a place.
        step_mm: from one slice to the next.
        wanted: "auto", or the source to use.
    """
    dice = _scores(probabilities, stride, memory, known, trials, trust, step_mm)
    if not known.any:
        return Choice("memory", "unknown", dice, len(trials))
    if wanted != "auto":
        source: Source = "model" if wanted == "model" else "memory" if wanted == "memory" else "combination"
        return Choice(source, "asked", dice, len(trials))
    if not trials:
        return Choice("combination", "few")
    for name in ("memory", "model"):
        if dice.get(name, 0.0) > dice.get("combination", 0.0) + _CLEARLY and (known.all or name == "memory"):
            return Choice("memory" if name == "memory" else "model", "measured", dice, len(trials))
    return Choice("combination", "measured", dice, len(trials))


def _scores(probabilities: Callable[[Sequence[int]], Tensor], stride: int, memory: FinishedSlices, known: Known,
            trials: Sequence[Trial], trust: Trust, step_mm: float) -> dict[str, float]:
    found: dict[str, list[float]] = {"model": [], "memory": [], "combination": []}
    for trial in trials:
        truth = memory.labels[memory.numbers.index(trial.number)]
        rest = memory.without(trial.number)
        found["memory"].append(label_dice(trial.soft, truth))
        if not known.any:
            continue
        shares = pooled(probabilities([trial.number]), stride)
        model = in_drawn_classes(shares, known, trial.soft[None])
        distance = rest.distance(trial.number) / rest.step * step_mm
        both = joined(trial.soft[None], model, trust.share([distance], [rest.is_between(trial.number)]))
        found["model"].append(label_dice(model[0], truth))
        found["combination"].append(label_dice(both[0], truth))
    return {name: round(float(np.nanmean(values)), 4) for name, values in found.items()
            if values and not np.isnan(values).all()}
