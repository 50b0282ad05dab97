"""What a few-shot experiment found: cells, their cases, paired differences, and the noise between runs alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kaf.evaluation.bootstrap import bootstrap_means, holm, interval, two_sided
from kaf.evaluation.dice import dice, pooled_dice
from kaf.report.statistics import Statistic, statistic
from kaf.runtime.plain_text import csv_table

_LEAST_PATIENTS = 6  # for a p value

@dataclass(frozen=True)
class Cell:
    """One fine-tuned network: arm, number of labelled patients, draw, fold, seed, and its test cases.

    seed: that of the pretraining and of the fine-tuning, counted from 0; cases: per test case name, patient, hd95 per
    label in mm (None where undefined), inside and sizes: voxel counts per label (see :mod:`kaf.evaluation.dice`).
    """

    arm: str
    few_shot: int
    draw: int
    fold: int
    cases: tuple[dict[str, Any], ...]
    seed: int = 0

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
        """Mean over cases and labels, of those that have one, in mm; see ``without_hd95``."""
        return statistic(math.nan if value is None else value for c in self.cases for value in c["hd95"]).mean

    @property
    def without_hd95(self) -> int:
        """Structures that were missed, or found where there is none: they have no HD95, and its mean leaves them
        out."""
        return sum(value is None and size > 0 for c in self.cases
                   for value, size in zip(c["hd95"], c["sizes"], strict=True))

    @property
    def structures(self) -> int:
        """Structures of all cases that are in the reference or in the prediction."""
        return sum(size > 0 for c in self.cases for size in c["sizes"])


@dataclass(frozen=True)
class Row:
    """One arm at one M: distributions over its cells of the mean per-volume Dice, of pooled Dice and of HD95.

    without_hd95, structures: of all cells, how many structures have no HD95, and how many there are.
    """

    arm: str
    few_shot: int
    dice: Statistic
    pooled: Statistic
    hd95: Statistic
    without_hd95: int = 0
    structures: int = 0


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline at one M, in Dice per volume, on the same patients, seeds, draws and folds.

    mean: over patients (each patient's mean over cases), seeds, draws and folds; standard_error, lower, upper: of the
    bootstrap over all four (:mod:`kaf.evaluation.bootstrap`), the last two of the 95 % interval; wins: patients who
    gained; p: two-sided, of the same bootstrap, corrected for the number of comparisons (Holm); NaN where a single seed
    or a single draw hides how much runs differ by chance, or there are fewer than six patients.
    """

    arm: str
    few_shot: int
    patients: int
    mean: float
    standard_error: float
    wins: int
    p: float
    lower: float = math.nan
    upper: float = math.nan
    folds: int = 1
    seeds: int = 1
    draws: int = 1


@dataclass(frozen=True)
class Noise:
    """Networks of one arm at one M that differ by nothing but their seed.

    sd: standard deviation of their Dice per volume, pooled over the ``groups`` of networks with the same draw and fold;
    networks: how many there are in these groups.
    """

    arm: str
    few_shot: int
    sd: float
    groups: int
    networks: int


def rows(cells: Sequence[Cell], arms: Sequence[str]) -> list[Row]:
    """The table, by M and in the order of the arms; arms without a cell are left out."""
    made = []
    for few_shot in sorted({cell.few_shot for cell in cells}):
        for arm in arms:
            own = [cell for cell in cells if (cell.arm, cell.few_shot) == (arm, few_shot)]
            if own:
                made.append(Row(arm, few_shot, statistic(c.dice for c in own), statistic(c.pooled for c in own),
                                statistic(c.hd95 for c in own), sum(c.without_hd95 for c in own),
                                sum(c.structures for c in own)))
    return made


