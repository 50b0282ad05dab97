"""Splits by patient: nobody on two sides, the same draw everywhere, files that survive."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kaf.data.splits import Split, check_no_leak, few_shot, holdout, k_folds
from kaf.runtime.errors import InputError, OutputError

PATIENTS = [f"patient{number:03d}" for number in range(1, 24)]
BACKEND = Path(__file__).resolve().parents[3] / "KAFSegmentation"


@pytest.mark.parametrize("seed", range(25))
def test_nobody_is_in_two_parts(seed):
    for k in (2, 5, len(PATIENTS)):
        folds = k_folds(PATIENTS, k, seed)
        assert len(folds) == k
        for train, test in folds:
            assert not set(train) & set(test)
            assert sorted(train + test) == PATIENTS
        assert sorted(patient for _, test in folds for patient in test) == PATIENTS, "each is tested once"
        sizes = [len(test) for _, test in folds]
        assert max(sizes) - min(sizes) <= 1
    for share in (0.01, 0.2, 0.5, 0.9):
        kept, held_out = holdout(PATIENTS, share, seed)
        assert sorted(kept + held_out) == PATIENTS
        assert len(held_out) == max(1, round(share * len(PATIENTS)))


@pytest.mark.parametrize("seed", range(25))
def test_few_shot_draws_are_nested(seed):
    whole = few_shot(PATIENTS, len(PATIENTS), seed)
    assert sorted(whole) == PATIENTS
    for m in (1, 2, 6, 15):
        assert few_shot(PATIENTS, m, seed) == whole[:m]


def test_draws_are_fair():
    """Over many seeds every patient comes first about equally often: 2300 draws, 100 each, deviation 10."""
    firsts = [few_shot(PATIENTS, 1, seed)[0] for seed in range(2300)]
    counts = [firsts.count(patient) for patient in PATIENTS]
    assert min(counts) > 60
    assert max(counts) < 140


def test_the_draw_does_not_depend_on_order_or_repeats():
    shuffled = PATIENTS * 2
    random.Random(3).shuffle(shuffled)
    assert few_shot(shuffled, 6, 5) == few_shot(PATIENTS, 6, 5)
    assert k_folds(shuffled, 5, 5) == k_folds(PATIENTS, 5, 5)
    assert holdout(iter(shuffled), 0.2, 5) == holdout(PATIENTS, 0.2, 5)
    assert few_shot(PATIENTS, 6, 5) != few_shot(PATIENTS, 6, 6)


def test_the_draw_is_the_documented_one():
    """One promised random number per patient in sorted order; the smallest numbers come first."""
    source = random.Random(1234)
    numbers = {patient: source.random() for patient in PATIENTS}
    assert few_shot(PATIENTS, 6, 1234) == sorted(PATIENTS, key=numbers.__getitem__)[:6]
    assert few_shot("abcdefgh", 8, 7) == list("gdbafhec")


def test_the_draw_is_the_same_in_another_process():
    code = f"from kaf.data.splits import few_shot; print(few_shot({PATIENTS!r}, 6, 11))"
    for hash_seed in ("0", "1"):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                             env={**os.environ, "PYTHONPATH": str(BACKEND), "PYTHONHASHSEED": hash_seed})
        assert run.stdout.strip() == repr(few_shot(PATIENTS, 6, 11))


def test_nothing_here_needs_torch():
    code = "import sys, kaf.data.splits, kaf.data.inspect; print(sorted({'torch', 'monai'} & {*sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env={**os.environ, "PYTHONPATH": str(BACKEND)})
    assert run.stdout.strip() == "[]"


def test_a_share_of_nothing_holds_nobody_out():
    assert holdout(PATIENTS, 0, 3) == (PATIENTS, [])


@pytest.mark.parametrize(("call", "words"), [
    (lambda: few_shot(PATIENTS, 24, 0), "there are 23 patients"),
    (lambda: few_shot(PATIENTS, 0, 0), "Ask for 1 to 23"),
    (lambda: few_shot([], 1, 0), "labelled cases"),
    (lambda: k_folds(PATIENTS, 1, 0), "Ask for 2 to 23 folds"),
    (lambda: k_folds(["a"] * 5, 5, 0), "of 1 patients"),
    (lambda: holdout(PATIENTS, 1.0, 0), "is not a share"),
    (lambda: holdout(PATIENTS, -0.1, 0), "is not a share"),
    (lambda: holdout(["a"], 0.5, 0), "leave nobody"),
    (lambda: holdout(["a", "b"], 0.9, 0), "hold out 2 of 2"),
])
def test_impossible_wishes_are_refused_with_numbers(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---------------------------------------------------------------- the split file


def test_round_trip(tmp_path):
    split = Split(["a", "b"], ("c",), ("d", "é"), 17, "fold 2 of 5")
    path = tmp_path / "split.json"
    split.save(path)
    assert Split.load(path) == split
    assert split.train == ("a", "b")
    assert json.loads(path.read_text(encoding="utf-8"))["note"] == "fold 2 of 5"
    dataclasses.replace(split, test=()).save(path)
    assert Split.load(path).test == ()
    assert [file.name for file in tmp_path.iterdir()] == ["split.json"]


def test_a_split_written_by_hand(tmp_path):
    path = tmp_path / "split.json"
    path.write_text('{"train": ["a"], "test": ["b"]}', encoding="utf-8")
    assert Split.load(path) == Split(("a",), (), ("b",))


@pytest.mark.parametrize(("split", "words"), [
    (Split(("a", "b"), ("b",)), "patient b is in train and in validation"),
    (Split(("a",), (), ("c", "a")), "patient a is in train and in test"),
    (Split((), ("x",), ("x",)), "patient x is in validation and in test"),
    (Split(("a", "a")), "patient a is twice in train"),
    (Split(PATIENTS, PATIENTS), "and 18 more"),
])
def test_leaks_are_named_and_never_written(tmp_path, split, words):
    with pytest.raises(InputError, match=words):
        check_no_leak(split)
    with pytest.raises(InputError, match=words):
        split.save(tmp_path / "split.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "leak.json").write_text(json.dumps(dataclasses.asdict(split)), encoding="utf-8")
    with pytest.raises(InputError, match=r"leak\.json"):
        Split.load(tmp_path / "leak.json")


@pytest.mark.parametrize(("text", "words"), [
    ("{", "is not valid JSON"),
    ("[]", "is not a split .*patients to train on"),
    ("null", "is not a split .*patients to train on"),
    ("{}", "is not a split .*patients to train on"),
    ('{"train": "patient1"}', "train is not a list of names"),
    ('{"train": [1]}', "train is not a list of names"),
    ('{"train": ["a"], "valid": ["b"]}', r"is not a split \('valid' is none of train, validation, test, seed, note\)"),
])
def test_damaged_split_files(tmp_path, text, words):
    path = tmp_path / "split.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        Split.load(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Split.load(tmp_path / "none.json")
    with pytest.raises(OutputError, match="does not exist"):
        Split(("a",)).save(tmp_path / "no" / "split.json")
