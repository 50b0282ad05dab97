"""The quality of one result, as a report tells it: per structure and slice, in figures, a word and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kaf.modelfile.card import Card
from kaf.quality.prediction import (
    DOUBTFUL,
    NOT_FOUND,
    SLICE_ENOUGH,
    UNCALIBRATED,
    PredictedDice,
    predict,
    widening,
    worst,
)

if TYPE_CHECKING:
    from kaf.quality.expected import Expected  # torch

_TO_CHECK = 5  # slices that are named
_GROUPS = {"spacing": "spacing and field of view", "intensity": "intensities", "embedding": "appearance to the network"}


@dataclass(frozen=True)
class QualityReport:
    """What is reported of one result.

    structures: by name, in the order of the card; values: their voxel values; slices: (slice as the scan is stored,
    raw expected Dice by name of the structures in it), in that order; source: which cases the lines were fitted on,
    empty for none; distance of the scan from the training set (1: as far as 95 % of it), None where unknown;
    strangest: what differs most; widened: how many times the usual width the bounds have.
    """

    structures: dict[str, PredictedDice]
    values: dict[str, int]
    slices: tuple[tuple[int, dict[str, float]], ...]
    source: str = ""
    distance: float | None = None
    strangest: str = ""
    widened: float = 1.0

    @property
    def doubtful(self) -> list[str]:
        """Names of structures that are doubtful."""
        return [name for name, found in self.structures.items() if found.word == DOUBTFUL]

    @property
    def order(self) -> tuple[int, float]:
        """Sorts the results of many scans: the one to look at first comes first."""
        return worst(list(self.structures.values()))

    @property
    def slices_to_check(self) -> list[int]:
        """Slices as the scan is stored whose lowest structure is expected below 0.70, the lowest first."""
        low = [(min(values.values()), index) for index, values in self.slices if values]
        return [index for value, index in sorted(low) if value < SLICE_ENOUGH][:_TO_CHECK]

    @property
    def warning(self) -> str:
        """Names the doubtful structures; empty where there are none."""
        words = [f"{name} (predicted Dice {_figure(found.dice)}{_bound(found.low)})"
                 for name, found in self.structures.items() if found.word == DOUBTFUL]
        return f"Doubtful, please check: {', '.join(words)}." if words else ""

    @property
    def sentence(self) -> str:
        """Where the figures come from and how far they carry."""
        if not self.source:
            return "Predicted Dice is uncalibrated: the model was not compared with cases that it had not seen. The " \
                "values are usually too high."
        words = [f"Predicted Dice was calibrated on {self.source}."]
        if any(found.word == UNCALIBRATED for found in self.structures.values()):
            words.append("Structures marked uncalibrated were not contoured there.")
        if self.widened > 1:
            words.append(f"This scan is unlike those the model is known from ({self.strangest}): the bounds are "
                         f"{self.widened:.1f} times as wide as usual.")
        return " ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """The entries of a report, JSON-ready."""
        return {
            "predicted_quality": {name: {**found.to_dict(), "label": self.values[name]}
                                  for name, found in self.structures.items()},
            "predicted_quality_per_slice": [{"slice": index, "dice": {n: round(v, 4) for n, v in values.items()}}
                                            for index, values in self.slices],
            "slices_to_check": self.slices_to_check,
            "calibration": {"source": self.source, "distance": None if self.distance is None else
                            round(self.distance, 3), "strangest": self.strangest, "widened": round(self.widened, 3),
                            "text": self.sentence},
        }


def quality_report(expected: Expected, card: Card, quality: Mapping[str, Any], found: tuple[float, str] | None,
                   stored: Sequence[int]) -> QualityReport:
    """Apply a calibration (as ``card.quality``; may be empty) to what was summed.

    Args:
        found: distance of the scan from the training set and the group of features that it comes from.
        stored: the slice as the scan is stored of each slice of ``expected``.
    """
    lines = {line["label"]: line for line in quality.get("lines", ())}
    far, group = found if found is not None else (None, "")
    wider = widening(far, quality.get("usual_distance", 1.0)) if lines else 1.0
    by_class, by_slice = expected.by_class(), expected.by_slice()
    names = card.label_names
    structures = {name: predict(float(by_class[value]), lines.get(value), wider) for value, name in names.items()}
    slices = sorted(
        (stored[index], {name: float(row[value]) for value, name in names.items() if math.isfinite(row[value])})
        for index, row in enumerate(by_slice) if np.isfinite(row[list(names)]).any())
    values = {name: value for value, name in names.items()}
    return QualityReport(structures, values, tuple(slices), quality.get("source", "") if lines else "", far,
                         _GROUPS.get(group, group), wider)


def words_of(found: PredictedDice) -> str:
    """A structure's quality for a line of text, e.g. "predicted Dice 0.91, at least 0.86: good"."""
    if found.word == NOT_FOUND:
        return "not found"
    return f"predicted Dice {_figure(found.dice)}{_bound(found.low)}: {found.word}"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _bound(low: float | None) -> str:
    return "" if low is None else f", at least {low:.2f}"
