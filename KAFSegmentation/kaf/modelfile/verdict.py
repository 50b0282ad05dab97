"""The gate before the library: does a fine-tuned model beat doing nothing?  Data, and words made of the data.

A model enters the library by itself only where patients that it has not learned from show that it is worth something.
About any other a person decides.  Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kaf.modelfile.card import Card

PASSED, SHORT, UNTESTED, MISSED, NO_BETTER = "passed", "short", "untested", "missed", "no better"
CODES = (PASSED, SHORT, UNTESTED, MISSED, NO_BETTER)
LEAST_DICE = 0.1
"""Mean Dice over the validation patients from which a structure counts as found."""
MARGIN = 0.02
"""The mean Dice must be this much above that of the same answer for every scan."""


@dataclass(frozen=True)
class Verdict:
    """What a model has shown.

    Attributes:
        code: one of ``CODES``: passed; or short (each slice was seen once at most), untested (no validation patient, or
            none that has some structure), missed (some structure is not found), no better (than doing nothing).
        epochs: how often each training slice was seen, on average.
        patients: number of validation patients.
        dice: their mean Dice, 0..1; NaN where there are none.
        constant: that of the same answer for every scan, the average of the training label maps.
        before: that of the model that the training started from, where it knew the same structures; NaN elsewhere.
        structures: the names of the labels that are untested or missed.
    """

    code: str
    epochs: float = 0.0
    patients: int = 0
    dice: float = math.nan
    constant: float = math.nan
    before: float = math.nan
    structures: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        return self.code == PASSED

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the figures that are not known; the inverse of :func:`verdict_from`."""
        known = {name: value for name, value in asdict(self).items() if value == value}
        return {**known, "structures": list(self.structures)}

    def reason(self) -> str:
        """Why it passed or did not, a clause."""
        of = ", ".join(self.structures)
        on = f"{self.patients} validation patient{'s' * (self.patients != 1)}"
        if self.code == SHORT:
            return f"it was trained for {self.epochs:.2g} epochs, and more than one is needed"
        if self.code == UNTESTED:
            return f"no validation patient has {of}" if self.patients and of else "no validation patient was scored"
        if self.code == MISSED:
            return f"it found almost nothing of {of} in {on} (Dice below {LEAST_DICE:g})"
        if self.code == NO_BETTER and self.before >= self.dice:
            return f"its mean Dice on {on} is {self.dice:.3f}, and {self.before:.3f} before the training"
        if self.code == NO_BETTER:
            return (f"its mean Dice on {on} is {self.dice:.3f}, and {self.constant:.3f} with the same answer for every "
                    "scan")
        if self.passed:
            return f"its mean Dice on {on} is {self.dice:.3f}"
        return "what its check found is not known to this version of KAF"


def judge(epochs: float, patients: int, names: Mapping[int, str], tested: Collection[int],
          figures: Mapping[str, float], constant: float = math.nan, before: float = math.nan) -> Verdict:
    """The verdict on a model with labels of these ``names``, of which the validation patients have those that are
    ``tested`` (values), from its last validation (``figures``: "Dice", and "Dice 1" and so on for each label); the
    other arguments are those of :class:`Verdict`."""
    def verdict(code: str, structures: tuple[str, ...] = ()) -> Verdict:
        return Verdict(code, round(epochs, 3), patients, round(figures.get("Dice", math.nan), 4), round(constant, 4),
                       round(before, 4), structures)

    if epochs <= 1:
        return verdict(SHORT)
    untested = tuple(name for value, name in names.items() if value not in tested)
    if not patients or untested or not figures.get("Dice", math.nan) >= 0:
        return verdict(UNTESTED, untested)
    missed = tuple(name for value, name in names.items() if not figures.get(f"Dice {value}", 0.0) >= LEAST_DICE)
    if missed:
        return verdict(MISSED, missed)
    dice = figures["Dice"]
    return verdict(NO_BETTER if dice < constant + MARGIN or dice <= before else PASSED)


def verdict_on(card: Card) -> Verdict | None:
    """The verdict that a card holds; None where nobody has judged the model (others make models, too)."""
    values = card.metrics.get("verdict")
    return verdict_from(values) if isinstance(values, dict) else None


def verdict_from(values: Mapping[str, Any]) -> Verdict:
    """The verdict of :meth:`Verdict.to_dict`, whoever wrote it: what is of another kind counts as not known."""
    def number(name: str) -> float:
        value = values.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan

    patients, epochs, structures = number("patients"), number("epochs"), values.get("structures")
    return Verdict(
        str(values.get("code", "")), epochs if math.isfinite(epochs) else 0.0,
        int(patients) if math.isfinite(patients) else 0, number("dice"), number("constant"), number("before"),
        tuple(name for name in structures if isinstance(name, str)) if isinstance(structures, list) else ())
