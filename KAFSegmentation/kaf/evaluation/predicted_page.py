"""The section of an evaluation's report that holds predicted quality against the reference."""

from __future__ import annotations

import math

from markupsafe import Markup

from kaf.evaluation.predicted import POOR, Agreement, agreements
from kaf.evaluation.results import Evaluation
from kaf.quality.prediction import UNCALIBRATED
from kaf.report import parts as report
from kaf.report.parts import Cell, Column, number
from kaf.report.scatter import Dots, scatter_chart


def predicted_section(evaluation: Evaluation) -> Markup:
    """Table and chart; empty where no report beside a segmentation predicts anything."""
    found = agreements(evaluation)
    if not any(one.n for one in found):
        return Markup()
    words = {one.word for case in evaluation.cases for one in case.predicted.values()}
    lead = ("What KAF predicted when it made these segmentations, against what they turned out to be. "
            f"AUROC: how well the prediction tells a Dice below {POOR:.2f} from others (0.5: not at all, 1: always). "
            "Coverage: the share of cases that reach their lower bound.")
    if UNCALIBRATED in words:
        lead += " Some predictions are uncalibrated: the model was not compared with cases that it had not seen."
    columns = [Column("Structure", numeric=False), Column("n", "cases"), Column("r", "correlation"),
               Column("AUROC", f"Dice below {POOR:.2f}"), Column("Error", "mean absolute"),
               Column("Coverage", "of the lower bound")]
    colours = {summary.label.name: summary.label.colour for summary in evaluation.labels}
    rows = [_row(one, colours.get(one.name)) for one in found]
    return report.section("Predicted quality", report.table(columns, rows, "Predicted against true Dice"),
                          report.gallery(_chart(evaluation)), lead=lead)


def _row(one: Agreement, colour: tuple[int, int, int] | None) -> list[Cell]:
    return [Cell(one.name, colour=colour), Cell(str(one.n)), Cell(number(one.correlation, 2)),
            Cell(number(one.auroc, 2), note=f"{one.poor} below"), Cell(number(one.error)),
            Cell(number(one.coverage, 2), note=f"of {one.bounded}" if one.bounded else "")]


def _chart(evaluation: Evaluation) -> Markup:
    dots = []
    for index, summary in enumerate(evaluation.labels):
        points = [(case.pair.name, one.dice, case.metrics[index].dice) for case in evaluation.cases
                  if (one := case.predicted.get(summary.label.value)) is not None and one.dice is not None
                  and math.isfinite(case.metrics[index].dice)]
        if points:
            dots.append(Dots(summary.label.name, summary.label.colour, points))
    return scatter_chart(dots, "Predicted and true Dice", "One dot per case and structure. On the line both are equal; "
                         "dots below it turned out worse than predicted.", "predicted", "true")
