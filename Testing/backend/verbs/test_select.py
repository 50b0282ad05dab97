"""`kaf select`: which cases to label first, by coverage of an embedding or by the doubt of a model."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import HERE, LABELS, RUN, command_line, tiny_model
from small_models import write_volume

from kaf.data.cache import CachedCase
from kaf.data.folder import Case
from kaf.imaging.keypoints import Keypoints
from kaf.inference.loaded_model import load_for_inference
from kaf.modelfile.card import read_card
from kaf.modelfile.model import save_model
from kaf.network import Features, build_network
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, OutputError, SettingsError
from kaf.runtime.events import Message, Result
from kaf.selection.choices import by_coverage, by_uncertainty
from kaf.selection.coverage import farthest_first, medoid
from kaf.selection.embedding import Doubt, doubt, embed
from kaf.settings.network import NetworkSettings
from kaf.settings.select import SelectSettings
from kaf.verbs.select import select

KINDS = {"plain": lambda v: v, "inverted": lambda v: v.max() - v, "striped": None}


def striped(voxels):
    stripes = np.sin(np.arange(voxels.shape[2]) * 2.0)[None, None] * 0.5 * voxels.std()
    return np.clip(voxels + stripes.astype(voxels.dtype), 0, None)


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Nine patients of three kinds, alike but for noise, with two scans of one of them; no labels."""
    folder = tmp_path_factory.mktemp("scans")
    random = np.random.default_rng(5)
    for index in range(9):
        kind = list(KINDS)[index % 3]
        image, _ = cardiac_phantom(index % 3, slices=3, size=64, spacing=3.0)
        voxels = image.voxels.astype(np.float32)
        voxels += random.normal(0, 0.03 * voxels.std(), voxels.shape).astype(np.float32)
        for name in [f"{kind}{index}", *([f"{kind}{index}_frame02"] if index == 0 else [])]:
            write_volume(folder / f"{name}.nii.gz", (KINDS[kind] or striped)(voxels), image.spacing)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "weights.safetensors", spacing=3.0, labels=())


@pytest.fixture(scope="module")
def settings(tmp_path_factory, scans, weights):
    """Settings for the three kinds; everything is kept in a folder of its own."""
    home = tmp_path_factory.mktemp("home")

    def make(output: Path, **values) -> SelectSettings:
        return SelectSettings(**{"data": str(scans), "model": str(weights), "output": str(output),
                                 "cache": str(home / "cache"), **RUN, **values})

    return make


def kinds(selection) -> list[str]:
    return [choice.patient.rstrip("0123456789") for choice in selection.choices]


def test_the_first_three_come_from_the_three_kinds(settings, tmp_path):
    reported = []
    selection = select(settings(tmp_path / "a", count=0), reported.append)
    assert sorted(kinds(selection)[:3]) == sorted(KINDS)
    assert (selection.by, selection.candidates, len(selection.choices)) == ("coverage", 9, 9)
    assert selection.choices[0].reason.startswith("the most typical patient")
    assert "times the mean distance away" in selection.choices[1].reason
    scores = [choice.score for choice in selection.choices]
    assert scores[0] is None
    assert scores[1:] == sorted(scores[1:], reverse=True), "each is farther than the one after it"
    assert scores[2] > 2 * scores[3], "the fourth is of a kind that is there already"
    own = next(choice for choice in selection.choices if choice.patient == "plain0")
    assert {own.case, *own.others} == {"plain0", "plain0_frame02"}
    assert isinstance(reported[-1], Result)
    assert reported[-1].values["choices"][0]["patient"] == selection.choices[0].patient
    rows = list(csv.DictReader((tmp_path / "a" / "selection.csv").open()))
    assert [row["patient"] for row in rows] == [choice.patient for choice in selection.choices]
    assert json.loads((tmp_path / "a" / "selection.json").read_text())["choices"] == selection.to_dict()["choices"]
    assert select(settings(tmp_path / "b", count=0)) == selection, "the same again"


