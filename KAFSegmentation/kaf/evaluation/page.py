"""The report of an evaluation: for those who must trust a segmentation and those who publish."""

from __future__ import annotations

import math
from pathlib import Path

from markupsafe import Markup

from kaf.evaluation.metrics import ABSENT, MISSED, NOT_CONTOURED, SCORED, SPURIOUS
from kaf.evaluation.pairing import GRID_TOLERANCE
from kaf.evaluation.pictures import by_dice, worst_cases
from kaf.evaluation.predicted_page import predicted_section
from kaf.evaluation.results import CaseResult, Evaluation, LabelSummary
from kaf.report import parts as report
from kaf.report.chart import Strip, strip_chart
from kaf.report.parts import NOTHING, Cell, Column, amount, number, spread
from kaf.report.statistics import statistic
from kaf.runtime.events import OnEvent, ignore

_WORST = 4  # cases with a picture
_WIDE = 6  # so many labels get a column each in the table of cases


def evaluation_page(evaluation: Evaluation, on_event: OnEvent = ignore) -> str:
    """The whole report as HTML; pictures are drawn from the files of the worst cases."""
    settings = evaluation.settings
    n_labels = len(evaluation.labels)
    facts = [
        f"{_count(len(evaluation.cases), 'case')} scored", _count(n_labels, "structure"),
        f"prediction: {settings.prediction}", f"reference: {settings.reference}", evaluation.created,
    ]
    parts = [_tiles(evaluation), *_notices(evaluation), _structures(evaluation), _charts(evaluation)]
    if pictures := worst_cases(evaluation, _WORST, on_event):
        parts.append(report.section(
            "Worst cases", report.gallery(*pictures),
            report.legend([(s.label.name, s.label.colour) for s in evaluation.labels]),
            lead="The cases with the lowest Dice, each on the slice with the most voxels that disagree. "
            "Coloured: prediction. Dashed white: reference.",
        ))
    if predicted := predicted_section(evaluation):
        parts.append(predicted)
    parts += [_meanings(evaluation), _protocol(evaluation), _cases(evaluation)]
    foot = (f"Written by KAF {evaluation.code_version}. The numbers behind this page are in evaluation.csv "
            "and evaluation.json beside it.")
    title = f"Evaluation of {Path(settings.prediction).name}"
    return report.page(title, "Segmentation evaluation", facts, parts, foot)


def _tiles(evaluation: Evaluation) -> Markup:
    scored = sum(label.counts[SCORED] for label in evaluation.labels)
    missed, spurious = (sum(label.counts[kind] for label in evaluation.labels) for kind in (MISSED, SPURIOUS))
    drawn = scored + missed
    over = "" if len(evaluation.labels) == 1 else f", then over {len(evaluation.labels)} structures"
    return report.tiles([
        ("Dice", number(evaluation.mean("dice")), f"per case, mean over cases{over}"),
        ("Pooled Dice", number(evaluation.pooled_dice), "all slices of all cases counted together"),
        ("HD95", _with_unit(number(evaluation.mean("hd95"), 1), "mm"),
         f"mean over structures, {scored} of {drawn} found"),
        (f"NSD at {_mm(evaluation)}", number(evaluation.mean("nsd")), "share of surface within tolerance"),
        ("Missed structures", f"{missed} of {drawn}", f"{spurious} predicted where the reference has none"),
    ])


def _notices(evaluation: Evaluation) -> list[Markup]:
    boxes = []
    if evaluation.not_scored:
        title = f"Not in these numbers: {_count(len(evaluation.not_scored), 'file')} left out."
        boxes.append(report.notice(title, evaluation.not_scored))
    if evaluation.remarks:
        boxes.append(report.notice("Please check", evaluation.remarks))
    return boxes


