"""The report of an experiment: table, page, and all cells, which can be committed beside a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kaf._version import __version__
from kaf.cohort.tables import check_tables
from kaf.evaluation.comparison import Cell, as_csv, differences, noises, rows
from kaf.evaluation.comparison_page import comparison_page
from kaf.evaluation.results import plain_numbers
from kaf.experiments.cells import CellPlan, best_of, finished_cells
from kaf.runtime.events import OnEvent, Result
from kaf.runtime.file_set import write_set
from kaf.settings.compare import CompareSettings


@dataclass(frozen=True)
class Facts:
    """What is known of the pool: transductive, whether a test patient was recognised in it (or it is the data folder
    itself), and who was left out because of the voxels."""

    transductive: bool
    recognised: bool
    copies: Mapping[str, str]

    def text(self) -> str:
        if self.transductive:
            return "transductive: pretrained with images of test patients"
        if not self.recognised:
            return ("pretrained without images of test patients as far as names and voxels tell: none of them was "
                    "recognised in the pool")
        more = f", of whom {len(self.copies)} were recognised by their voxels" if self.copies else ""
        return f"inductive: pretrained without images of test patients{more}"


def write_report(settings: CompareSettings, plans: Sequence[CellPlan], pool: Facts, send: OnEvent) -> dict[str, Any]:
    """Write comparison.csv, .json and .html and cells.json of what is finished; returns the table."""
    output, arms, planned = Path(settings.output), settings.names, len(plans)
    cells = list(finished_cells(output, plans))
    baseline, count = settings.baseline or arms[0], sum(cell.arm in arms for cell in cells)
    if settings.best:
        arms = [name for arm in arms for name in (arm, best_of(arm))]
    facts = [f"{count} of {planned} networks", _folds(settings), f"{settings.draws} draws",
             f"{settings.seeds} seeds" if settings.seeds > 1 else "1 seed: run-to-run noise not measured", pool.text(),
             f"data: {Path(settings.data).name}"]
    facts += [f"protocol {settings.protocol}{', in miniature: the figures mean nothing' * settings.miniature}"
              ] if settings.protocol else []
    facts += ["best on test: the network that was best on the test patients, as published tables report; optimistic"
              ] if settings.best else []
    table = plain_numbers({
        "facts": facts, "networks": count, "planned": planned, "baseline": baseline,
        "settings": settings.model_dump(mode="json"), "rows": [asdict(row) for row in rows(cells, arms)],
        "differences": [asdict(d) for d in differences(cells, arms, baseline)],
        "noise": [asdict(noise) for noise in noises(cells, arms)]})
    if settings.task is not None:  # others work on the other parts: the report comes in the end
        return dict(table)
    files = {output / "comparison.csv": as_csv(cells),
             output / "comparison.html": comparison_page(cells, arms, baseline, facts, planned - count),
             output / "comparison.json": json.dumps(table, indent=1) + "\n",
             output / "cells.json": _cells(cells, facts)}
    check_tables(files, overwrite=True)
    write_set(files, overwrite=True)
    send(Result({"report": str(output / "comparison.html"), "networks": count, "planned": planned}))
    return dict(table)


def _folds(settings: CompareSettings) -> str:
    run = ", ".join(map(str, settings.run_folds))
    folds = "fold" if len(settings.run_folds) == 1 else "folds"
    if settings.tune:
        tune = ", ".join(map(str, settings.tune))
        return f"tuning on folds {tune}: test patients of fold {run} are neither trained on nor tested"
    if settings.splits:
        return f"{folds} {run} of {Path(settings.splits).name}"
    if settings.test:
        return f"test patients of {Path(settings.test).name}"
    return f"{folds} {run} of {settings.folds}, by patient"


def _cells(cells: Sequence[Cell], facts: Sequence[str]) -> str:
    """One line per cell, which a version control system can compare."""
    lines = ",\n".join("  " + json.dumps(plain_numbers(asdict(cell))) for cell in cells)
    return (f'{{\n "kaf_version": {json.dumps(__version__)},\n "facts": {json.dumps(list(facts))},\n "cells": [\n'
            f"{lines}\n ]\n}}\n")
