"""Lines from the raw expected Dice to the Dice that cases the weights have not seen turned out to have.

A line per structure, drawn to slope 1 by a little (few cases that are all alike say nothing of the slope), and the
margin below it that a share of the cases stays within: the conformal quantile of the residuals, each from a line that
was fitted without the patient (Barber et al., Annals of Statistics 49(1):486-507, 2021: jackknife+).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.9
FEWEST = 5
"""Patients from which a bound is given."""
_TO_SLOPE_ONE = 0.01  # as much weight as 10 cases whose raw values have a standard deviation of 0.03
_LEAST_MARGIN = 0.01


@dataclass(frozen=True)
class Outcome:
    """One structure of one case: raw expected Dice and the Dice it turned out to have (NaN: undefined), and how far
    the scan lies from the training set (None: unknown)."""

    label: int
    patient: str
    raw: float
    dice: float
    distance: float | None = None


def calibrate(outcomes: Sequence[Outcome], source: str) -> dict[str, Any]:
    """What the card keeps: ``lines`` per structure, ``usual_distance`` of the cases, and ``source``, a clause that
    says which cases they are.  Structures without any case that has both numbers have no line."""
    sound = [one for one in outcomes if math.isfinite(one.raw) and math.isfinite(one.dice)]
    lines = [_line(label, [one for one in sound if one.label == label])
             for label in sorted({one.label for one in sound})]
    far = [one.distance for one in sound if one.distance is not None]
    usual = round(max(1.0, float(np.percentile(far, 100 * LEVEL))), 4) if far else 1.0
    return {"source": source, "lines": lines, "usual_distance": usual}


def _line(label: int, cases: Sequence[Outcome]) -> dict[str, Any]:
    raw, dice = np.array([one.raw for one in cases]), np.array([one.dice for one in cases])
    patients = sorted({one.patient for one in cases})
    intercept, slope = fit(raw, dice)
    line = {"label": label, "intercept": round(intercept, 5), "slope": round(slope, 5), "cases": len(cases),
            "patients": len(patients), "lowest": round(float(raw.min()), 4), "highest": round(float(raw.max()), 4)}
    if len(patients) < FEWEST:
        return {**line, "margin": None, "level": None}
    over = []
    for patient in patients:
        own = np.array([one.patient == patient for one in cases])
        a, b = fit(raw[~own], dice[~own])
        over += list(np.clip(a + b * raw[own], 0, 1) - dice[own])
    count = len(over)
    rank = math.ceil((count + 1) * LEVEL)
    level = LEVEL if rank <= count else count / (count + 1)
    margin = max(_LEAST_MARGIN, float(np.sort(over)[min(rank, count) - 1]))
    return {**line, "margin": round(min(margin, 1.0), 5), "level": round(level, 4)}


def fit(raw: np.ndarray, dice: np.ndarray) -> tuple[float, float]:
    """(intercept, slope) by least squares with a ridge towards slope 1; the slope is not negative."""
    x, y = raw - raw.mean(), dice - dice.mean()
    slope = max(0.0, float((x @ y + _TO_SLOPE_ONE) / (x @ x + _TO_SLOPE_ONE)))
    return float(dice.mean() - slope * raw.mean()), slope
