"""The page of a run: what a person sees of a training that is over, goes on, or was interrupted."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from finetune_toys import small_run
from pretrain_toys import small_pretraining
from small_models import write_phantoms

from kaf.cli import entry
from kaf.evaluation.run_page import read_run, run_page
from kaf.report.line_chart import Line, line_chart
from kaf.runs.layout import TRAINING
from kaf.runtime.events import Error, Metric, Result, from_json, to_json
from kaf.training import loop
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short fine-tuning of three phantoms, one of which validates, and its result."""
    folder = tmp_path_factory.mktemp("page")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_REPORT_EVERY", 1)
        finetune(small_run(folder, folder / "scans", steps=4, epochs=None, validation_cases=("carl",),
                           name="tiny <heart>"), heard.append)
    return folder / "run", heard[-1]


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run[0], tmp_path / "copy")


def test_a_finished_run_leaves_its_page(run):
    folder, result = run
    assert isinstance(result, Result)
    assert result.values["report"] == str(folder / "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "tiny &lt;heart&gt;" in page
    assert "tiny <heart>" not in page
    assert page.count("<polyline") >= 2, "loss, and validation Dice"
    assert "Validation cases" in page
    assert "Worst cases" in page
    assert "data:image/png;base64," in page
    assert "The quality check was not passed." in page
    assert "This run is not finished." not in page
    assert TRAINING.strangers(folder) == []


def test_the_validation_file_names_cases_and_structures(run):
    values = json.loads((run[0] / "validation.json").read_text())
    (case,) = values["cases"]
    assert case["case"] == "carl"
    assert set(case["dice"]) <= set(values["structures"])
    assert case["mean"] == pytest.approx(np.mean(list(case["dice"].values())), abs=1e-4)
    assert (run[0] / case["picture"]).read_bytes().startswith(b"\x89PNG")


def test_pretraining_leaves_a_page_too(run, tmp_path):
    pretrain(small_pretraining(tmp_path, run[0].parent / "scans", "mae", method="mae", steps=2, epochs=None))
    page = (tmp_path / "mae" / "report.html").read_text(encoding="utf-8")
    assert "Pretraining" in page
    assert "method: mae" in page
    assert TRAINING.strangers(tmp_path / "mae") == []


def test_a_run_that_goes_on_or_failed_says_so(copy):
    whole = read_run(copy)
    going = replace(whole, events=whole.events[:-1], card=None, validation={})
    assert "This run is not finished." in run_page(going)
    failed = replace(going, events=(*going.events, Error("the disk", "is full", "Make room.")))
    assert "the disk: is full. Make room." in run_page(failed)


def test_steps_that_were_repeated_after_a_checkpoint_count_once(copy):
    with (copy / "events.jsonl").open("a") as file:
        file.write(to_json(Metric(2, {"loss": 77.0})) + "\n")
    found = {metric.step: metric.values["loss"] for metric in read_run(copy).metrics()}
    assert sorted(found) == [1, 2, 3, 4]
    assert found[2] == 77.0


def test_a_damaged_file_costs_its_section_only(copy):
    (copy / "validation.json").write_text("{")
    (copy / "model.safetensors").write_bytes(b"")
    page = run_page(read_run(copy))
    assert "Validation cases" not in page
    assert "<polyline" in page


def test_the_command_writes_the_page(copy, tmp_path, capsys):
    assert entry.main(["report", str(copy), "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    capsys.readouterr()
    assert entry.main(["report", str(copy), "--events"]) == 0
    assert from_json(capsys.readouterr().out.splitlines()[-1]).values == {"report": str(copy / "report.html")}


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert entry.main(["report", str(tmp_path)]) == 1
    assert "contains no run of pretraining or fine-tuning" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_line_of_many_points_is_averaged_and_keeps_to_its_axis():
    steps = np.arange(1000)
    chart = str(line_chart([Line("loss", (0, 0, 0), [*zip(steps, np.ones(1000), strict=True), (1000, float("nan"))])],
                           "Loss", "", limits=(0.0, 1.0)))
    points = [tuple(map(float, pair.split(","))) for pair in chart.split('points="')[1].split('"')[0].split()]
    assert len(points) == 160
    assert {y for _, y in points} == {10.0}, "the upper end"
    assert points == sorted(points)
