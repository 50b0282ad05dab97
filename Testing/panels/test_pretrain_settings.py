"""Settings, stories and lights of KAFPretrain: what becomes of what the panel says and of what a run tells."""

import json
import math
import shlex
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
from reworded import said

import host
from kaf.cli.compare import CompareCommand
from kaf.cli.finetune import FinetuneCommand
from kaf.cli.flags import parse
from kaf.cli.pretrain import PretrainCommand
from kaf.data.splits import Split
from kaf.runs import start as jobs
from kaf.runtime.errors import InputError
from kaf.runtime.events import Error, Message, Metric, Picture, Result, from_json
from kaf.runtime.message_codes import COLLAPSE, FORECAST, UNLABELLED
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings
from KAFPretrainLib import Curves, RunSummary
from KAFPretrainLib.data.Inspection import FoundCase, Inspection
from KAFPretrainLib.data.PatientSplit import checkSplit, drawSplit
from KAFPretrainLib.models.Weights import Weights, WeightsChoice
from KAFPretrainLib.runs.Monitors import BAD, GOOD, NONE, WARNING, lights
from KAFPretrainLib.runs.RunMessages import statusText
from KAFPretrainLib.runs.RunSettings import (
    command,
    compareValues,
    finetuneValues,
    needsFile,
    pretrainValues,
    settingsFile,
)

CHOICES = SimpleNamespace(
    preset="kaf-bim-compact", method="kaf+bim:0.5", pretrainMinutes=2.5, pretrainSeed=3, pretrainDevice="cpu",
    pretrainName="a b", fewShot=2, folds=1, finetuneMinutes=4, finetuneSeed=5, finetuneDevice="auto",
    finetuneName="heart")
CASES = tuple(FoundCase(f"p{n}", f"p{n}", f"p{n}.nii", f"p{n}_gt.nii" if n < 6 else None,
                        values={"1": 9} if n < 6 else None, modality="MR") for n in range(8))
FOLDER = Inspection("/data, here", "images", CASES, labelNames={"1": "left, cavity", "2": "never there"})
SPLIT = Split(("p0", "p1", "p2", "p6"), ("p3",), ("p4", "p5"))


def test_no_run_sees_who_is_tested_or_in_no_part():
    pre = pretrainValues(CHOICES, "/d", FOLDER, SPLIT, True)
    assert pre["leave_out"] == ["p4", "p5", "p7"]
    assert pre["labelled"] == "/d"
    fine = finetuneValues(CHOICES, "/d", FOLDER, SPLIT, "", {})
    assert (fine["leave_out"], fine["validation_cases"]) == (["p4", "p5"], ["p3"])
    assert fine["labels"] == {"1": "left, cavity"}


def test_the_copied_command_means_what_start_does():
    values = pretrainValues(CHOICES, "/data, here", FOLDER, SPLIT, True)
    line = shlex.split(command("pretrain", values, "/runs/x y", "/my python"))
    assert line[2:6] == ["/my python", "-m", "kaf", "pretrain"]
    spoken = parse(PretrainCommand, line[6:], "pretrain").only(PretrainSettings)
    assert spoken == PretrainSettings(**values, output="/runs/x y")


def test_the_copied_command_of_fine_tuning_means_what_start_does():
    values = finetuneValues(CHOICES, "/d", FOLDER, SPLIT, "/runs/p/model.safetensors",
                            {"description": "Hearts, of mice", "training_data": " ", "weights_licence": "CC0"})
    assert "training_data" not in values  # what nobody said is not invented
    line = shlex.split(command("finetune", values | {"labels": {"1": "cavity"}}, "/o", "python"))
    spoken = parse(FinetuneCommand, line[6:], "finetune").only(FinetuneSettings)
    assert spoken == FinetuneSettings(**values | {"labels": {"1": "cavity"}}, output="/o")
    assert needsFile(values)  # a name with a comma in it says a file better
    assert not needsFile(values | {"labels": {"1": "cavity"}})


def test_saved_settings_are_read_by_the_command_line(tmp_path):
    path = tmp_path / "s.json"
    choices = SimpleNamespace(**{**vars(CHOICES), "folds": 3})
    values = compareValues(choices, "/d", FOLDER, "", {"method": "kaf", "minutes": 2})
    path.write_text(settingsFile(values, "/o"), encoding="utf-8")
    spoken = parse(CompareCommand, ["/d", "--settings", str(path)], "compare")
    assert spoken.methods == ("scratch", "kaf")
    assert (spoken.few_shot, spoken.folds, spoken.run_folds) == ((2,), 3, (0, 1, 2))
    assert spoken.pretrain == {"minutes": 2}


def test_a_patient_in_two_parts_is_refused():
    with pytest.raises(InputError, match=said("p4 is in train and in test")):
        checkSplit(Split(("p4",), (), ("p4",)), ["p4"], "split.json")
    with pytest.raises(InputError, match=said("none of the patients")):
        checkSplit(Split(("x",)), ["p1"], "split.json")


