"""Predicted quality in what a segmentation leaves: report, warnings, files beside models, the table of a folder."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from made_models import HERE, RUN, tiny_model
from small_models import write_phantoms

from kaf.cli.entry import main
from kaf.cohort.worst_first import OVERVIEW
from kaf.imaging.volume import Volume
from kaf.modelfile.card import read_card
from kaf.modelfile.library import export_model, find_model
from kaf.modelfile.model import load_model
from kaf.quality.store import beside, quality_of, users_file, write_quality
from kaf.runtime.errors import ModelError
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment

LINE = {"label": 1, "intercept": 0.5, "slope": 0.5, "margin": 0.05, "level": 0.9, "cases": 9, "patients": 9,
        "lowest": 0.1, "highest": 0.99}
QUALITY = {"source": "9 made-up cases", "lines": [LINE, {**LINE, "label": 2, "intercept": 0.0}],
           "usual_distance": 1.0}


def test_an_old_model_tells_the_raw_value_and_says_that_it_is_uncalibrated(model, scan):
    assert "quality" not in json.loads(read_card(model).to_json())
    result = segment(scan, SegmentSettings(model=str(model), **RUN))
    told = result.quality.to_dict()
    assert {one["word"] for one in told["predicted_quality"].values()} <= {"uncalibrated", "not found"}
    assert "uncalibrated" in told["calibration"]["text"]
    assert not any("Doubtful" in text for text in result.warnings)
    assert len(told["predicted_quality_per_slice"]) <= scan.shape[0]
    for value, raw in enumerate(result.expected.by_class()[1:], 1):
        if (result.labels.voxels == value).any():
            assert 0 < raw <= 1
            assert told["predicted_quality"][result.card.label_names[value]]["label"] == value
        else:
            assert math.isnan(raw)


def test_a_card_with_lines_travels_in_the_model_file_and_names_doubtful_structures(tmp_path, scan):
    path = tiny_model(tmp_path / "m.safetensors", quality=QUALITY)
    _, card = load_model(path)
    assert card.quality["lines"] == QUALITY["lines"]
    heard: list = []
    result = segment(scan, SegmentSettings(model=str(path), **RUN), heard.append)
    first, second, third = result.quality.structures.values()
    assert first.dice == pytest.approx(0.5 + 0.5 * first.raw)
    assert second.word == "doubtful"
    assert third.word in ("uncalibrated", "not found")
    assert any("myocardium" in text for text in result.warnings)
    (message,) = [event for event in heard if getattr(event, "code", "") == "doubtful structures"]
    assert "myocardium" in message.data["structures"]


def test_slices_are_told_as_the_scan_is_stored(model, scan):
    flipped = Volume(scan.voxels[::-1].copy(), scan.affine @ np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, scan.shape[0] - 1], [0, 0, 0, 1.0]]), "flipped")
    settings = SegmentSettings(model=str(model), **RUN)
    one, other = (dict(segment(volume, settings).quality.slices) for volume in (scan, flipped))
    assert one.keys() == {scan.shape[0] - 1 - index for index in other}
    for index, values in one.items():
        assert other[scan.shape[0] - 1 - index] == pytest.approx(values)


def test_the_users_calibration_wins_over_the_file_beside_the_model_and_that_over_the_card(tmp_path, scan):
    path = tiny_model(tmp_path / "m.safetensors", quality=QUALITY)
    card = read_card(path)
    settings = SegmentSettings(model=str(path), **RUN)

    def source() -> str:
        return segment(scan, settings).quality.source

    assert source() == "9 made-up cases"
    write_quality(beside(path), card, {**QUALITY, "source": "beside"})
    assert source() == "beside"
    write_quality(users_file(card), card, {**QUALITY, "source": "the user's"})
    try:
        assert source() == "the user's"
        users_file(card).write_text("{")
        with pytest.raises(ModelError, match="kaf models calibrate"):
            source()
    finally:
        users_file(card).unlink()
    values = json.loads(beside(path).read_text())
    beside(path).write_text(json.dumps({**values, "digest": "0" * 64}))
    assert source() == "9 made-up cases", "a file for other weights is none"


def test_a_folder_of_results_has_a_table_with_the_worst_on_top(tmp_path, capsys):
    data, output = write_phantoms(tmp_path / "data", ("p1", "p2", "p3")), tmp_path / "done"
    path = tiny_model(tmp_path / "m.safetensors", quality=QUALITY)
    command = ["segment", str(data), "--model", str(path), "--output", str(output), *HERE]
    assert main(command) == 0
    assert "look first at" in capsys.readouterr().out
    rows = list(csv.DictReader((output / OVERVIEW).open(newline="")))
    assert len(rows) == 9
    assert {row["structure"] for row in rows} == {"RV cavity", "myocardium", "LV cavity"}
    cases = list(dict.fromkeys(row["case"] for row in rows))
    lowest = [min(float(row["predicted_dice"] or 0) for row in rows if row["case"] == case) for case in cases]
    assert lowest == sorted(lowest)
    report = json.loads((output / f"{cases[0]}-seg.json").read_text())
    first = next(row for row in rows if row["structure"] == "RV cavity")
    assert float(first["predicted_dice"]) == report["predicted_quality"]["RV cavity"]["dice"]
    (output / OVERVIEW).write_text("mine\n")
    assert main([*command, "--overwrite"]) == 1
    assert "was not written by KAF" in capsys.readouterr().err


def test_the_models_that_come_with_kaf_are_calibrated_and_so_is_a_copy_of_one(tmp_path):
    for name, structures in (("cardiac-mr-sax", {3}), ("hippocampus-mr", {1, 2})):
        copy = export_model(name, tmp_path / f"copy-of-{name}.safetensors")
        quality = quality_of(copy, read_card(copy))
        assert quality == quality_of(find_model(name), read_card(copy))
        assert {line["label"] for line in quality["lines"]} == structures
        assert all(line["margin"] for line in quality["lines"])
        assert quality["training"]["scans"] == 40