def noises(cells: Sequence[Cell], arms: Sequence[str]) -> list[Noise]:
    """The run-to-run noise of every arm and M that has networks alike but for their seed."""
    made = []
    for few_shot in sorted({cell.few_shot for cell in cells}):
        for arm in arms:
            groups: dict[tuple[int, int], list[float]] = {}
            for cell in cells:
                if (cell.arm, cell.few_shot) == (arm, few_shot):
                    groups.setdefault((cell.draw, cell.fold), []).append(cell.dice)
            repeated = [values for values in groups.values() if len(values) > 1]
            if repeated:
                squares = sum(float(np.var(values)) * len(values) for values in repeated)
                count = sum(map(len, repeated))
                made.append(Noise(arm, few_shot, math.sqrt(squares / (count - len(repeated))), len(repeated), count))
    return made


def differences(cells: Sequence[Cell], arms: Sequence[str], baseline: str) -> list[Difference]:
    """Every other arm against the baseline; only cells that both have count."""
    made = []
    table = dict[tuple[object, ...], Cell]()
    table |= {(c.arm, c.few_shot, c.draw, c.fold, c.seed): c for c in cells}
    for few_shot in sorted({cell.few_shot for cell in cells}):
        for arm in arms:
            both = [(cell, table.get((baseline, m, *rest))) for (a, m, *rest), cell in table.items()
                    if (a, m) == (arm, few_shot) and arm != baseline]
            pairs = [(mine, theirs) for mine, theirs in both if theirs is not None]
            if pairs:
                made.append(_difference(arm, few_shot, pairs))
    return [replace(d, p=p) for d, p in zip(made, holm([d.p for d in made]), strict=True)]


def _difference(arm: str, few_shot: int, pairs: Sequence[tuple[Cell, Cell]]) -> Difference:
    values, patients = _gains(pairs)
    means = bootstrap_means(values)
    lower, upper = interval(means)
    by_patient = [float(np.nanmean(values[fold, :, :, place])) for fold, place in patients]
    folds, seeds, draws, _ = values.shape
    several = len(patients) > 1 or seeds > 1 or draws > 1
    sure = min(seeds, draws) > 1 and len(patients) >= _LEAST_PATIENTS
    return Difference(
        arm, few_shot, len(patients), float(np.nanmean(by_patient)), float(np.nanstd(means)) if several else math.nan,
        sum(value > 0 for value in by_patient), two_sided(means) if sure else math.nan,
        lower if several else math.nan, upper if several else math.nan, folds, seeds, draws)


def _gains(pairs: Sequence[tuple[Cell, Cell]]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """(folds, seeds, draws, patients) differences in Dice, NaN where there is none, and the places (fold, patient) of
    all patients."""
    folds, seeds, draws = (sorted({getattr(mine, name) for mine, _ in pairs}) for name in ("fold", "seed", "draw"))
    patients = {fold: sorted({str(case["patient"]) for mine, _ in pairs if mine.fold == fold for case in mine.cases})
                for fold in folds}
    values = np.full((len(folds), len(seeds), len(draws), max(map(len, patients.values()))), np.nan)
    for mine, theirs in pairs:
        other, gains = theirs.volume_dice, dict[str, list[float]]()
        patient = {case["case"]: str(case["patient"]) for case in mine.cases}
        for case, value in mine.volume_dice.items():
            gains.setdefault(patient[case], []).append(value - other[case])
        for name, found in gains.items():
            values[folds.index(mine.fold), seeds.index(mine.seed), draws.index(mine.draw),
                   patients[mine.fold].index(name)] = np.mean(found)
    return values, [(index, place) for index, fold in enumerate(folds) for place in range(len(patients[fold]))]


def as_csv(cells: Sequence[Cell]) -> str:
    """One line per network and test case."""
    lines: list[Sequence[object]] = [("arm", "labelled patients", "draw", "fold", "case", "patient", "Dice", "seed")]
    for cell in cells:
        dice_of = cell.volume_dice
        for case in cell.cases:
            lines.append((cell.arm, cell.few_shot, cell.draw, cell.fold, case["case"], case["patient"],
                          f"{dice_of[case['case']]:.4f}", cell.seed))
    return csv_table(lines, "\r\n")