def _structures(evaluation: Evaluation) -> Markup:
    columns = [
        Column("Structure", numeric=False), Column("n", "cases"), Column("Dice", "mean ± sd"),
        Column("HD95", "mm, mean ± sd"), Column("ASSD", "mm, mean"), Column("NSD", f"at {_mm(evaluation)}"),
        Column("Volume bias", "mL, mean ± sd"), Column("Pooled", "Dice"), Column("Missed"),
        Column("Spurious"),
    ]
    rows = [_structure(summary) for summary in evaluation.labels]
    if len(evaluation.labels) > 1:
        rows.append([
            Cell("Mean"), Cell(""), Cell(number(evaluation.mean("dice"))),
            Cell(number(evaluation.mean("hd95"), 2)), Cell(number(evaluation.mean("assd"), 2)),
            Cell(number(evaluation.mean("nsd"))), Cell(""), Cell(number(evaluation.pooled_dice)),
            *(Cell(str(sum(s.counts[kind] for s in evaluation.labels))) for kind in (MISSED, SPURIOUS)),
        ])
    return report.section("By structure", report.table(columns, rows, "Agreement by structure"),
                          lead=_who_counts(evaluation))


def _structure(summary: LabelSummary) -> list[Cell]:
    dice, hd95, assd, nsd, bias = (summary.statistics[name] for name in
                                   ("dice", "hd95", "assd", "nsd", "difference_ml"))
    relative = number(100 * summary.statistics["relative_difference"].mean, 1, signed=True)
    missed, spurious = summary.counts[MISSED], summary.counts[SPURIOUS]
    return [
        Cell(summary.label.name, colour=summary.label.colour), Cell(str(dice.n)),
        Cell(spread(dice.mean, dice.sd), note=f"median {number(dice.median)}"),
        Cell(spread(hd95.mean, hd95.sd, 2), note=f"median {number(hd95.median, 2)}"),
        Cell(number(assd.mean, 2)), Cell(number(nsd.mean)),
        Cell(amount(bias.mean, bias.sd), note=_with_unit(relative, "%")), Cell(number(summary.pooled_dice)),
        Cell(str(missed), alarming=missed > 0), Cell(str(spurious), alarming=spurious > 0),
    ]


def _who_counts(evaluation: Evaluation) -> str:
    words = ("A missed or spurious structure counts with Dice 0 and NSD 0; its distances do not exist, so "
             "HD95 and ASSD describe the structures that were found.")
    absent = sum(label.counts[ABSENT] for label in evaluation.labels)
    skipped = sum(label.counts[NOT_CONTOURED] for label in evaluation.labels)
    if absent:
        words += f" In {absent} places neither map has the structure: those are left out."
    if skipped:
        words += f" In {skipped} places the reference is not contoured: those are left out."
    return words


def _charts(evaluation: Evaluation) -> Markup:
    def strips(name: str) -> list[Strip]:
        return [
            Strip(summary.label.name, summary.label.colour,
                  [(case.pair.name, getattr(case.metrics[i], name)) for case in evaluation.cases])
            for i, summary in enumerate(evaluation.labels)
        ]

    how = "One dot per case. Box: middle half of the cases; thick line: median."
    return report.section("Every case", report.gallery(
        strip_chart(strips("dice"), "Dice", f"{how} Right is better.", limits=(None, 1.0)),
        strip_chart(strips("hd95"), "HD95 in mm", f"{how} Left is better.", "mm", 1, limits=(0.0, None)),
    ))


def _cases(evaluation: Evaluation) -> Markup:
    names = [summary.label.name for summary in evaluation.labels]
    columns = [Column("Case", numeric=False), Column("Dice", "mean")]
    if 1 < len(names) <= _WIDE:
        columns += [Column(name, "Dice") for name in names]
    elif len(names) > _WIDE:
        columns.append(Column("Lowest", "structure, Dice"))
    columns += [Column("HD95", "largest, mm"), Column("NSD", "mean"), Column("Remarks", numeric=False)]
    rows = [_case(case, names) for case in by_dice(evaluation)]
    return report.section("Cases", report.table(columns, rows, "All cases", sortable=True),
                          lead="Worst first. Click a column's head to sort by it.")


