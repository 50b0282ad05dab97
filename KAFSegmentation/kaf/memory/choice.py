"""Model, memory or both: finished slices that are left out in turn decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from kaf.memory.features import ScanFeatures, halved
from kaf.memory.known import Known, in_drawn_classes, joined, memory_share
from kaf.memory.recall import FinishedSlices
from kaf.memory.tuning import Trial, label_dice

Source = Literal["model", "memory", "combination"]
_CLEARLY = 0.02  # Dice by which one of the two alone must be better than both together


@dataclass(frozen=True)
class Choice:
    """Which of model, memory and their combination labels the unfinished slices, and why.

    dice: of each on the finished slices that were left out, 0..1; slices: how many these were; reason: "asked",
    "unknown" (the model knows none of the structures), "few" (nothing to leave out) or "measured".
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
        if self.reason == "few":
            return f"Shown is the result of {name}: with one finished slice the alternatives cannot be compared."
        scores = ", ".join(f"{word} {value:.2f}" for word, value in self.dice.items())
        slices = "1 finished slice" if self.slices == 1 else f"{self.slices} finished slices"
        return f"Shown is the result of {name}. Dice on {slices}, each left out in turn: {scores}."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"source": self.source, "reason": self.reason, "dice": dict(self.dice), "slices": self.slices,
                "text": self.text}


def choose(features: ScanFeatures, memory: FinishedSlices, known: Known, trials: Sequence[Trial], step_mm: float,
           wanted: str = "auto") -> Choice:
    """By the Dice of each on the finished slices left out; the combination unless another is clearly better.

    Args:
        step_mm: from one slice to the next.
        wanted: "auto", or the source to use.
    """
    dice = _scores(features, memory, known, trials, step_mm)
    if wanted != "auto":
        source: Source = "model" if wanted == "model" else "memory" if wanted == "memory" else "combination"
        return Choice(source if known.any else "memory", "asked" if known.any else "unknown", dice, len(trials))
    if not known.any:
        return Choice("memory", "unknown", dice, len(trials))
    if not trials:
        return Choice("combination", "few")
    best = max(("combination", "model", "memory"), key=lambda name: dice[name])
    if best == "combination" or dice[best] < dice["combination"] + _CLEARLY or not known.all:
        return Choice("combination", "measured", dice, len(trials))
    return Choice("model" if best == "model" else "memory", "measured", dice, len(trials))


def _scores(features: ScanFeatures, memory: FinishedSlices, known: Known, trials: Sequence[Trial], step_mm: float
            ) -> dict[str, float]:
    found: dict[str, list[float]] = {"model": [], "memory": [], "combination": []}
    for trial in trials:
        truth = memory.labels[memory.numbers.index(trial.number)]
        rest = memory.without(trial.number)
        found["memory"].append(label_dice(trial.soft, truth))
        if not known.any:
            continue
        shares = halved(features.probabilities([trial.number]))
        model = in_drawn_classes(shares, known, trial.soft[None])
        distance = rest.distance(trial.number) / rest.step * step_mm
        both = joined(trial.soft[None], model, memory_share([distance], [rest.is_between(trial.number)]))
        found["model"].append(label_dice(model[0], truth))
        found["combination"].append(label_dice(both[0], truth))
    return {name: round(float(np.nanmean(values)), 4) for name, values in found.items()
            if values and not np.isnan(values).all()}


def doubled(soft: Tensor, size: tuple[int, int]) -> Tensor:
    """Soft labels (T, K, h, w) at half resolution as (T, K, H, W)."""
    height, width = soft.shape[2:]
    large = F.interpolate(soft, size=(2 * height, 2 * width), mode="bilinear", align_corners=False)
    return large[:, :, :size[0], :size[1]]