def test_a_drawn_split_puts_everybody_in_one_part():
    split = drawSplit(FOLDER.patients, FOLDER.labelledPatients, 0.2, 0.2, 0)
    everybody = [*split.train, *split.validation, *split.test]
    assert sorted(everybody) == FOLDER.patients
    assert {"p6", "p7"} <= set(split.train)
    assert len(split.test) == len(split.validation) == 1
    assert split == drawSplit(list(reversed(FOLDER.patients)), FOLDER.labelledPatients, 0.2, 0.2, 0)


def summary(*events):
    reported = RunSummary()
    for event in events:
        reported.take(event)
    return reported


def levels(reported, verb="pretrain"):
    return {light.name: light.level for light in lights(reported, verb)}


def losses(values, **more):
    return [Metric(10 * n, {"loss": value, **more}) for n, value in enumerate(values, start=1)]


def test_lights_of_a_run_that_goes_well():
    reported = summary(*losses([3 - 0.1 * n for n in range(12)], spread=0.8, **{"effective rank": 6.0}))
    assert levels(reported) == {"Loss": GOOD, "Collapse": GOOD}
    assert "falling" in lights(reported, "pretrain")[0].text


def test_lights_before_anything_is_known():
    assert levels(summary()) == {"Loss": NONE, "Collapse": NONE}


def test_a_collapse_is_red_and_says_what_to_do_until_it_is_over():
    alarm = Message("All slices get nearly the same embedding. Lower the learning rate.", "warning", COLLAPSE)
    reported = summary(*losses([1.0] * 9, spread=0.01), alarm)
    assert levels(reported)["Collapse"] == BAD
    assert said("Lower the learning rate") in next(
        light.text for light in lights(reported, "pretrain") if light.level == BAD)
    assert "Warnings" not in levels(reported)
    for event in losses([1.0] * 9, spread=0.7):
        reported.take(event)
    assert levels(reported)["Collapse"] == WARNING
    reported.take(Message("All pixels get the same clusters.", "warning", COLLAPSE, {"clusters": True}))
    assert levels(reported)["Collapse"] == BAD, "which the embeddings do not show"


def test_what_a_run_of_an_older_version_reported_is_shown_and_nothing_is_read_into_it():
    job = SimpleNamespace(note="", error="", error_kind="", can_resume=True, verb="pretrain", is_foreign=True,
                          has_checkpoint=True, learning_rate=0.1)
    lines = [{"event": "message", "text": "12 patients, 12 scans, 96 slices; method kaf", "level": "info"},
             {"event": "message", "text": "Collapse: few clusters are used.", "level": "warning"},
             {"event": "error", "text": "training step 3: the loss was not a number. Lower the learning rate.",
              "kind": "ResourceError", "detail": ""}]
    reported = summary(*(from_json(json.dumps(line)) for line in lines))
    warnings = [light.text for light in lights(reported, "pretrain") if light.name == "Warnings"]
    assert warnings == [said(lines[1]["text"])]
    words = statusText(job, jobs.FAILED, reported)
    assert said("training step 3: the loss was not a number. Lower the learning rate.") in words
    assert "0.01" not in words
    diverged = Error("training step 3", "went astray", "Try again.", "DivergedError")
    assert "0.01" in statusText(job, jobs.FAILED, summary(diverged))
    assert levels(summary(diverged))["Loss"] == BAD


@pytest.mark.parametrize(("found", "level"), [(0.0, WARNING), (0.04, WARNING), (0.4, GOOD)])
def test_matches_that_are_not_found_are_no_green_light(found, level):
    figures = {"spread": 0.7, "kaf: inliers": found, "kaf: inliers by chance": 0.02}
    early, late = (summary(*losses([1.0] * count, **figures)) for count in (1, 9))
    assert levels(late)["Matching"] == level
    assert levels(early)["Matching"] == (level if level == GOOD else NONE)
    text = next(light.text for light in lights(late, "pretrain") if light.name == "Matching")
    assert f"{100 * found:.0f} %" in text
    assert "2 %" in text


def test_the_forecast_stands_beside_what_the_run_took():
    job = SimpleNamespace(note="", error="", error_kind="", can_resume=False, verb="pretrain", is_foreign=False,
                          has_checkpoint=True, learning_rate=0.1, model=None)
    first, second = (Message(text, code=FORECAST) for text in ("Forecast: 797 steps.", "Forecast: 260 steps."))
    steps = Metric(250, {"loss": 1.0, "seconds per step": 0.48})
    running = statusText(job, jobs.RUNNING, summary(first, second, steps))
    assert "260" in running
    assert "797" not in running
    assert "It took" not in running
    assert "It took 250 steps of 0.48 s, 2.0 min in all." in statusText(
        job, jobs.FINISHED, summary(first, second, steps, Result({"model": "m.safetensors"})))