def test_slices_to_draw_are_named_where_they_are_asked_for(settings, tmp_path):
    chosen = select(settings(tmp_path / "a", count=2, slices=2))
    assert [len(slices) for slices in chosen.slices] == [2, 2]
    assert all(0 <= number < 3 for slices in chosen.slices for number in slices)
    rows = list(csv.DictReader((tmp_path / "a" / "selection.csv").open()))
    assert [row["slices"] for row in rows] == [" ".join(map(str, slices)) for slices in chosen.slices]
    assert json.loads((tmp_path / "a" / "selection.json").read_text())["slices"] == [list(s) for s in chosen.slices]
    without = select(settings(tmp_path / "b", count=2))
    assert "slices" not in without.to_dict()
    assert "slices" not in (tmp_path / "b" / "selection.csv").read_text()


def test_labelled_and_left_out_patients_are_not_chosen_and_what_they_cover_comes_last(settings, tmp_path):
    selection = select(settings(tmp_path / "a", labelled=("plain3",), leave_out=("inverted1",), count=2))
    assert sorted(kinds(selection)) == ["inverted", "striped"]
    assert "inverted1" not in [choice.patient for choice in selection.choices]
    assert (selection.labelled, selection.candidates) == (("plain3",), 7)
    assert "plain3 (labelled)" in selection.choices[0].reason


def test_label_maps_in_the_folder_count_unless_they_are_ignored(settings, tmp_path, scans):
    for path in scans.glob("*.nii.gz"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / path.name).symlink_to(path)
    labels = np.zeros((3, 64, 64), np.uint8)
    write_volume(tmp_path / "data" / "striped2_gt.nii.gz", labels, (3, 3, 8))
    given = {"data": str(tmp_path / "data"), "count": 2}
    selection = select(settings(tmp_path / "a", **given))
    assert (selection.labelled, sorted(kinds(selection))) == (("striped2",), ["inverted", "plain"])
    assert select(settings(tmp_path / "b", ignore_labels=True, **given)).labelled == ()


def test_scans_that_cannot_be_used_are_left_out_with_words(settings, tmp_path, scans):
    (tmp_path / "data").mkdir()
    for name in ("plain0", "striped2"):
        (tmp_path / "data" / f"{name}.nii.gz").symlink_to(scans / f"{name}.nii.gz")
    (tmp_path / "data" / "broken.nii.gz").write_bytes(b"no scan")
    reported = []
    selection = select(settings(tmp_path / "a", data=str(tmp_path / "data")), reported.append)
    assert {choice.patient for choice in selection.choices} == {"plain0", "striped2"}
    assert len(selection.left_out) == 1
    assert any(isinstance(event, Message) and "broken.nii.gz" in event.text for event in reported)


@pytest.mark.parametrize(("values", "error", "words"), [
    ({"labelled": ("nobody",)}, InputError, "has no case or patient nobody"),
    ({"by": "uncertainty"}, SettingsError, "uncertainty needs a model that segments"),
    ({"data": "nowhere"}, InputError, "there is no such folder"),
    ({"leave_out": tuple(f"{list(KINDS)[i % 3]}{i}" for i in range(9))}, InputError, "no patient who is neither"),
])
def test_bad_input_is_reported(settings, tmp_path, values, error, words):
    with pytest.raises(error, match=words):
        select(settings(tmp_path / "a", **values))


