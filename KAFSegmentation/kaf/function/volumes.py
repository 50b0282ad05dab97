"""Volumes over the cycle, the two phases that count, and the figures that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DENSITY = 1.05
"""Of myocardium, g/mL."""
_JUMP, _LEAST_JUMP = 0.12, 6.0  # of the largest volume; mL
_ENOUGH_PHASES = 5  # from which a phase can be compared with its neighbours


@dataclass(frozen=True)
class Phases:
    """end-diastole and end-systole as indices of the frames; jumps: phases whose LV volume does not go with those
    before and after."""

    ed: int
    es: int
    jumps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A figure and the range in which it lies if all the disagreement that is predicted were one-sided; None where
    predicted quality is not calibrated."""

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> Interval:
        """The figure in another unit."""
        low, high = (None if part is None else part * factor for part in (self.low, self.high))
        return Interval(self.value * factor, low, high)


@dataclass(frozen=True)
class Ventricle:
    """edv, esv, sv in mL, ef in percent."""

    edv: Interval
    esv: Interval
    sv: Interval
    ef: Interval


def volume_curve(labels: Sequence[np.ndarray], value: int, voxel_ml: float) -> np.ndarray:
    """(phases,) mL of a label in uint8 label maps."""
    return np.array([np.count_nonzero(one == value) * voxel_ml for one in labels])


def find_phases(curve: np.ndarray, ed: int | None = None, es: int | None = None) -> Phases:
    """End-diastole and end-systole by the largest and the smallest volume of the left ventricle.

    With five phases or more the curve is smoothed by the median of three (the cycle is closed), so that one bad phase
    is not taken for either; the phases that differ from their neighbours by more than 12 % of the largest volume
    (6 mL at least) are reported as jumps.  ``ed`` and ``es`` are kept where they are given.
    """
    if len(curve) < _ENOUGH_PHASES:
        return Phases(int(np.argmax(curve)) if ed is None else ed, int(np.argmin(curve)) if es is None else es)
    around = np.stack([np.roll(curve, 1), curve, np.roll(curve, -1)])
    smooth = np.median(around, axis=0)
    expected = np.median(np.stack([np.roll(curve, shift) for shift in (2, 1, -1, -2)]), axis=0)
    limit = max(_LEAST_JUMP, _JUMP * float(smooth.max()))
    beyond = (curve > np.maximum(around[0], around[2]) + limit) | (curve < np.minimum(around[0], around[2]) - limit)
    jumps = tuple(int(i) for i in np.flatnonzero(beyond & (np.abs(curve - expected) > limit)))
    # Among phases of the same smoothed volume the one whose own volume is the most extreme.
    sound = np.where(np.isin(np.arange(len(curve)), jumps), smooth, curve)
    largest = int(np.lexsort((-sound, -smooth))[0]) if ed is None else ed
    smallest = int(np.lexsort((sound, smooth))[0]) if es is None else es
    return Phases(largest, smallest, jumps)


def ventricle(edv: float, esv: float, ed_dice: float | None = None, es_dice: float | None = None) -> Ventricle:
    """The figures of a ventricle; ``ed_dice`` and ``es_dice``: the predicted Dice of the two phases."""
    ed, es = with_range(edv, ed_dice), with_range(esv, es_dice)
    stroke, fraction = edv - esv, _fraction(edv, esv)
    halves = [(one.high - one.low) / 2 for one in (ed, es) if one.low is not None and one.high is not None]
    if len(halves) < 2:
        return Ventricle(ed, es, Interval(stroke), Interval(fraction))
    spread = math.hypot(*halves)
    relative = math.hypot(*(half / max(volume, 1e-9) for half, volume in zip(halves, (edv, esv), strict=True)))
    points = 100 * (esv / edv) * relative if edv > 0 else math.nan
    return Ventricle(ed, es, Interval(stroke, max(0.0, stroke - spread), stroke + spread),
                     Interval(fraction, max(0.0, fraction - points), min(100.0, fraction + points)))


def with_range(millilitres: float, dice: float | None) -> Interval:
    """The volumes that a segmentation of this volume can stand for if its Dice is ``dice`` and one of the two shapes
    lies inside the other: V d / (2 - d) to V (2 - d) / d."""
    if dice is None or not 0 < dice <= 1:
        return Interval(millilitres)
    return Interval(millilitres, millilitres * dice / (2 - dice), millilitres * (2 - dice) / dice)


def _fraction(edv: float, esv: float) -> float:
    return 100 * (edv - esv) / edv if edv > 0 else math.nan


def body_surface(height_cm: float, weight_kg: float) -> float:
    """m2 (Mosteller, N Engl J Med 317:1098, 1987)."""
    return math.sqrt(height_cm * weight_kg / 3600)