def test_slices_that_are_alike_are_no_alarm_at_the_very_start_and_missing_labels_are_none_in_pretraining():
    reported = summary(*losses([1.0] * 3, spread=0.05), Message("4 scans have no label map", "warning", UNLABELLED))
    assert levels(reported) == {"Loss": NONE, "Collapse": NONE}
    assert levels(reported, "finetune")["Warnings"] == WARNING
    for event in losses([1.0] * 9, spread=0.15):
        reported.take(event)
    assert levels(reported)["Collapse"] == WARNING


def test_lights_of_numbers_that_are_none_and_of_waiting():
    reported = summary(*losses([1.0, math.nan], **{"share waiting for data": 0.5, "seconds per step": 2.0}))
    assert levels(reported)["Loss"] == BAD
    assert levels(reported)["Speed"] == WARNING


def scored(dice, **verdict):
    """A fine-tuning of one step that has ended, with its validation and what its check found."""
    figures = {"validation Dice": dice, "validation Dice 1": dice}
    return summary(Metric(1, figures), Result({"steps": 1, "verdict": {"patients": 1, "dice": dice, **verdict}}))


@pytest.mark.parametrize(("dice", "verdict", "dot", "words"), [
    (0.07, {"code": "short", "epochs": 0.3}, WARNING, "Not shown to be useful: it was trained for 0.3 epochs"),
    (0.8, {"code": "untested", "structures": ["aorta"]}, WARNING, "useful: no validation patient has aorta"),
    (0.07, {"code": "missed", "structures": ["aorta"], "epochs": 9}, BAD,
     "it found almost nothing of aorta in 1 validation"),
    (0.3, {"code": "no better", "constant": 0.31}, BAD, "0.310 with the same answer for every scan"),
    (0.8, {"code": "passed"}, GOOD, "Passed its check: its mean Dice on 1 validation patient is 0.800"),
    (0.8, {"code": "from another planet"}, WARNING, "not known to this version"),
])
def test_a_model_that_does_not_beat_a_constant_prediction_gets_no_green_light(dice, verdict, dot, words):
    reported = scored(dice, **verdict)
    found = {light.name: light for light in lights(reported, "finetune")}
    assert found["Model"].level == dot
    assert words in found["Model"].text
    assert (found["Dice"].level == GOOD) == (dice > 0.1)
    if dice < 0.1:
        assert not any(light.level == GOOD for light in found.values())
    job = SimpleNamespace(verb="finetune", model="m", note="", is_foreign=False)
    status = statusText(job, jobs.FINISHED, reported)
    assert "Finished after one step. " in status
    assert ("was not added to the library automatically" in status) == (verdict["code"] != "passed")


def test_nothing_is_said_of_a_run_that_did_not_check_its_model():
    assert "Model" not in levels(summary(Result({"steps": 9})), "finetune")
    assert "Model" not in levels(summary(), "finetune")


@pytest.mark.parametrize(("found", "level"), [(0.61, GOOD), (0.5, WARNING)])
def test_the_probe_tells_whether_it_helps(found, level):
    reported = summary(Metric(10, {"validation probe Dice": found, "validation untrained Dice": 0.55}))
    assert levels(reported)["Probe"] == level


def test_pictures_of_a_run_are_kept_in_order_and_once():
    reported = summary(Picture("Clusters", "a.png"), Picture("Clusters", "b.png"), Picture("Clusters", "a.png"))
    assert reported.pictures == {said("Clusters"): ["a.png", "b.png"]}


def test_curves_are_appended_to_and_go_back_where_a_run_does():
    host.close_scene()
    curves = Curves("run")
    for step in (10, 20, 30):
        curves.add(step, {"loss": step, "kaf: local": 1.0})
    curves.flush()
    chart = curves.chart("loss")
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    names = [table.GetID(), chart.GetID()]
    curves.add(20, {"loss": 5.0, "spread": 0.5})
    curves.flush()
    column = table.GetTable().GetColumnByName("loss")
    assert [column.GetValue(n) for n in range(column.GetNumberOfTuples())] == [10, 5]
    assert [curves.chart("loss").GetNthPlotSeriesNode(0).GetTableNode().GetID(), curves.chart("loss").GetID()] == names
    assert curves.groups() == ["loss", "terms"]  # one point of spread is no line yet
    curves.remove()
    assert table.GetScene() is None


def test_the_newest_weights_are_chosen_until_a_person_chooses():
    old, new = (Weights(name, f"{name}.safetensors", SimpleNamespace(labels=())) for name in ("old", "new"))
    combo = qt.QComboBox()
    choice = WeightsChoice(combo)
    choice.offer([old])
    choice.offer([new, old])
    assert choice.chosen is new
    combo.setCurrentIndex(1)
    choice.offer([new, new, old])
    assert choice.chosen is old
    choice.offer([new])
    assert choice.chosen is new
