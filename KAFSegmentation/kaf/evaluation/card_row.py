"""The row of a model card for a labelled set that the model was not trained on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from kaf.evaluation.results import CARD_ROW, Evaluation, plain_numbers
from kaf.imaging.file_names import result_name
from kaf.report.statistics import statistic
from kaf.runtime import json_files
from kaf.runtime.errors import InputError

__all__ = ["CARD_ROW", "card_row", "markdown_row"]


def card_row(evaluation: Evaluation) -> dict[str, Any]:
    """What goes under ``metrics`` of a card: "out-of-domain" -> the name of the set -> its figures.

    Dice is the mean over cases of the mean over structures, as on cards; model and digest of its weights come from the
    reports beside the segmentations, where there are any.

    Raises:
        InputError: the segmentations are of several models.
    """
    settings, spread = evaluation.settings, statistic(case.dice for case in evaluation.cases)
    figures = {
        "cases": len(evaluation.cases), "Dice": _rounded(spread.mean),
        "Dice per structure": {one.label.name: _rounded(one.statistics["dice"].mean) for one in evaluation.labels},
        "standard deviation over cases": _rounded(spread.sd), "pooled Dice": _rounded(evaluation.pooled_dice),
        "HD95 mm": _rounded(evaluation.mean("hd95")), "left out": len(evaluation.not_scored),
        "protocol": "kaf evaluate: Dice per volume on the grid of the reference, all slices"
                    + (", structures absent from a reference skipped" if settings.ignore_missing else ""),
        "made": f"KAF {evaluation.code_version}, {evaluation.created}", **_model(evaluation)}
    found: dict[str, Any] = plain_numbers({"out-of-domain": {settings.card_row: figures}})
    return found


def markdown_row(evaluation: Evaluation) -> str:
    """The same as a row of a table: name, cases, Dice, Dice of each structure, pooled Dice."""
    each = ", ".join(f"{one.label.name} {one.statistics['dice'].mean:.3f}" for one in evaluation.labels)
    name = evaluation.settings.card_row.replace("|", "/")
    mean = statistic(case.dice for case in evaluation.cases).mean
    return f"| {name} | {len(evaluation.cases)} | {mean:.3f} ({each}) | {evaluation.pooled_dice:.3f} |"


def _model(evaluation: Evaluation) -> dict[str, str]:
    models = set()
    for case in evaluation.cases:
        path: Path = case.pair.prediction
        report = path.with_name(f"{result_name(path)}-seg.json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            stated: Any = json_files.read(report)
            models.add((str(stated["model"]), str(stated["model_digest"])))
    if len(models) > 1:
        names = ", ".join(sorted(f"{name} ({digest[:8]})" for name, digest in models))
        raise InputError(evaluation.settings.prediction, f"holds segmentations of several models: {names}",
                         "A row of a card is about one model: keep the segmentations of one in the folder.")
    return {"model": min(models)[0], "digest": min(models)[1]} if models else {}


def _rounded(value: float) -> float:
    return round(value, 4)
