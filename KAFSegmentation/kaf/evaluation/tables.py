"""An evaluation as a table and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kaf.evaluation.metrics import LabelMetrics
from kaf.evaluation.predicted import agreements
from kaf.evaluation.results import Evaluation, plain_numbers
from kaf.runtime.plain_text import csv_table

MEASURES = ("dice", "hd95", "assd", "nsd", "difference_ml", "relative_difference")
"""Fields of :class:`LabelMetrics` whose distributions over cases are reported."""

_PREDICTED = ("predicted_dice", "predicted_low", "predicted_word")


def to_csv(evaluation: Evaluation) -> str:
    """One row per case and label; an undefined number is an empty cell.  The columns of predicted quality are there
    where any case has one."""
    units = {"hd95": "hd95_mm", "assd": "assd_mm"}
    fields = list(LabelMetrics.__dataclass_fields__)
    foretold = any(case.predicted for case in evaluation.cases)
    rows: list[Sequence[object]] = [("case", "name", *(units.get(field, field) for field in fields), "prediction",
                                     "reference", *(_PREDICTED if foretold else ()))]
    for case in evaluation.cases:
        for metrics, summary in zip(case.metrics, evaluation.labels, strict=True):
            values = [plain_numbers(value) for value in asdict(metrics).values()]
            one = case.predicted.get(summary.label.value)
            more = (one.dice, one.low, one.word) if one else ("", "", "")
            rows.append((case.pair.name, summary.label.name, *values, case.pair.prediction, case.pair.reference,
                         *(more if foretold else ())))
    return csv_table(rows)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything, JSON-ready; an undefined number is null."""
    return plain_numbers({
        "kaf_version": evaluation.code_version,
        "created": evaluation.created,
        "settings": evaluation.settings.model_dump(),
        "mean_over_labels": {name: evaluation.mean(name) for name in MEASURES}
        | {"pooled_dice": evaluation.pooled_dice},
        "labels": [asdict(summary) for summary in evaluation.labels],
        **({"predicted_quality": [asdict(one) for one in agreements(evaluation)]}
           if any(case.predicted for case in evaluation.cases) else {}),
        "cases": [
            {"case": case.pair.name, "dice": case.dice, "prediction": str(case.pair.prediction),
             "reference": str(case.pair.reference), "labels": [asdict(metrics) for metrics in case.metrics],
             **({"predicted": {str(label): asdict(one) for label, one in case.predicted.items()}}
                if case.predicted else {})}
            for case in evaluation.cases
        ],
        "not_scored": list(evaluation.not_scored),
        "remarks": list(evaluation.remarks),
    })
