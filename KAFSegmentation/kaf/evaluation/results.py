"""What an evaluation found: cases, labels and their figures; the verb makes it, the report draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaf._version import __version__
from kaf.evaluation.metrics import LabelMetrics
from kaf.evaluation.pairing import Pair
from kaf.imaging.labels import Label
from kaf.quality.prediction import PredictedDice
from kaf.report.statistics import Statistic, statistic
from kaf.settings.evaluate import EvaluateSettings

TABLE, NUMBERS, REPORT = "evaluation.csv", "evaluation.json", "report.html"
CARD_ROW = "card-row.json"


@dataclass(frozen=True)
class CaseResult:
    """One scored case; ``metrics`` holds one entry per label of the evaluation, in its order; ``predicted`` the quality
    that KAF predicted of each label, where its report tells."""

    pair: Pair
    metrics: tuple[LabelMetrics, ...]
    predicted: dict[int, PredictedDice] = field(default_factory=dict)

    @property
    def dice(self) -> float:
        """Mean over the labels that have a Dice."""
        return statistic(metrics.dice for metrics in self.metrics).mean


@dataclass(frozen=True)
class LabelSummary:
    """One label over all cases.

    ``counts`` tells in how many cases it was scored, missed, spurious, absent or not contoured.
    ``statistics`` has the distributions of dice, hd95, assd, nsd, difference_ml and relative_difference,
    which are fields of :class:`LabelMetrics`.  ``pooled_dice`` is Dice over the voxels of all cases together.
    """

    label: Label
    counts: dict[str, int]
    statistics: dict[str, Statistic]
    pooled_dice: float


@dataclass(frozen=True)
class Evaluation:
    """All results, as they are written to the output folder.

    ``not_scored`` holds a sentence for every file that was left out; ``remarks`` what is odd about labels.
    """

    settings: EvaluateSettings
    cases: tuple[CaseResult, ...]
    labels: tuple[LabelSummary, ...]
    not_scored: tuple[str, ...]
    remarks: tuple[str, ...]
    created: str
    code_version: str = __version__

    def overview(self) -> dict[str, Any]:
        """The few figures and the paths that a panel or a terminal shows, JSON-ready."""
        output = Path(self.settings.output)
        return plain_numbers({
            "report": str(output / REPORT), "table": str(output / TABLE), "numbers": str(output / NUMBERS),
            "cases": len(self.cases), "not_scored": len(self.not_scored), "dice": self.mean("dice"),
            "hd95_mm": self.mean("hd95"), "nsd": self.mean("nsd"), "pooled_dice": self.pooled_dice,
            **({"card_row": str(output / CARD_ROW)} if self.settings.card_row else {}),
        })

    def mean(self, name: str) -> float:
        """The mean over labels of the mean over cases of one of the statistics, e.g. ``mean("dice")``."""
        return statistic(label.statistics[name].mean for label in self.labels).mean

    @property
    def pooled_dice(self) -> float:
        """Mean over labels of pooled Dice: the figure of the KAF paper."""
        return statistic(label.pooled_dice for label in self.labels).mean


def plain_numbers(value: Any) -> Any:
    """NaN and infinity have no place in JSON."""
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_numbers(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
