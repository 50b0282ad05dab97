"""The demonstration: a synthetic heart with known truth, or the user's own scan; files, words and numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import LABELS, command_line, files_here, tiny_model

from kaf.imaging.labels import Label
from kaf.imaging.volume import read_labels, read_volume
from kaf.imaging.write import write_map
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.events import Message, Progress, from_json

ENDINGS = ("-seg.seg.nrrd", "-attention.nrrd", "-uncertainty.nrrd", "-overview.png")
RECORD = "-demo.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=5.0)


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("kaf.runtime.threads.physical_cores", lambda: 1)  # two threads of a busy machine are slower
    return command_line(capsys, monkeypatch, tmp_path / "here")


def test_the_made_up_heart(kaf, model):
    done = kaf("demo", "--model", model, "--seed", "5")
    assert done.code == 0, done.err
    folder = Path("demo-output")
    assert {path.name for path in folder.iterdir()} == {f"phantom5{end}" for end in (".nrrd", *ENDINGS, RECORD)}
    volume, truth = cardiac_phantom(5)
    np.testing.assert_array_equal(read_volume(folder / "phantom5.nrrd").voxels, volume.voxels)
    labels = read_labels(folder / "phantom5-seg.seg.nrrd").voxels
    dice = []
    for label in LABELS:
        found, known = labels == label.value, truth.voxels == label.value
        dice.append(2 * np.count_nonzero(found & known) / (np.count_nonzero(found) + np.count_nonzero(known)))
        (line,) = (line for line in done.out.splitlines() if line.startswith(f"  {label.name} "))
        millilitres = np.count_nonzero(found) * 1.5 * 1.5 * 8 / 1000
        assert line.split()[-4:] == [f"{millilitres:.1f}", "mL", "Dice", f"{dice[-1]:.3f}"]
    assert f"Dice {np.mean(dice):.3f}" in done.out.split("mean")[1]
    assert max(dice) > 0
    for end in ENDINGS:
        assert f": {folder / f'phantom5{end}'}" in done.out
    for name in ("attention", "uncertainty"):
        values = read_volume(folder / f"phantom5-{name}.nrrd")
        assert values.shape == volume.shape
        assert 0 <= values.voxels.min() < values.voxels.max() <= 1
    picture = cv2.imread(str(folder / "phantom5-overview.png"))
    assert min(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert "licensed under CC0-1.0" in done.err


def test_a_scan_of_ones_own_has_no_dice_and_is_shown_again(kaf, model):
    write_map("mine.nii.gz", cardiac_phantom(2, slices=3, size=64, spacing=4)[0])
    for seen in (1, 2):  # the second replaces the files of the first
        done = kaf("demo", "--input", "mine.nii.gz", "--model", model, "--output", "out/deeper", "--events")
        events = [from_json(line) for line in done.out.splitlines()]
        assert done.code == 0, done.err
        values = events[-1].values
        assert values["Dice"] == {}
        assert set(values["volumes_ml"]) == {label.name for label in LABELS}
        assert {path.name for path in Path("out/deeper").iterdir()} == {f"mine{end}" for end in (*ENDINGS, RECORD)}
        assert any(isinstance(event, Progress) for event in events)
        assert any(isinstance(event, Message) and "licensed" in event.text for event in events) == (seen == 1)
    assert files_here() == {"mine.nii.gz", "out"}


def test_a_demo_replaces_nothing_but_an_earlier_one(kaf, model):
    """``--output .`` beside a scan that somebody has segmented and corrected."""
    write_map("mine.nii.gz", cardiac_phantom(2, slices=3, size=64, spacing=4)[0])
    Path("mine-seg.seg.nrrd").write_bytes(b"corrected by hand")
    demo = ("demo", "--input", "mine.nii.gz", "--model", model, "--output", ".")
    done = kaf(*demo)
    assert (done.code, files_here()) == (1, {"mine.nii.gz", "mine-seg.seg.nrrd"})
    assert "mine-seg.seg.nrrd: exists, and is not an unchanged file of an earlier demo" in done.err
    assert Path("mine-seg.seg.nrrd").read_bytes() == b"corrected by hand"
    Path("mine-seg.seg.nrrd").unlink()
    assert kaf(*demo).code == 0
    assert kaf(*demo).code == 0
    Path("mine-attention.nrrd").write_bytes(b"changed")
    assert kaf(*demo).code == 1
    assert Path("mine-attention.nrrd").read_bytes() == b"changed"


def test_a_model_without_keypoints_is_shown_too(kaf, tmp_path):
    path = tiny_model(tmp_path / "plain.safetensors", spacing=5.0, network={"fusion": "none"})
    write_map("mine.nrrd", cardiac_phantom(2, slices=2, size=48, spacing=5)[0])
    done = kaf("demo", "--input", "mine.nrrd", "--model", path, "--output", "out")
    assert done.code == 0, done.err
    assert "warning: tiny has no keypoint attention" in done.err


def test_a_model_of_other_organs_has_no_dice_on_the_heart(kaf, monkeypatch, tmp_path):
    monkeypatch.setattr("kaf.phantom.heart.cardiac_phantom", partial(cardiac_phantom, slices=3, size=48, spacing=5))
    labels = (Label(1, "anterior hippocampus", (1, 2, 3)), Label(2, "myocardium of somebody", (4, 5, 6)))
    for names, known in ((labels[:1], 0), (labels, 1)):
        path = tiny_model(tmp_path / f"{known}.safetensors", spacing=8.0, labels=names,
                          network={"classes": len(names) + 1})
        done = kaf("demo", "--model", path, "--seed", "3", "--events")
        assert done.code == 0, done.err
        values = from_json(done.out.splitlines()[-1]).values
        assert set(values["Dice"]) == {label.name for label in labels[1:known + 1]}
        assert set(values["volumes_ml"]) == {label.name for label in names}


@pytest.mark.parametrize(("arguments", "words"), [
    (["--input", "no.nrrd"], "no.nrrd: does not exist"), (["--model", "nobody"], "model 'nobody': is not in the"),
    (["--output", "file"], "file: cannot be created"), (["--output", "file/deeper"], "cannot be created"),
])
def test_what_is_wrong_is_said_and_nothing_is_left(kaf, model, arguments, words):
    Path("file").write_text("mine")
    given = arguments if "--model" in arguments else ["--model", model, *arguments]
    done = kaf("demo", *given)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert words in done.err
    assert files_here() == {"file"}
