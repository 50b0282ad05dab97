"""What is said of a structure: predicted Dice, the bound below which it hardly lies, and a word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, CHECK, DOUBTFUL = "good", "check", "doubtful"
UNCALIBRATED, NOT_FOUND = "uncalibrated", "not found"
ENOUGH = 0.80
"""A structure whose lower bound reaches this is good; one that is predicted to stay below it is doubtful."""
FLOOR = 0.60
"""A structure whose lower bound lies below this is doubtful, whatever is predicted."""
SLICE_ENOUGH = 0.70
"""Slices in which a structure's expected Dice stays below this are to be checked."""
_ORDER = (DOUBTFUL, NOT_FOUND, CHECK, UNCALIBRATED, GOOD)


@dataclass(frozen=True)
class PredictedDice:
    """Of one structure: ``dice`` 0..1 (the raw value where the model has no line; None where nothing was found), its
    lower bound ``low`` (None where no bound is known), the word, and the raw expected Dice (None: not found)."""

    dice: float | None
    low: float | None
    word: str
    raw: float | None

    def to_dict(self) -> dict[str, Any]:
        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 4)

        return {"dice": rounded(self.dice), "low": rounded(self.low), "word": self.word, "raw": rounded(self.raw)}


def predict(raw: float, line: Mapping[str, Any] | None, widening: float = 1.0) -> PredictedDice:
    """What to say of a structure whose raw expected Dice is ``raw`` (NaN: not found).

    Args:
        line: of the structure, as the card keeps it; None where there is none.
        widening: how many times its usual width the margin is, at least 1.
    """
    if not math.isfinite(raw):
        return PredictedDice(None, None, NOT_FOUND, None)
    if line is None:
        return PredictedDice(raw, None, UNCALIBRATED, raw)
    dice = min(1.0, max(0.0, line["intercept"] + line["slope"] * raw))
    low = None if line["margin"] is None else max(0.0, dice - widening * line["margin"])
    return PredictedDice(dice, low, _word(dice, low), raw)


def _word(dice: float, low: float | None) -> str:
    if dice < ENOUGH or (low is not None and low < FLOOR):
        return DOUBTFUL
    return GOOD if low is not None and low >= ENOUGH else CHECK


def widening(distance: float | None, usual: float) -> float:
    """How much wider the margin is for a scan at this distance from the training set, where the cases of the
    calibration lie at ``usual`` or nearer."""
    return 1.0 if distance is None else max(1.0, distance / max(usual, 1.0))


def worst(predicted: Sequence[PredictedDice]) -> tuple[int, float]:
    """Sorts results so that the one to look at first comes first: by the worst word, then the lowest prediction."""
    if not predicted:
        return len(_ORDER), 1.0
    return (min(_ORDER.index(one.word) for one in predicted),
            min(0.0 if one.dice is None else one.dice for one in predicted))