def test_a_selection_is_not_replaced_unasked(settings, tmp_path):
    (tmp_path / "selection.csv").touch()
    with pytest.raises(OutputError, match="exists already"):
        select(settings(tmp_path))
    with pytest.raises(OutputError, match=r"selection\.csv: was not written by KAF"):
        select(settings(tmp_path, overwrite=True))
    (tmp_path / "selection.csv").unlink()
    select(settings(tmp_path))
    select(settings(tmp_path, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["selection.csv", "selection.json"]


def test_the_embedding_is_the_mean_over_tissue_whatever_the_field_of_view(weights):
    """Against the plain formula; and air around the patient changes next to nothing."""
    ready = load_for_inference(SelectSettings(data="", model=str(weights), **RUN), str(weights))
    random = np.random.default_rng(1)
    image = np.full((2, 64, 64), -1.0, np.float32)
    image[:, 16:48, 16:48] = random.normal(1, 0.3, (2, 32, 32))
    none = [Keypoints(np.empty((0, 2), np.float32), np.empty(0, np.float32))] * 2
    case = CachedCase("a", "a", image, None, none, (8.0, 3.0, 3.0))
    with torch.inference_mode():
        bottleneck = ready.network(torch.from_numpy(image)[:, None], torch.zeros(2, 0, 2),
                                   torch.zeros(2, 0, dtype=torch.bool)).bottleneck.double().numpy()
    expected = np.mean([[channel[1:3, 1:3].mean() for channel in one] for one in bottleneck], axis=0)
    np.testing.assert_allclose(embed(ready, case, 1), expected, rtol=1e-4, atol=1e-6)
    wide = np.full((2, 128, 128), -1.0, np.float32)
    wide[:, 32:96, 32:96] = image
    found = embed(ready, CachedCase("a", "a", wide, None, none, (8.0, 3.0, 3.0)), 8)
    assert np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    empty = embed(ready, CachedCase("a", "a", np.zeros((1, 32, 32), np.float32), None, none[:1], (8.0, 3.0, 3.0)), 8)
    assert np.isfinite(empty).all()


def test_a_3d_network_is_looked_at_by_patches(tmp_path):
    network = NetworkSettings(dimensions=3, width=4, classes=2, patch=(4, 32, 32),
                              strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
    torch.manual_seed(0)
    base = read_card(tiny_model(tmp_path / "base.safetensors", labels=()))
    save_model(tmp_path / "solid.safetensors", build_network(network),
               replace(base, network=network.model_dump(), slice_context=0))
    ready = load_for_inference(SelectSettings(data="", model="", **RUN), str(tmp_path / "solid.safetensors"))
    random = np.random.default_rng(2).normal(size=(5, 40, 64)).astype(np.float32)
    found = embed(ready, CachedCase("a", "a", random, None, [], (2.0, 1.0, 1.0)), 8)
    assert (found.shape, bool(np.isfinite(found).all()), bool(found.any())) == ((16,), True, True)


class Says:
    """A predictor that gives these logits."""

    def __init__(self, *slices):
        self._logits = torch.stack([torch.as_tensor(s, dtype=torch.float32) for s in slices])

    def __call__(self, image, keypoints):
        for index, logits in enumerate(self._logits):
            yield [index], Features(logits[None], [], torch.empty(0), [])


def logits(size, *areas):
    """(3, size, size): background for sure but for (label, rows, probability) of each area."""
    found = np.full((3, size, size), -40.0)
    found[0] = 40.0
    for label, rows, probability in areas:
        found[:, rows, :8] = -40.0
        found[label, rows, :8], found[0, rows, :8] = math.log(probability), math.log(1 - probability)
    return found


def plain_entropy(p):
    return -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(3)


@pytest.fixture
def ready(tmp_path):
    path = tiny_model(tmp_path / "m.safetensors", network={"classes": 3}, labels=LABELS[:2])
    return load_for_inference(SelectSettings(data="", model="", **RUN), str(path))


def test_doubt_is_the_mean_entropy_over_the_foreground(ready):
    case = CachedCase("a", "a", np.zeros((2, 64, 64), np.float32), None, [], (8.0, 1.0, 1.0))
    found = doubt(ready, case, Says(logits(64, (1, slice(0, 4), 0.9)), logits(64, (2, slice(0, 8), 0.6))))
    assert found.by_label == pytest.approx({1: plain_entropy(0.9), 2: plain_entropy(0.6)}, abs=1e-5)
    assert found.mean == pytest.approx((plain_entropy(0.9) + 2 * plain_entropy(0.6)) / 3, abs=1e-5)
    assert (found.worst_slice, found.share) == (1, pytest.approx(96 / (2 * 64 * 64)))


def test_a_large_scan_does_not_win_by_its_size(ready):
    area = logits(64, (1, slice(0, 4), 0.8))
    small = doubt(ready, CachedCase("a", "a", np.zeros((1, 64, 64)), None, [], (8.0, 1.0, 1.0)), Says(area))
    many = doubt(ready, CachedCase("b", "b", np.zeros((9, 64, 64)), None, [], (8.0, 1.0, 1.0)), Says(*[area] * 9))
    wide = doubt(ready, CachedCase("c", "c", np.zeros((1, 256, 256)), None, [], (8.0, 1.0, 1.0)),
                 Says(logits(256, (1, slice(0, 4), 0.8))))
    assert small.mean == pytest.approx(many.mean) == pytest.approx(wide.mean)
    assert math.isnan(small.by_label[2])


def test_a_scan_in_which_nothing_is_found_is_in_doubt(ready):
    case = CachedCase("a", "a", np.zeros((1, 64, 64), np.float32), None, [], (8.0, 1.0, 1.0))
    assert doubt(ready, case, Says(logits(64))) == Doubt(1.0, {}, 0, 0.0)


def test_the_most_uncertain_patients_come_first_each_once():
    def scan(name, patient, mean, **labels):
        return Case(name, patient, Path(name)), Doubt(mean, labels or {1: mean, 2: math.nan}, 3, 0.1)

    choices = by_uncertainty([scan("a1", "a", 0.2), scan("a2", "a", 0.5), scan("b1", "b", 0.4),
                              (Case("c1", "c", Path("c1")), Doubt(1.0, {}, 0, 0.0))], {1: "LV", 2: "RV"}, 3)
    assert [(c.rank, c.case, c.others) for c in choices] == [(1, "c1", ()), (2, "a2", ("a1",)), (3, "b1", ())]
    assert choices[0].reason == "the model finds none of its structures here"
    assert choices[1].reason == ("uncertainty 0.500, 1.11 times that of the middle scan; nothing found of RV; "
                                 "most in slice 3")
    assert len(by_uncertainty([scan("a", "a", 0.2), scan("b", "b", 0.4)], {1: "LV", 2: "RV"}, 1)) == 1


def test_a_model_that_segments_chooses_by_its_doubt(settings, tmp_path):
    model = tiny_model(tmp_path / "m.safetensors", spacing=3.0)
    first = select(settings(tmp_path / "a", model=str(model), labelled=("plain0",), count=3))
    assert first.by == "uncertainty"
    assert "plain0" not in [choice.patient for choice in first.choices]
    scores = [choice.score for choice in first.choices]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert select(settings(tmp_path / "b", model=str(model), labelled=("plain0",), count=3)) == first
    assert select(settings(tmp_path / "c", model=str(model), by="coverage", count=3)).by == "coverage"


def test_farthest_first_against_the_plain_procedure():
    points = np.random.default_rng(3).normal(size=(20, 4))
    away = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
    chosen = [int(np.argmin(away.sum(1)))]
    while len(chosen) < 6:
        chosen.append(int(np.argmax([min(away[i][c] for c in chosen) if i not in chosen else -1 for i in range(20)])))
    picks = farthest_first(points, 6)
    assert [pick.index for pick in picks] == chosen
    assert picks[0].index == medoid(points)
    assert picks[3].distance == pytest.approx(min(away[chosen[3]][c] for c in chosen[:3]))
    assert sum(pick.stands_for for pick in picks) == 14
    order = np.random.default_rng(4).permutation(20)
    assert [int(order[pick.index]) for pick in farthest_first(points[order], 6)] == chosen
    assert [pick.index for pick in farthest_first(points, 99, given=chosen[:2])][:4] == chosen[2:]
    assert len(farthest_first(points, 99, given=chosen)) == 14


def test_the_scan_nearest_to_the_patient_is_the_one_to_label():
    scans = [(Case(f"p{i}", "p", Path("p")), np.array([x, 0.0])) for i, x in enumerate((0.0, 1.0, 5.0))]
    choice, = by_coverage(scans, set())
    assert (choice.case, choice.others) == ("p1", ("p0", "p2"))


def test_kaf_select_writes_and_says_the_order(scans, weights, capsys, monkeypatch, tmp_path):
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    done = kaf("select", scans, "--model", weights, "--count", "3", "--cache", tmp_path / "cache", *HERE)
    assert done.code == 0, done.err
    assert done.out.startswith("of 9 patients, to be labelled first (by coverage):\n  1  ")
    assert Path("selection/selection.csv").is_file()
    again = kaf("select", scans, "--model", weights, *HERE)
    assert (again.code, "exists already" in again.err) == (1, True)


