"""The gate before the library: a fine-tuned model enters it unasked only where it beats doing nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from finetune_toys import small_run
from made_models import command_line, private_home, tiny_model
from small_models import write_phantoms

from kaf.data.cache import CachedCase
from kaf.modelfile.card import read_card
from kaf.modelfile.library import add_model, adopt_model, free_model_name, list_models
from kaf.modelfile.verdict import Verdict, judge, verdict_from, verdict_on
from kaf.runtime.errors import ModelError, UnprovenModelError
from kaf.runtime.events import Result
from kaf.training.constant_guess import constant_dice
from kaf.verbs.finetune import finetune

NAMES = {1: "RV cavity", 2: "myocardium", 3: "LV cavity"}
GOOD = {"Dice": 0.8, "Dice 1": 0.7, "Dice 2": 0.8, "Dice 3": 0.9}


@pytest.mark.parametrize(("changes", "code", "words"), [
    ({}, "passed", "its mean Dice on 2 validation patients is 0.800"),
    ({"epochs": 1.0}, "short", "it was trained for 1 epochs, and more than one is needed"),
    ({"epochs": 0.01, "patients": 0, "figures": {}}, "short", "it was trained for 0.01 epochs"),
    ({"patients": 0, "tested": (), "figures": {}}, "untested", "no validation patient"),
    ({"tested": (0, 1, 3)}, "untested", "no validation patient has myocardium"),
    ({"figures": {**GOOD, "Dice 2": 0.05, "Dice 3": 0.09}}, "missed",
     "it found almost nothing of myocardium, LV cavity in 2 validation patients (Dice below 0.1)"),
    ({"figures": {"Dice": 0.8, "Dice 1": 0.8, "Dice 2": 0.8}}, "missed", "it found almost nothing of LV cavity in"),
    ({"figures": {**GOOD, "Dice": math.nan}}, "untested", "no validation patient was scored"),
    ({"constant": 0.79}, "no better", "is 0.800, and 0.790 with the same answer for every scan"),
    ({"constant": 0.77}, "passed", "0.800"),
    ({"before": 0.8}, "no better", "is 0.800, and 0.800 before the training"),
    ({"before": 0.79}, "passed", "0.800"),
])
def test_the_verdict(changes, code, words):
    given = {"epochs": 5.0, "patients": 2, "names": NAMES, "tested": (0, 1, 2, 3), "figures": GOOD,
             "constant": 0.3, **changes}
    verdict = judge(**given)
    assert (verdict.code, verdict.passed) == (code, code == "passed")
    assert words in verdict.reason()
    assert verdict_from(json.loads(json.dumps(verdict.to_dict()))).to_dict() == verdict.to_dict()


@pytest.mark.parametrize("values", [{}, {"code": 7}, {"code": "excellent"}, {"code": None, "structures": "x"},
                                    {"code": "no better", "dice": "high", "patients": math.inf, "structures": ["a"]}])
def test_what_somebody_else_wrote_on_a_card_is_never_taken_for_passed(values):
    verdict = verdict_from(values)
    assert not verdict.passed
    assert isinstance(verdict.reason(), str)


def case(labels: np.ndarray) -> CachedCase:
    return CachedCase("c", "c", np.zeros(labels.shape, np.float32), labels.astype(np.uint8), [], (8.0, 1.0, 1.0))


def box(shape, rows, columns, value=1):
    labels = np.zeros(shape, np.uint8)
    labels[:, rows, columns] = value
    return labels


def test_the_same_answer_for_every_scan_in_numbers():
    """Two of three training scans have rows 2 to 5, so that this is the answer, whatever the number of slices."""
    shape = (6, 12, 12)
    training = [case(box(shape, slice(2, 6), slice(2, 8))), case(box((3, 12, 12), slice(2, 6), slice(2, 8))),
                case(box(shape, slice(6, 9), slice(2, 8)))]
    same, shifted, away = (case(box((5, 12, 12), slice(n, n + 4), slice(2, 8))) for n in (2, 4, 6))
    assert constant_dice(training, [same], (1,)) == 1
    assert constant_dice(training, [shifted], (1,)) == pytest.approx(0.5)
    assert constant_dice(training, [same, shifted, away], (1,)) == pytest.approx(0.5)


def test_scans_are_laid_on_each_other_by_the_middle_of_their_slices():
    large = np.zeros((4, 20, 16), np.uint8)
    large[:, 8:12, 6:10] = 2
    small = large[:, 4:16, 2:14]
    assert constant_dice([case(large)], [case(small)], (2,)) == 1
    assert constant_dice([case(small)], [case(large)], (2,)) == 1
    assert constant_dice([case(np.repeat(large, 40, axis=1).repeat(40, axis=2))],
                         [case(np.repeat(large, 40, axis=1).repeat(40, axis=2))], (2,)) == pytest.approx(1, abs=0.02)


def test_slices_are_laid_on_each_other_from_first_to_last():
    first = np.zeros((8, 6, 6), np.uint8)
    first[:4] = 1
    assert constant_dice([case(first)], [case(first)], (1,)) == 1
    assert constant_dice([case(first)], [case(first[::2])], (1,)) == 1
    assert constant_dice([case(first)], [case(first[::-1])], (1,)) == 0


def test_where_there_is_nothing_to_compare_it_is_not_known():
    there = case(box((3, 8, 8), slice(2, 4), slice(2, 4)))
    assert math.isnan(constant_dice([], [there], (1,)))
    assert math.isnan(constant_dice([there], [], (1,)))
    empty = case(np.zeros((3, 8, 8)))
    assert math.isnan(constant_dice([empty], [empty], (1,)))
    assert constant_dice([there], [empty], (1,)) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


def tuned(folder, tmp_path, **values):
    reported = []
    path = finetune(small_run(tmp_path, folder / "scans", validation_cases=("carl",), **values), reported.append)
    (result,) = [event.values for event in reported if isinstance(event, Result)]
    return path, result["verdict"]


def test_a_run_of_one_step_does_not_pass(folder, tmp_path):
    path, verdict = tuned(folder, tmp_path, epochs=None, steps=1)
    assert (verdict["code"], verdict["patients"]) == ("short", 1)
    assert verdict["epochs"] == pytest.approx(2 / 6, abs=1e-3)
    assert verdict_on(read_card(path)) == verdict_from(verdict)


def test_a_run_that_learned_little_does_not_pass(folder, tmp_path):
    _, verdict = tuned(folder, tmp_path, epochs=2, learning_rate=1e-6)
    assert verdict["code"] in ("missed", "no better")
    assert 0.2 < verdict["constant"] < 1
    assert "before" not in verdict


def test_without_validation_nobody_knows(folder, tmp_path):
    reported = []
    finetune(small_run(tmp_path, folder / "scans", epochs=2), reported.append)
    assert reported[-1].values["verdict"]["code"] == "untested"


def test_a_model_that_found_what_there_is_passes_and_going_on_with_it_must_gain(folder, tmp_path, monkeypatch):
    """What it finds is reported here, not learned: the run itself takes a moment only."""
    scores = iter([])
    figures = {"Dice 1": 0.9, "Dice 2": 0.9, "Dice 3": 0.9}
    monkeypatch.setattr("kaf.training.task.mean_scores", lambda *_: {"Dice": next(scores), **figures})
    scores = iter([0.9] * 9)
    first, verdict = tuned(folder, tmp_path, output="first")
    assert verdict["code"] == "passed"
    assert verdict_from(verdict).reason() == "its mean Dice on 1 validation patient is 0.900"
    for after, code in ((0.95, "passed"), (0.85, "no better")):
        scores = iter([0.9, *[after] * 9])
        more = {"init_from": str(first), "network": None, "output": f"more {after}"}
        _, verdict = tuned(folder, tmp_path, **more)
        assert (verdict["code"], verdict["before"], verdict["dice"]) == (code, 0.9, after)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Makes model files that say what they have shown, beside an empty library."""
    private_home(monkeypatch, tmp_path / "home")

    def make(name, verdict=None):
        metrics = {} if verdict is None else {"verdict": verdict.to_dict()}
        return tiny_model(tmp_path / f"{name}.safetensors", name=name, metrics=metrics)

    return make


