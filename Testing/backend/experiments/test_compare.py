"""A few-shot experiment: who is tested by whom, what is kept, what the table says."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import SimpleITK
from small_models import write_phantoms

from kaf.data.splits import few_shot, k_folds
from kaf.evaluation.comparison import Cell, differences, rows
from kaf.experiments.arms import arm_of
from kaf.experiments.compare import compare
from kaf.modelfile.card import read_card
from kaf.network import build_network
from kaf.network.build import count_parameters
from kaf.runs.layout import RUN
from kaf.runtime.errors import InputError, OutputError, SettingsError
from kaf.runtime.events import Message
from kaf.settings.base import build
from kaf.settings.compare import CompareSettings
from kaf.settings.network import NetworkSettings

TINY = {"width": 4, "decoder_width": 4, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4}
PATIENTS = tuple("abcdef")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment") / "scans"
    write_phantoms(folder, PATIENTS)
    return folder


def settings_of(scans, **values):
    cache = str(scans.parent / "cache")
    recipe = {"network": TINY, "patch": 32, "batch": 2, "epochs": 0.5, "cache": cache}
    return CompareSettings(**{
        "data": str(scans), "output": str(scans.parent / "out"), "methods": ("scratch", "simclr"), "few_shot": (2,),
        "draws": 1, "folds": 3, "device": "cpu", "threads": 1, "precision": "fp32",
        "finetune": recipe, "pretrain": recipe, **values})


def cell(arm, draw=0, **dice):
    """A cell whose cases have these Dice for their one label; a case is named after its patient."""
    cases = tuple({"case": f"{name}-1", "patient": name, "hd95": [4.0], "inside": [value * 50], "sizes": [100]}
                  for name, value in dice.items())
    return Cell(arm, 2, draw, 0, cases)


@pytest.fixture(scope="module")
def done(scans):
    settings = settings_of(scans)
    return compare(settings), settings


def test_every_arm_is_tested_on_the_same_patients_whom_no_network_has_seen(done, scans):
    table, settings = done
    folds = json.loads((scans.parent / "out" / "folds.json").read_text())
    test, train = set(folds[0]["test"]), folds[0]["train"]
    assert not test & set(train)
    for arm in settings.names:
        folder = scans.parent / "out" / arm / "m2-draw0-fold0"
        cases = json.loads((folder / "result.json").read_text())["cases"]
        assert {case["patient"] for case in cases} == test
        trained = json.loads((folder / "run" / "split.json").read_text())["train"]
        assert sorted(trained) == sorted(few_shot(train, 2, 0))
    pool = json.loads((scans.parent / "out" / "simclr" / "pretraining-fold0" / "split.json").read_text())["train"]
    assert sorted(pool) == sorted(train), "inductive: images of test patients stay out"
    assert [row["arm"] for row in table["rows"]] == ["scratch", "simclr"]
    assert "inductive: pretrained without images of test patients" in table["facts"]


def test_an_arm_starts_from_its_weights(done, scans):
    run = scans.parent / "out" / "simclr" / "m2-draw0-fold0" / "run"
    digest = read_card(scans.parent / "out" / "simclr" / "pretraining-fold0" / "model.safetensors").digest
    assert json.loads((run / "transfer.json").read_text())["digest"] == digest
    assert not (scans.parent / "out" / "scratch" / "m2-draw0-fold0" / "run" / "transfer.json").exists()


def test_what_is_there_is_not_made_again(done, scans, monkeypatch):
    table, settings = done

    def never(*_):
        raise AssertionError("a finished network was made again")

    monkeypatch.setattr("kaf.experiments.compare.finetune", never)
    monkeypatch.setattr("kaf.experiments.compare.pretrain", never)
    assert compare(settings) == table
    report = (scans.parent / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "2 labelled patients" in report
    assert "compared with scratch" in report
    assert len((scans.parent / "out" / "comparison.csv").read_text().splitlines()) == 1 + 2 * 2


def test_other_folds_in_the_same_folder_are_refused(done, scans):
    with pytest.raises(InputError, match="made on other patients or folds"):
        compare(settings_of(scans, folds=2, only_report=True))


@pytest.mark.parametrize(("change", "words"), [
    ({"finetune": {"epochs": 0.9}}, r"scratch.m2-draw0-fold0.run: was started with other settings \(epochs\)"),
    ({"pretrain": {"batch": 3}}, r"simclr.pretraining-fold0: was started with other settings \(batch\)"),
    ({"transductive": True}, r"simclr.pretraining-fold0: was started with other settings \(leave_out\)"),
    ({"flips": True}, r"m2-draw0-fold0: was tested with other settings \(flips\)"),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_networks_of_other_settings_are_not_taken_for_those_that_are_asked_for(done, scans, change, words):
    """They were kept and reported as if they had been made so."""
    before = (scans.parent / "out" / "comparison.json").read_bytes()
    given = done[1].model_dump(include={"finetune", "pretrain"})
    changed = {name: {**given[name], **value} if isinstance(value, dict) else value for name, value in change.items()}
    with pytest.raises(OutputError, match=words):
        compare(settings_of(scans, **changed))
    assert (scans.parent / "out" / "comparison.json").read_bytes() == before
    reported = []
    compare(settings_of(scans, **changed, only_report=True), reported.append)
    assert any(isinstance(event, Message) and "other settings" in event.text for event in reported)
    compare(done[1])


def test_a_scan_that_is_replaced_ends_the_experiment(tmp_path):
    """Some networks would have learned from the one, some from the other, in one table."""
    data = write_phantoms(tmp_path / "scans", PATIENTS)
    settings = settings_of(data, methods=("scratch",), pretrain={})
    compare(settings)
    copy = shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    compare(settings.model_copy(update={"data": str(copy)}))
    for name in ("a.nii.gz", "b_gt.nii.gz"):
        kept = (data / name).read_bytes()
        shutil.copyfile(data / name.replace("a", "c", 1).replace("b_", "d_"), data / name)
        with pytest.raises(OutputError, match=rf"contains an experiment on other files: .*: {name[0]}\. "):
            compare(settings)
        (data / name).write_bytes(kept)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "comparison.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"more: contains other files"):
        compare(settings.model_copy(update={"output": str(tmp_path / "more")}))
    assert [path.name for path in (tmp_path / "more").iterdir()] == ["comparison.csv"]
    (tmp_path / "out" / "comparison.html").write_text("<html>mine</html>")
    with pytest.raises(OutputError, match=r"comparison\.html: was not written by KAF"):
        compare(settings)
    assert (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8") == "<html>mine</html>"


def test_all_that_an_experiment_writes_is_known_by_name(done, scans):
    assert RUN.strangers(scans.parent / "out") == []


def test_transductive_pretraining_sees_the_test_images_and_the_report_says_so(scans):
    out = scans.parent / "transductive"
    table = compare(settings_of(scans, output=str(out), methods=("simclr",), transductive=True))
    pool = json.loads((out / "simclr" / "pretraining-fold0" / "split.json").read_text())["train"]
    assert sorted(pool) == sorted(PATIENTS)
    assert "transductive: pretrained with images of test patients" in table["facts"]


def test_several_seeds_are_several_pretrainings_and_runs(scans):
    """One pretraining was taken for the method: what differs from seed to seed was in no standard error."""
    out = scans.parent / "seeds"
    table = compare(settings_of(scans, output=str(out), seeds=2))
    assert table["networks"] == table["planned"] == 4
    first, second = (out / "simclr" / name for name in ("m2-draw0-fold0", "m2-draw0-fold0-seed1"))
    starts = [json.loads((cell / "run" / "transfer.json").read_text())["digest"] for cell in (first, second)]
    own = [read_card(out / "simclr" / name / "model.safetensors").digest
           for name in ("pretraining-fold0", "pretraining-fold0-seed1")]
    assert starts == own
    assert own[0] != own[1]
    seeds = [json.loads((cell / "run" / "settings.json").read_text())["seed"] for cell in (first, second)]
    assert len(set(seeds)) == 2
    cases = [json.loads((cell / "run" / "split.json").read_text())["train"] for cell in (first, second)]
    assert cases[0] == cases[1]
    assert {noise["arm"] for noise in table["noise"]} == {"scratch", "simclr"}
    assert [d["seeds"] for d in table["differences"]] == [2]
    assert RUN.strangers(out) == []
    kept = json.loads((out / "cells.json").read_text())
    assert len(kept["cells"]) == 4
    again = [Cell(**{**cell, "cases": tuple(cell["cases"])}) for cell in kept["cells"]]
    assert [d.mean for d in differences(again, ["scratch", "simclr"], "scratch")] == [
        pytest.approx(table["differences"][0]["mean"])]


def test_tuning_leaves_the_test_patients_alone(scans):
    out = scans.parent / "tuned"
    table = compare(settings_of(scans, output=str(out), methods=("simclr",), tune=(1,), few_shot=(1,)))
    test = set(k_folds(PATIENTS, 3, 0)[0][1])
    tested = json.loads((out / "simclr" / "m1-draw0-fold1" / "result.json").read_text())["cases"]
    pool = json.loads((out / "simclr" / "pretraining-fold1" / "split.json").read_text())["train"]
    trained = json.loads((out / "simclr" / "m1-draw0-fold1" / "run" / "split.json").read_text())["train"]
    seen = {case["patient"] for case in tested} | set(pool) | set(trained)
    assert seen == set(PATIENTS) - test
    assert "tuning on folds 1: test patients of fold 0 are neither trained on nor tested" in table["facts"]


def test_test_images_of_other_names_are_left_out_of_the_pool(scans, tmp_path):
    """The report said "inductive" while the test images were pretrained on."""
    test = k_folds(PATIENTS, 3, 0)[0][1]
    pool = tmp_path / "pool"
    pool.mkdir()
    for number, name in enumerate(PATIENTS):
        shutil.copyfile(scans / f"{name}.nii.gz", pool / f"scan{number}.nii.gz")
    rewritten = SimpleITK.ReadImage(str(pool / f"scan{PATIENTS.index(test[0])}.nii.gz"))
    rewritten.SetMetaData("descrip", "other bytes")
    SimpleITK.WriteImage(rewritten, str(pool / f"scan{PATIENTS.index(test[0])}.nii.gz"))
    heard, out = [], tmp_path / "out"
    table = compare(settings_of(scans, output=str(out), methods=("simclr",), unlabelled=str(pool)), heard.append)
    learned = json.loads((out / "simclr" / "pretraining-fold0" / "split.json").read_text())["train"]
    assert sorted(learned) == sorted(f"scan{PATIENTS.index(name)}" for name in set(PATIENTS) - set(test))
    assert any("Left out of the pool" in event.text for event in heard if isinstance(event, Message))
    assert any("of whom 2 were recognised by their voxels" in fact for fact in table["facts"])


def test_a_pool_in_which_nobody_is_recognised_is_warned_about(scans, tmp_path):
    pool = tmp_path / "pool"
    write_phantoms(pool, ("v", "w"))
    for path in pool.iterdir():
        image = SimpleITK.ReadImage(str(path))
        SimpleITK.WriteImage(SimpleITK.Cast(image * 2 + 1, image.GetPixelID()), str(path))
    heard = []
    table = compare(settings_of(scans, output=str(tmp_path / "out"), methods=("simclr",), unlabelled=str(pool)),
                    heard.append)
    assert any("No test patient was recognised" in event.text for event in heard if isinstance(event, Message))
    assert not any(fact.startswith("inductive") for fact in table["facts"])


def test_the_same_scan_on_both_sides_is_refused(scans, tmp_path):
    data = shutil.copytree(scans, tmp_path / "scans")
    train, test = k_folds(PATIENTS, 3, 0)[0]
    shutil.copyfile(data / f"{test[0]}.nii.gz", data / f"{train[0]}.nii.gz")
    words = rf"patient {test[0]}: is tested, but has the same image as patient {train[0]}"
    with pytest.raises(InputError, match=words):
        compare(settings_of(data, output=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_patients_of_a_file_and_of_another_folder(scans, tmp_path):
    data, apart = tmp_path / "scans", tmp_path / "apart"
    shutil.copytree(scans, data)
    apart.mkdir()
    for name in "ef":
        for file in data.glob(f"{name}*"):
            shutil.move(str(file), str(apart))
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"patients": list("abcd"), "few_shot_train": {"2": ["c", "a"]}}))
    table = compare(settings_of(data, output=str(tmp_path / "out"), splits=str(splits), test=str(apart)))
    for arm in ("scratch", "simclr"):
        cell = tmp_path / "out" / arm / "m2-draw0-fold0"
        tested = json.loads((cell / "result.json").read_text())["cases"]
        assert {case["patient"] for case in tested} == {"e", "f"}
        assert sorted(json.loads((cell / "run" / "split.json").read_text())["train"]) == ["a", "c"]
    assert "fold 0 of splits.json" in table["facts"]


def test_the_parts_of_an_experiment_one_by_one(scans, tmp_path):
    """As the tasks of an array job make them, in any order."""
    settings = settings_of(scans, output=str(tmp_path / "out"))
    made = [compare(settings.model_copy(update={"task": number}))["networks"] for number in (0, 2, 1)]
    assert made == [0, 1, 2]
    with pytest.raises(SettingsError, match="there is no part 3: there are 1 pretrainings and 2 networks"):
        compare(settings.model_copy(update={"task": 3}))


def test_too_few_patients_are_told_before_any_work(scans):
    with pytest.raises(InputError, match="has 4 patients to train on, fewer than 5"):
        compare(settings_of(scans, output=str(scans.parent / "few"), few_shot=(5,)))


@pytest.mark.parametrize(("values", "words"), [
    ({"few_shot": (5,)}, "has 4 patients to train on, fewer than 5"),
    ({"few_shot": (0,)}, "few-shot draw of 0: there are 4 patients"),
    ({"few_shot": (2, -1)}, "few-shot draw of -1"),
    ({"finetune": {"nothing": 1}}, "unknown setting 'nothing'"),
    ({"finetune": {"steps": -1}}, "steps: Input should be greater"),
    ({"methods": ("simclr",), "pretrain": {"steps": -1}}, "steps: Input should be greater"),
    ({"arms": {"mine": {"finetune": {"bacth": 1}}}}, "unknown setting 'bacth'"),
], ids=str)
def test_an_experiment_that_cannot_be_made_leaves_nothing_behind(scans, values, words):
    """The next try would have met the folds and files of one that never was."""
    out = scans.parent / "never"
    with pytest.raises((InputError, SettingsError), match=words):
        compare(settings_of(scans, output=str(out), **values))
    assert not out.exists()


def test_a_scan_that_cannot_be_read_leaves_nothing_behind(scans, monkeypatch):
    def closed(path):
        raise InputError(path, "cannot be read", "Check its permissions.")

    monkeypatch.setattr("kaf.experiments.kept.stamp_of", closed)
    out = scans.parent / "unread"
    with pytest.raises(InputError, match="cannot be read"):
        compare(settings_of(scans, output=str(out)))
    assert not out.exists()


@pytest.mark.parametrize(("values", "words"), [
    ({"methods": ("nonsense",)}, "unknown method 'nonsense'"), ({"methods": ("kaf", "kaf")}, "named twice"),
    ({"baseline": "pcl"}, "is not one of the arms"), ({"run_folds": (3,)}, "fold 3 does not exist")])
def test_wrong_settings_are_reported(scans, values, words):
    with pytest.raises(SettingsError, match=words):
        build(CompareSettings, {"data": str(scans), "output": "x", "folds": 3, **values})


def test_the_plain_networks_have_equal_width_or_equal_size(scans):
    settings = settings_of(scans, methods=("unet", "unet-large"))
    kaf = count_parameters(build_network(build(NetworkSettings, TINY)))
    plain = NetworkSettings(**arm_of("unet", settings).finetune["network"])
    large = NetworkSettings(**arm_of("unet-large", settings).finetune["network"])
    assert (plain.fusion, plain.width) == ("none", TINY["width"])
    sizes = {w: count_parameters(build_network(plain.model_copy(update={"width": w}))) for w in range(4, 40, 2)}
    assert abs(sizes[large.width] - kaf) == min(abs(size - kaf) for size in sizes.values())


def test_differences_are_paired_by_patient_and_averaged_over_draws():
    cells = [cell("a", 0, p=0.5, q=0.6), cell("b", 0, p=0.7, q=0.5), cell("a", 1, p=0.5, q=0.6),
             cell("b", 1, p=0.9, q=0.7), cell("b", 2, p=0.1, q=0.1)]
    (found,) = differences(cells, ["a", "b"], "a")
    assert (found.patients, found.draws, found.seeds, found.folds) == (2, 2, 1, 1)
    assert found.mean == pytest.approx(np.mean([0.3, 0.0]))
    assert found.wins == 1
    assert math.isnan(found.p)


def test_the_table_has_volume_and_pooled_dice():
    big = {"case": "p-1", "patient": "p", "hd95": [None, 2.0], "inside": [400, 0], "sizes": [1000, 0]}
    small = {"case": "q-1", "patient": "q", "hd95": [6.0, None], "inside": [10, 5], "sizes": [20, 20]}
    (row,) = rows([Cell("a", 6, 0, 0, (big, small))], ["a", "b"])
    assert row.dice.mean == pytest.approx(np.mean([0.8, np.mean([1.0, 0.5])]))
    assert row.pooled.mean == pytest.approx(np.mean([820 / 1020, 0.5]))
    assert row.hd95.mean == pytest.approx(4.0)
