"""The results of a folder as one table, the ones to look at first on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaf.cohort.standing import read_report
from kaf.quality.prediction import PredictedDice, worst
from kaf.runtime.files import atomic_write
from kaf.runtime.plain_text import csv_table

OVERVIEW = "segmentations.csv"
_HEAD = ("case", "structure", "volume_ml", "predicted_dice", "predicted_low", "word", "slices_to_check", "segmentation")


def write_overview(output: Path, reports: Mapping[str, Path]) -> list[str]:
    """Write segmentations.csv from the reports of the cases (name -> file); returns the names, worst first.

    A row per case and structure: by the worst word of a case, then its lowest predicted Dice.  Reports of an earlier
    version tell nothing of quality; their cases come last.  Nothing is written where no report tells anything.

    Raises:
        OutputError: the disk refuses.
    """
    found = {name: read_report(path) for name, path in reports.items()}
    found = {name: report for name, report in found.items() if report}
    names = sorted(found, key=lambda name: (*_order(found[name]), name))
    rows: list[Sequence[object]] = [_HEAD]
    for name in names:
        rows += _rows(name, found[name])
    if any(_structures(report) for report in found.values()):
        atomic_write(output / OVERVIEW, csv_table(rows), overwrite=True)
    return names


def _structures(report: Mapping[str, Any]) -> dict[str, PredictedDice]:
    stated = report.get("predicted_quality")
    if not isinstance(stated, dict):
        return {}
    return {name: PredictedDice(one.get("dice"), one.get("low"), str(one.get("word")), one.get("raw"))
            for name, one in stated.items() if isinstance(one, dict)}


def _order(report: Mapping[str, Any]) -> tuple[int, float]:
    try:
        return worst(list(_structures(report).values()))
    except (ValueError, TypeError):  # a word or a figure that this version does not write
        return worst([])


def _rows(name: str, report: Mapping[str, Any]) -> list[Sequence[object]]:
    structures, outputs = _structures(report), report["outputs"]
    volumes = report.get("volumes_ml")
    check = " ".join(map(str, report.get("slices_to_check") or ()))
    file = Path(str(outputs.get("labels", ""))).name
    return [(name, structure, millilitres, *_figures(structures.get(structure)), check, file)
            for structure, millilitres in (volumes if isinstance(volumes, dict) else {}).items()]


def _figures(found: PredictedDice | None) -> tuple[object, object, object]:
    return ("", "", "") if found is None else (found.dice, found.low, found.word)
