"""What a few-shot experiment found: cells, their cases, and paired statistics by patient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaf.evaluation.dice import dice, pooled_dice
from kaf.report.statistics import Statistic, statistic
from kaf.runtime.plain_text import csv_table


@dataclass(frozen=True)
class Cell:
    """One fine-tuned network: arm, number of labelled patients, draw, fold, and its test cases.

    cases: per test case name, patient, hd95 per label in mm (None where undefined), inside and sizes: voxel counts
    per label (see :mod:`kaf.evaluation.dice`).
    """

    arm: str
    few_shot: int
    draw: int
    fold: int
    cases: tuple[dict[str, Any], ...]

    @property
    def volume_dice(self) -> dict[str, float]:
        """Case -> mean over labels of its Dice."""
        return {case["case"]: float(np.nanmean(dice(case["inside"], case["sizes"]))) for case in self.cases}

    @property
    def dice(self) -> float:
        """Mean over cases of the per-volume Dice."""
        return statistic(self.volume_dice.values()).mean

    @property
    def pooled(self) -> float:
        """Dice of all slices of all cases counted together, mean over labels: the KAF paper's figure."""
        return float(np.nanmean(pooled_dice([c["inside"] for c in self.cases], [c["sizes"] for c in self.cases])))

    @property
    def hd95(self) -> float:
        """Mean over cases and labels, of those that have one, in mm."""
        return statistic(math.nan if value is None else value for c in self.cases for value in c["hd95"]).mean


@dataclass(frozen=True)
class Row:
    """One arm at one M: distributions over its cells of the mean per-volume Dice, of pooled Dice and of HD95."""

    arm: str
    few_shot: int
    dice: Statistic
    pooled: Statistic
    hd95: Statistic


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline at one M, on the same patients, draws and folds.

    mean and standard_error: of the per-volume Dice differences, averaged by patient, over patients; wins: patients who
    gained; p: two-sided Wilcoxon signed-rank over patients, NaN for fewer than six.
    """

    arm: str
    few_shot: int
    patients: int
    mean: float
    standard_error: float
    wins: int
    p: float


def rows(cells: Sequence[Cell], arms: Sequence[str]) -> list[Row]:
    """The table, by M and in the order of the arms; arms without a cell are left out."""
    made = []
    for few_shot in sorted({cell.few_shot for cell in cells}):
        for arm in arms:
            own = [cell for cell in cells if (cell.arm, cell.few_shot) == (arm, few_shot)]
            if own:
                made.append(Row(arm, few_shot, statistic(c.dice for c in own),
                                statistic(c.pooled for c in own), statistic(c.hd95 for c in own)))
    return made


def differences(cells: Sequence[Cell], arms: Sequence[str], baseline: str) -> list[Difference]:
    """Every other arm against the baseline; only cells that both have count."""
    made = []
    table = {(c.arm, c.few_shot, c.draw, c.fold): c for c in cells}
    for few_shot in sorted({cell.few_shot for cell in cells}):
        for arm in arms:
            pairs = [(cell, table[baseline, m, draw, fold]) for (a, m, draw, fold), cell in table.items()
                     if (a, m) == (arm, few_shot) and arm != baseline and (baseline, m, draw, fold) in table]
            if pairs:
                made.append(_difference(arm, few_shot, pairs))
    return made


def _difference(arm: str, few_shot: int, pairs: Iterable[tuple[Cell, Cell]]) -> Difference:
    gains: dict[str, list[float]] = {}
    for mine, theirs in pairs:
        other = theirs.volume_dice
        patient = {case["case"]: case["patient"] for case in mine.cases}
        for case, value in mine.volume_dice.items():
            gains.setdefault(patient[case], []).append(value - other[case])
    by_patient = np.array([np.mean(values) for values in gains.values()])
    count = len(by_patient)
    error = float(by_patient.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
    p = math.nan
    if count >= 6 and np.any(by_patient != 0):
        from scipy.stats import wilcoxon

        p = float(wilcoxon(by_patient).pvalue)
    return Difference(arm, few_shot, count, float(by_patient.mean()), error, int((by_patient > 0).sum()), p)


def as_csv(cells: Sequence[Cell]) -> str:
    """One line per network and test case."""
    lines: list[Sequence[object]] = [("arm", "labelled patients", "draw", "fold", "case", "patient", "Dice")]
    for cell in cells:
        dice_of = cell.volume_dice
        for case in cell.cases:
            lines.append((cell.arm, cell.few_shot, cell.draw, cell.fold, case["case"], case["patient"],
                          f"{dice_of[case['case']]:.4f}"))
    return csv_table(lines, "\r\n")