def _case(case: CaseResult, names: list[str]) -> list[Cell]:
    hd95 = statistic(metrics.hd95 for metrics in case.metrics).largest
    nsd = statistic(metrics.nsd for metrics in case.metrics).mean
    named = list(zip(names, case.metrics, strict=True))
    remarks = "; ".join(f"{kind}: {', '.join(found)}" for kind in (MISSED, SPURIOUS)
                        if (found := [name for name, metrics in named if metrics.status == kind]))
    each = []
    if 1 < len(names) <= _WIDE:
        each = [_dice(metrics.dice) for metrics in case.metrics]
    elif len(names) > _WIDE:
        scores = [(metrics.dice, name) for name, metrics in named if math.isfinite(metrics.dice)]
        dice, name = min(scores, default=(math.nan, ""))
        each = [Cell(f"{name} {number(dice, 2)}", dice)]
    return [
        Cell(case.pair.name, case.pair.name), _dice(case.dice), *each, Cell(number(hd95, 1), hd95),
        Cell(number(nsd), nsd), Cell(remarks, remarks, alarming=True),
    ]


def _dice(value: float) -> Cell:
    return Cell(number(value), value, share=value if math.isfinite(value) else None)


def _meanings(evaluation: Evaluation) -> Markup:
    within = _mm(evaluation)
    return report.section("What the numbers mean", report.definitions([
        ("Dice (0 to 1)", "Overlap: twice the common volume over the sum of both. 1: identical, 0: no "
         "overlap. Small structures lose more for the same shift of the border."),
        ("HD95 (mm)", "95 % of each surface lies closer than this to the other surface. Lower is better; "
         "it shows outliers such as a stray island."),
        ("ASSD (mm)", "Average symmetric distance between the two surfaces. Lower is better."),
        (f"NSD at {within} (0 to 1)", f"Share of both surfaces that lies within {within} of the other: what "
         "a reader who accepts this tolerance would not correct."),
        ("Volume bias (mL, %)", "Predicted minus reference volume. Positive: too large on average."),
        ("Pooled Dice (0 to 1)", "Dice over the voxels of all slices of all cases at once. Large cases weigh "
         "more; compare it only with numbers that are pooled too, such as those of the KAF paper."),
        ("Missed", "The reference has the structure, the prediction has nothing of it."),
        ("Spurious", "The prediction has the structure, the reference has nothing of it."),
    ]))


def _protocol(evaluation: Evaluation) -> Markup:
    settings = evaluation.settings
    undrawn = ("Treated as not contoured and left out." if settings.ignore_missing
               else "A prediction there is spurious: Dice 0, NSD 0.")
    return report.section("Protocol", report.definitions([
        ("Scoring", "On full volumes at the resolution of the reference, each case by itself, nothing "
         "resampled."),
        ("Matching", f"Files by name; both maps of a case share their grid within {GRID_TOLERANCE:g} mm."),
        ("Surfaces", "Voxels with a face neighbour outside the structure, each counted once; distances in "
         "mm between voxel centres. HD95 is the larger of both directions (MONAI's definitions)."),
        ("Spread", "sd is the sample standard deviation over cases. Scans of one patient are not "
         "independent, so it is not a confidence interval."),
        ("Structure missing in both", "Left out of every mean."),
        ("Structure missing in the reference", undrawn),
        ("Labels", ", ".join(f"{s.label.value} = {s.label.name}" for s in evaluation.labels)),
        ("Scans for the pictures", settings.images or NOTHING),
    ]))


def _mm(evaluation: Evaluation) -> str:
    return f"{evaluation.settings.tolerance:g} mm"


def _with_unit(text: str, unit: str) -> str:
    return text if text == NOTHING else f"{text} {unit}"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
