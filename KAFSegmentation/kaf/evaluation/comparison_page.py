"""The report of a few-shot experiment as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from kaf._version import __version__
from kaf.evaluation.comparison import Cell, differences, rows
from kaf.imaging.labels import PALETTE
from kaf.report import parts as report
from kaf.report.chart import Strip, strip_chart
from kaf.report.parts import Column, amount, number, spread


def comparison_page(cells: Sequence[Cell], arms: Sequence[str], baseline: str, facts: Sequence[str],
                    planned: int) -> str:
    """Table, paired differences and a chart for every M."""
    found = rows(cells, arms)
    parts = []
    if len(cells) < planned:
        parts.append(report.notice("Not finished", [f"{len(cells)} of {planned} networks are trained; run the command "
                                                    "again to continue."]))
    for few_shot in sorted({row.few_shot for row in found}):
        own = [row for row in found if row.few_shot == few_shot]
        best = max(row.dice.mean for row in own)
        table = report.table(
            [Column("arm", numeric=False), Column("networks"), Column("Dice", "per volume"),
             Column("pooled Dice", "as the KAF paper"), Column("HD95", "mm")],
            [[report.Cell(row.arm, row.arm), report.Cell(str(row.dice.n), float(row.dice.n)),
              report.Cell(spread(row.dice.mean, row.dice.sd), row.dice.mean, share=row.dice.mean / max(best, 1e-9)),
              report.Cell(spread(row.pooled.mean, row.pooled.sd), row.pooled.mean),
              report.Cell(spread(row.hd95.mean, row.hd95.sd, 1), row.hd95.mean)] for row in own],
            f"M = {few_shot}: mean ± standard deviation over networks", sortable=True)
        parts.append(report.section(f"{few_shot} labelled patients", table,
                                    _differences(cells, arms, baseline, few_shot), _chart(cells, arms, few_shot)))
    return report.page("Learning from few labels", "Few-shot comparison", facts, parts,
                       f"Written by KAF {__version__}. The numbers are in comparison.csv and comparison.json.")


def _differences(cells: Sequence[Cell], arms: Sequence[str], baseline: str, few_shot: int) -> Markup:
    found = [d for d in differences(cells, arms, baseline) if d.few_shot == few_shot]
    if not found:
        return Markup()
    return report.table(
        [Column(f"compared with {baseline}", numeric=False), Column("Dice", "mean ± standard error"), Column("better"),
         Column("p", "Wilcoxon")],
        [[report.Cell(d.arm, d.arm), report.Cell(amount(d.mean, d.standard_error), d.mean,
                                                 alarming=d.mean < -d.standard_error),
          report.Cell(f"{d.wins} of {d.patients} patients", float(d.wins)), report.Cell(number(d.p), d.p)]
         for d in found], "Paired differences on the same patients, draws and folds", sortable=True)


def _chart(cells: Sequence[Cell], arms: Sequence[str], few_shot: int) -> Markup:
    strips = []
    for index, arm in enumerate(arms):
        points = [(f"{case}, draw {cell.draw}, fold {cell.fold}", value) for cell in cells
                  if (cell.arm, cell.few_shot) == (arm, few_shot) for case, value in cell.volume_dice.items()]
        if points:
            strips.append(Strip(arm, PALETTE[index % len(PALETTE)], points))
    return report.gallery(strip_chart(strips, f"Dice of every test volume, M = {few_shot}",
                                      "Each dot is a volume segmented by one network.", limits=(None, 1.0)))