POOR = Verdict("no better", 3.0, 2, 0.07, 0.31)


def test_the_library_takes_a_poor_model_only_from_a_person_who_says_yes(judged):
    poor, good, other = judged("poor", POOR), judged("good", replace(POOR, code="passed", dice=0.8)), judged("other")
    for add in (lambda path, **more: add_model(str(path), **more), adopt_model):
        with pytest.raises(UnprovenModelError) as caught:
            add(poor)
        assert isinstance(caught.value, ModelError)
        assert str(caught.value) == (
            "model 'poor': was not shown to be worth more than nothing: its mean Dice on 2 validation patients is "
            "0.070, and 0.310 with the same answer for every scan. Train it longer or on more cases, with validation "
            "cases; or add it all the same with --accept.")
        assert "poor" not in [entry.name for entry in list_models()]
    add_model(str(good))
    adopt_model(other)
    add_model(str(poor), accept=True)
    assert {"good", "other", "poor"} <= {entry.name for entry in list_models()}
    assert free_model_name("poor") == "poor-2"
    assert free_model_name("new") == "new"


def test_on_the_command_line(judged, capsys, monkeypatch, tmp_path):
    poor = judged("poor", POOR)
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    refused = kaf("models", "add", poor)
    assert refused.code == 1
    assert "or add it all the same with --accept." in refused.err
    assert kaf("models", "add", poor, "--accept").code == 0
    assert "poor" in kaf("models", "list").out
    assert "no better" in kaf("models", "show", "poor").out


def test_kaf_finetune_says_what_it_is_worth(folder, capsys, monkeypatch, tmp_path):
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    done = kaf("finetune", folder / "scans", "--output", "run", "--steps", "1", "--network.fusion", "none",
               "--network.width", "4", "--patch", "32", "--batch", "2", "--device", "cpu", "--threads", "1",
               "--cache", "cache", "--name", "poor")
    assert done.code == 0, done.err
    assert "quality check: not passed (it was trained for 0.22 epochs" in done.out
    assert "keep it in your library: kaf models add run/model.safetensors --accept\n" in done.out
