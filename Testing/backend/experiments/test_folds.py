"""Folds of an experiment: drawn, from files of other tools, with test patients elsewhere, and for tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaf.data.case import Case
from kaf.data.splits import few_shot, k_folds
from kaf.experiments.folds import make_folds
from kaf.runtime.errors import InputError, SettingsError
from kaf.settings.compare import CompareSettings

NAMES = [f"patient{number:03d}" for number in range(1, 13)]


def cases(names=NAMES):
    return [Case(f"{name}_frame0{frame}", name, Path(f"{name}_frame0{frame}.nii.gz"), Path("label"))
            for name in names for frame in (1, 2)]


def settings_of(**values):
    return CompareSettings(**{"data": "scans", "output": "out", "few_shot": (2,), "draws": 1, "folds": 3, **values})


def saved(folder, content):
    path = folder / "splits.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_tuning_experiment_never_touches_the_test_patients():
    """Recipes were chosen on the test patients of fold 0."""
    test = set(k_folds(NAMES, 3, 0)[0][1])
    folds = make_folds(cases(), [], settings_of(tune=(1, 2)))
    assert sorted(folds.chosen) == [1, 2]
    seen = []
    for fold in folds.chosen.values():
        train, tuned = set(fold.split.train), set(fold.split.test)
        assert not test & (train | tuned)
        assert not train & tuned
        assert len(train | tuned) == 8
        assert set(fold.held) == test
        seen += fold.split.test
    assert sorted([*seen, *test]) == NAMES
    assert all(not test & set(split.train + split.test) for split in folds.record)


def test_one_fold_is_cut_for_tuning(tmp_path):
    file = saved(tmp_path, {"patients": NAMES[:9]})
    folds = make_folds(cases(), [], settings_of(splits=file, tune=(0, 1)))
    for fold in folds.chosen.values():
        assert set(fold.split.train) | set(fold.split.test) == set(NAMES[:9])
        assert set(fold.held) == set(NAMES[9:])
        assert len(fold.split.test) == 3


@pytest.mark.parametrize(("values", "words"), [
    ({"tune": (0, 1)}, "fold 0 is a run fold"), ({"tune": (3,)}, "fold 3 does not exist")])
def test_folds_that_cannot_be_tuned_on(values, words):
    with pytest.raises(SettingsError, match=words):
        make_folds(cases(), [], settings_of(**values))


def test_a_file_with_numbers_and_few_shot_patients(tmp_path):
    """The form of PCL's and KAF's splits of ACDC: numbers of patients, and who is labelled for each M."""
    file = saved(tmp_path, {"patients": list(range(1, 10)), "few_shot_train": {"1": [7], "2": [7, 3]}, "note": "x"})
    (fold,) = make_folds(cases(), [], settings_of(splits=file)).chosen.values()
    assert fold.split.train == tuple(NAMES[:9])
    assert fold.split.test == tuple(NAMES[9:])
    assert fold.labelled(2, 0) == ("patient007", "patient003")
    with pytest.raises(InputError, match="has 1 draws of 2 labelled patients, fewer than 3"):
        make_folds(cases(), [], settings_of(splits=file, draws=3))
    with pytest.raises(InputError, match="does not say who are the 6 labelled patients"):
        make_folds(cases(), [], settings_of(splits=file, few_shot=(6,)))


def test_the_shared_splits_are_read(shared_data, tmp_path):
    from kaf.data.folder import scan_folder

    found = scan_folder(shared_data / "acdc").labelled
    file = str(shared_data / "acdc" / "splits.json")
    outside = [Case("patient005", "patient005", Path("x"), Path("y"))]
    (fold,) = make_folds(found, outside, settings_of(splits=file, test="elsewhere", few_shot=(6,))).chosen.values()
    assert len(fold.split.train) == 80
    assert fold.split.test == ("patient005",)
    assert fold.labelled(6, 0) == tuple(f"patient{n:03d}" for n in (73, 18, 1, 15, 95, 6))
    with pytest.raises(InputError, match="names no test patients"):
        make_folds(found, [], settings_of(splits=file))


def test_a_file_of_nnunet(tmp_path):
    """Cases, not patients; the folds are those of the file."""
    halves = [[case.name for case in cases(part)] for part in (NAMES[:6], NAMES[6:])]
    file = saved(tmp_path, [{"train": halves[0], "val": halves[1]}, {"train": halves[1], "val": halves[0]}])
    folds = make_folds(cases(), [], settings_of(splits=file, run_folds=(0, 1))).chosen
    assert folds[1].split.train == tuple(NAMES[6:])
    assert folds[1].split.test == tuple(NAMES[:6])
    assert folds[1].labelled(2, 0) == tuple(few_shot(NAMES[6:], 2, 0))
    with pytest.raises(SettingsError, match="fold 2 does not exist; there are folds 0 to 1"):
        make_folds(cases(), [], settings_of(splits=file, run_folds=(2,)))
    mixed = saved(tmp_path, [{"train": ["patient001_frame01"], "val": ["patient001_frame02"]}])
    with pytest.raises(InputError, match="patient patient001 is in train and in test"):
        make_folds(cases(), [], settings_of(splits=mixed, few_shot=(1,)))


def test_several_draws_of_a_file(tmp_path):
    file = saved(tmp_path, {"folds": [{"train": NAMES[:9], "test": NAMES[9:],
                                       "few_shot": {"2": [NAMES[:2], NAMES[4:6]]}}]})
    (fold,) = make_folds(cases(), [], settings_of(splits=file, draws=2)).chosen.values()
    assert [fold.labelled(2, draw) for draw in (0, 1)] == [tuple(NAMES[:2]), tuple(NAMES[4:6])]


def test_test_patients_of_another_folder():
    (fold,) = make_folds(cases(NAMES[:8]), cases(NAMES[8:]), settings_of(test="elsewhere")).chosen.values()
    assert fold.split.train == tuple(NAMES[:8])
    assert fold.split.test == tuple(NAMES[8:])
    with pytest.raises(SettingsError, match="fold 1 does not exist; there is fold 0 only"):
        make_folds(cases(NAMES[:8]), cases(NAMES[8:]), settings_of(test="elsewhere", run_folds=(1,)))


@pytest.mark.parametrize(("content", "words"), [
    ({"train": ["nobody"]}, "names 1 patients or cases without a labelled scan: nobody"),
    ({"train": NAMES[:3], "test": NAMES[2:]}, "patient patient003 is in train and in test"),
    ({"patients": "all"}, "a split that is no list of patients"), ([], "contains no splits"),
    ([1], "contains no splits"),
    ({"patients": NAMES}, "names no test patients"),
    ({"patients": NAMES[:9], "few_shot": {"2": [NAMES[10], NAMES[11]]}}, "or not all training patients"),
    ({"patients": NAMES[:9], "few_shot": {"two": []}}, "are no object of number"),
], ids=str)
def test_files_of_splits_that_cannot_be_used(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        make_folds(cases(), [], settings_of(splits=saved(tmp_path, content)))


def test_a_file_of_splits_that_is_none(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for name, words in (("broken.json", "is not valid JSON"), ("missing.json", "cannot be read")):
        with pytest.raises(InputError, match=words):
            make_folds(cases(), [], settings_of(splits=str(tmp_path / name)))
