"""The report of a few-shot experiment as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from kaf._version import __version__
from kaf.evaluation.comparison import Cell, Difference, differences, noises, rows
from kaf.imaging.labels import PALETTE
from kaf.report import parts as report
from kaf.report.chart import Strip, strip_chart
from kaf.report.parts import Column, amount, number, spread

_READ = ("Mean ± standard deviation over networks. HD95 is the mean over structures that were found; those that were "
         "missed, or found where there is none, are counted beside it.")


def comparison_page(cells: Sequence[Cell], arms: Sequence[str], baseline: str, facts: Sequence[str],
                    missing: int) -> str:
    """Table, paired differences and a chart for every M; ``missing``: networks that are not trained yet."""
    found = rows(cells, arms)
    parts = []
    if missing:
        parts.append(report.notice("Not finished", [f"{missing} networks are not trained yet; run the command again to "
                                                    "continue."]))
    for few_shot in sorted({row.few_shot for row in found}):
        own = [row for row in found if row.few_shot == few_shot]
        best = max(row.dice.mean for row in own)
        table = report.table(
            [Column("arm", numeric=False), Column("networks"), Column("Dice", "per volume"),
             Column("pooled Dice", "as the KAF paper"), Column("HD95", "mm"),
             Column("without HD95", "missed structures")],
            [[report.Cell(row.arm, row.arm), report.Cell(str(row.dice.n), float(row.dice.n)),
              report.Cell(spread(row.dice.mean, row.dice.sd), row.dice.mean, share=row.dice.mean / max(best, 1e-9)),
              report.Cell(spread(row.pooled.mean, row.pooled.sd), row.pooled.mean),
              report.Cell(spread(row.hd95.mean, row.hd95.sd, 1), row.hd95.mean),
              report.Cell(f"{row.without_hd95} of {row.structures}", float(row.without_hd95))] for row in own],
            f"M = {few_shot}: mean ± standard deviation over networks", sortable=True)
        compared = [d for d in differences(cells, arms, baseline) if d.few_shot == few_shot]
        parts.append(report.section(
            f"{few_shot} labelled patients", table, _differences(compared, baseline),
            noise_table(cells, arms, few_shot), _chart(cells, arms, few_shot), lead=f"{_READ}{resampled(compared)}"))
    return report.page("Learning from few labels", "Few-shot comparison", facts, parts,
                       f"Written by KAF {__version__}. The numbers are in comparison.csv and comparison.json.")


def _differences(found: Sequence[Difference], baseline: str) -> Markup:
    if not found:
        return Markup()
    return report.table(
        [Column(f"compared with {baseline}", numeric=False), Column("Dice", "mean ± standard error"),
         Column("95 % interval"), Column("better"), Column("p", "corrected")],
        [[report.Cell(d.arm, d.arm), report.Cell(amount(d.mean, d.standard_error), d.mean,
                                                 alarming=d.mean < -d.standard_error),
          report.Cell(_range(d), d.lower), report.Cell(f"{d.wins} of {d.patients} patients", float(d.wins)),
          report.Cell(number(d.p), d.p)] for d in found],
        "Paired differences in Dice per volume on the same patients, seeds, draws and folds", sortable=True)


def _range(difference: Difference) -> str:
    return f"{number(difference.lower, signed=True)} to {number(difference.upper, signed=True)}"


def resampled(found: Sequence[Difference]) -> str:
    """Over what the bootstrap went, and what is not in its intervals because there is only one of it."""
    if not found:
        return ""
    most = {name: max(getattr(d, name) for d in found) for name in ("folds", "seeds", "draws", "patients")}
    several = [f"{count} {name}" for name, count in most.items() if count > 1]
    single = [name for name, count in most.items() if count == 1]
    words = " No interval: one network."
    if several:
        words = f" Standard error and interval: bootstrap over {', '.join(several)}."
    if single:
        words += f" Only one of: {', '.join(single)}; what would differ with another is not in them."
    if "seeds" in single or "draws" in single:
        words += " No p value is given with a single seed or draw."
    else:
        words += " p values are corrected for the number of comparisons (Holm)."
    return words


def noise_table(cells: Sequence[Cell], arms: Sequence[str], few_shot: int) -> Markup:
    """How much networks of an arm differ by nothing but their seed."""
    found = [noise for noise in noises(cells, arms) if noise.few_shot == few_shot]
    if not found:
        return report.notice("Run-to-run noise was not measured", [
            "Every network was trained once, so a difference may be chance. Use --seeds 2 or more."])
    return report.table(
        [Column("run-to-run noise", numeric=False), Column("standard deviation", "of Dice, between seeds"),
         Column("networks")],
        [[report.Cell(n.arm, n.arm), report.Cell(number(n.sd), n.sd), report.Cell(str(n.networks), float(n.networks))]
         for n in found], "Run-to-run noise: networks of one arm that differ by nothing but their seed", sortable=True)


def _chart(cells: Sequence[Cell], arms: Sequence[str], few_shot: int) -> Markup:
    strips = []
    for index, arm in enumerate(arms):
        points = [(f"{case}, draw {cell.draw}, fold {cell.fold}, seed {cell.seed}", value) for cell in cells
                  if (cell.arm, cell.few_shot) == (arm, few_shot) for case, value in cell.volume_dice.items()]
        if points:
            strips.append(Strip(arm, PALETTE[index % len(PALETTE)], points))
    return report.gallery(strip_chart(strips, f"Dice of every test volume, M = {few_shot}",
                                      "Each dot is a volume segmented by one network.", limits=(None, 1.0)))
