"""Predicted against true quality: what the reports beside segmentations foretold, and how well that agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaf.imaging.file_names import result_name
from kaf.quality.prediction import PredictedDice
from kaf.runtime import json_files
from kaf.runtime.files import file_digest

if TYPE_CHECKING:
    from kaf.evaluation.results import Evaluation

POOR = 0.80
"""A Dice below this is what a prediction is to warn of."""


@dataclass(frozen=True)
class Agreement:
    """How predicted and true Dice agree over the cases of one structure.

    name: of the structure, or "all" for all of them together; n: cases with both; correlation: Pearson's r;
    auroc: of the predicted Dice for a true Dice below 0.80 (``poor`` cases); error: mean absolute difference;
    coverage: share of the ``bounded`` cases whose true Dice reaches the lower bound.  NaN where undefined.
    """

    name: str
    n: int
    correlation: float
    poor: int
    auroc: float
    error: float
    bounded: int
    coverage: float


def predicted_beside(segmentation: Path) -> dict[int, PredictedDice]:
    """Label value -> what the report beside a segmentation predicts; empty where there is none, or where the
    segmentation was changed since (a prediction does not hold for what a person has corrected)."""
    report = segmentation.with_name(f"{result_name(segmentation)}-seg.json")
    found: dict[int, PredictedDice] = {}
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        if not report.is_file():
            return {}
        stated: Any = json_files.read(report)
        if stated["files"].get(segmentation.name) != file_digest(segmentation):
            return {}
        for one in stated["predicted_quality"].values():
            figures = [_figure(one[name]) for name in ("dice", "low", "raw")]
            found[int(one["label"])] = PredictedDice(figures[0], figures[1], str(one["word"])[:40], figures[2])
    return found


def _figure(value: Any) -> float | None:
    """A Dice as a report states it; ValueError for anything else."""
    if value is None:
        return None
    if not 0 <= float(value) <= 1:
        raise ValueError(value)
    return float(value)


def agreements(evaluation: Evaluation) -> list[Agreement]:
    """One per structure with a prediction, and one of all if there are several."""
    found, every = [], []
    for index, summary in enumerate(evaluation.labels):
        pairs = [(one, case.metrics[index].dice) for case in evaluation.cases
                 if (one := case.predicted.get(summary.label.value)) is not None]
        if pairs:
            found.append(agreement(summary.label.name, pairs))
            every += pairs
    return [*found, agreement("all", every)] if len(found) > 1 else found


def agreement(name: str, pairs: Sequence[tuple[PredictedDice, float]]) -> Agreement:
    """Of (prediction, true Dice) pairs; those without either number are left out."""
    sound = [(one.dice, one.low, true) for one, true in pairs if one.dice is not None and math.isfinite(true)]
    predicted, dice = np.array([one[0] for one in sound]), np.array([one[2] for one in sound])
    held = [true >= low for _, low, true in sound if low is not None]
    many = len(sound) > 2 and predicted.std() > 0 and dice.std() > 0
    return Agreement(
        name, len(sound), float(np.corrcoef(predicted, dice)[0, 1]) if many else math.nan, int((dice < POOR).sum()),
        auroc(predicted, dice < POOR), float(np.abs(predicted - dice).mean()) if len(sound) else math.nan,
        len(held), float(np.mean(held)) if held else math.nan)


def auroc(predicted: np.ndarray, poor: np.ndarray) -> float:
    """The chance that a poor case was predicted to be lower than one that is not (ties count half); NaN where there
    are none of one kind."""
    low, high = predicted[poor], predicted[~poor]
    if not (low.size and high.size):
        return math.nan
    order = np.sort(high)
    above = high.size - np.searchsorted(order, low, side="right")
    ties = high.size - above - np.searchsorted(order, low, side="left")
    return float((above + 0.5 * ties).sum() / (low.size * high.size))
