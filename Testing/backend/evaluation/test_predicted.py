"""Predicted against true quality in an evaluation: read from reports, counted, shown."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from evaluation_toys import Outline, settings, strict_json

from kaf.evaluation.predicted import agreement, auroc, predicted_beside
from kaf.quality.prediction import PredictedDice
from kaf.report.scatter import Dots, scatter_chart
from kaf.runtime.files import file_digest
from kaf.verbs.evaluate import evaluate


def foretell(path, label=1, dice=0.9, low=0.85, word="good", **more):
    entry = {"dice": dice, "low": low, "word": word, "raw": 0.95, "label": label}
    report = path.with_name(f"{path.name.removesuffix('.seg.nrrd')}-seg.json")
    report.write_text(json.dumps({"files": {path.name: file_digest(path)}, "outputs": {},
                                  "predicted_quality": {"structure": entry}, **more}))
    return report


def test_the_area_under_the_curve_counts_pairs():
    predicted, poor = np.array([0.5, 0.6, 0.7, 0.8]), np.array([True, False, True, False])
    assert auroc(predicted, poor) == 0.75
    assert auroc(np.ones(4), poor) == 0.5
    assert math.isnan(auroc(predicted, np.zeros(4, bool)))


def test_agreement_leaves_out_what_is_undefined():
    def one(dice, low):
        return PredictedDice(dice, low, "good", dice)

    found = agreement("x", [(one(0.9, 0.8), 0.85), (one(0.7, 0.6), 0.5), (one(0.8, None), 0.9), (one(None, None), 0.1),
                            (one(0.9, 0.8), math.nan)])
    assert (found.n, found.poor, found.bounded, found.auroc) == (3, 1, 2, 1.0)
    assert found.coverage == 0.5
    assert found.error == pytest.approx((0.05 + 0.2 + 0.1) / 3)


def test_an_evaluation_shows_what_was_predicted(folders):
    prediction = folders[0]
    foretell(prediction / "case2.seg.nrrd", dice=0.95, low=0.9)
    foretell(prediction / "case10.seg.nrrd", dice=0.7, low=0.75, word="doubtful")
    result = evaluate(settings(folders))
    assert {case.pair.name: case.predicted[1].dice for case in result.cases} == {"case2": 0.95, "case10": 0.7}
    rows = list(csv.DictReader((folders[2] / "evaluation.csv").open(newline="")))
    assert {(row["case"], row["predicted_dice"], row["predicted_word"]) for row in rows if row["label"] == "1"} == {
        ("case2", "0.95", "good"), ("case10", "0.7", "doubtful")}
    numbers = strict_json(folders[2] / "evaluation.json")
    (figures,) = numbers["predicted_quality"]
    assert (figures["n"], figures["poor"], figures["auroc"], figures["coverage"]) == (2, 1, 1.0, 0.5)
    page = (folders[2] / "report.html").read_text(encoding="utf-8")
    Outline(page)
    assert "Predicted quality" in page


def test_without_a_report_nothing_changes(folders):
    evaluate(settings(folders))
    head = (folders[2] / "evaluation.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.endswith("prediction,reference")
    assert "predicted_quality" not in strict_json(folders[2] / "evaluation.json")


def test_what_a_person_has_corrected_since_was_not_predicted(folders):
    path = folders[0] / "case2.seg.nrrd"
    foretell(path)
    assert predicted_beside(path)[1].dice == 0.9
    path.write_bytes(path.read_bytes() + b"\n")
    assert predicted_beside(path) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', '{"files": {}, "predicted_quality": 4}'])
def test_a_report_that_says_something_else_predicts_nothing(folders, text):
    path = folders[0] / "case2.seg.nrrd"
    foretell(path).write_text(text)
    assert predicted_beside(path) == {}
    report = foretell(path, dice=1e9)
    assert predicted_beside(path) == {}, report


def test_the_scatter_chart_puts_dots_where_the_values_are():
    chart = scatter_chart([Dots("LV", (1, 2, 3), [("a", 0.5, 0.5), ("b", 1.0, 0.75)])], "t", "r", "predicted", "true")
    outline = Outline(f"<div>{chart}</div>")
    xs = [float(value) for name, value in outline.attributes if name == "cx"]
    ys = [float(value) for name, value in outline.attributes if name == "cy"]
    assert xs == [46.0, 488.0]
    assert ys == [376.0, 193.0]
