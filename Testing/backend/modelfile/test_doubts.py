"""What is doubtful about a scan and a model is reported before a run: without torch, and in the words of the result."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_models import HERE, command_line, run, tiny_model

from kaf.imaging.volume import Volume
from kaf.imaging.write import write_map
from kaf.modelfile.card import read_card
from kaf.modelfile.suitability import doubts
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.finetune import FinetuneSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")  # MR, 1.6 mm, slices 8 mm apart


@pytest.fixture(scope="module")
def card(model):
    return read_card(model)


@pytest.fixture(scope="module")
def scan():
    return cardiac_phantom(1, slices=4, size=64, spacing=2.5)[0]


def hounsfield(resampled: bool = False) -> np.ndarray:
    voxels = np.full((6, 64, 64), -1000.0, np.float32)
    voxels[:, 12:52, 12:52] = np.random.default_rng(0).integers(-80, 90, (6, 40, 40))
    voxels[:, 20:26, 20:26] = 700
    return voxels * 0.999 + 0.123 if resampled else voxels.astype(np.int16)


AFFINE = np.diag([2.5, 2.5, 8.0, 1.0])


def test_a_scan_like_those_of_the_model_has_none(scan, card):
    assert doubts(scan, card) == ()


@pytest.mark.parametrize("resampled", [False, True], ids=["whole numbers", "resampled"])
def test_hounsfield_numbers_are_no_mr(card, resampled):
    volume = Volume(hounsfield(resampled), AFFINE)
    assert doubts(volume, card) == ("This scan looks like CT, but tiny was made for MR: do not trust the result.",)
    assert doubts(volume, replace(card, modality="CT")) == ()
    assert doubts(volume, replace(card, modality="any")) == ()


def test_negative_numbers_of_another_kind_are_not_taken_for_ct(card):
    """Phase images, and images whose mean was taken off."""
    rng = np.random.default_rng(0)
    phase = rng.integers(-4096, 4096, (6, 64, 64)).astype(np.int16)
    centred = rng.normal(0, 400, (6, 64, 64)).astype(np.float32)
    for voxels in (phase, centred):
        assert doubts(Volume(voxels, AFFINE), card) == ()


def test_holes_in_a_scan_say_nothing(card):
    """A panel asks about voxels as they are; holes are filled later."""
    voxels = np.random.default_rng(0).integers(0, 200, (6, 64, 64)).astype(np.float32)
    voxels[:, :8] = np.nan
    assert doubts(Volume(voxels, AFFINE), card) == ()
    assert doubts(Volume(np.full_like(voxels, np.nan), AFFINE), card) == ()


@pytest.mark.parametrize(("modality", "words"), [
    ("MR", ""), ("CT", "This scan is CT, as its DICOM header says"),
    ("PT", "This scan is PET, as its DICOM header says"), ("RTDOSE", "This scan is a dose distribution"),
    ("OT", "This scan looks like CT"), ("", "This scan looks like CT"), ("<b>", "This scan looks like CT")])
def test_the_header_counts_more_than_intensities(card, modality, words):
    found = doubts(Volume(hounsfield(), AFFINE, modality=modality), card)
    assert len(found) == (words != "")
    assert "".join(found).startswith(words)


@pytest.mark.parametrize(("shape", "spacing", "words"), [
    ((4, 64, 64), (2.5, 2.5, 17), "Slices lie 17.0 mm apart; tiny was made for about 8.0 mm."),
    ((8, 64, 64), (2.5, 2.5, 3), "Slices lie 3.0 mm apart; tiny was made for about 8.0 mm."),
    ((4, 64, 64), (4, 4, 8), "Pixels are 4.0 x 4.0 mm in axial slices; tiny was made for 1.6 mm."),
    ((40, 64, 4), (8, 1, 5), "Pixels are 5.0 x 1.0 mm in sagittal slices; tiny was made for 1.6 mm."),
    ((4, 12, 9), (1.6, 1.6, 8), "Slices have only 12 x 9 pixels at the model's 1.60 mm."),
], ids=["far apart", "close", "coarse", "coarse in the model's plane", "few pixels"])
def test_spacing_and_size(card, shape, spacing, words):
    voxels = np.random.default_rng(0).integers(0, 700, shape).astype(np.int16)
    assert doubts(Volume(voxels, np.diag([*spacing, 1.0])), card) == (words,)


def test_finer_pixels_are_no_doubt(card):
    voxels = np.random.default_rng(0).integers(0, 700, (4, 320, 320)).astype(np.int16)
    assert doubts(Volume(voxels, np.diag([0.5, 0.5, 8.0, 1.0])), card) == ()


def test_the_field_of_view(scan, card):
    def said(**values):
        return doubts(scan, replace(card, **values))  # 160 x 160 mm

    trained = {"training_field_of_view_mm": [160.0, 150.0]}
    assert said(metrics=trained) == ()
    small = {"training_field_of_view_mm": [50.0, 40.0]}
    assert said(metrics=small) == (
        "Slices cover 160 x 160 mm; tiny was made for about 50 x 40 mm: crop the scan as those were.",)
    large = {"training_field_of_view_mm": [400.0, 400.0]}
    assert said(metrics=large) == (
        "Slices cover 160 x 160 mm; tiny was made for about 400 x 400 mm: structures may be cut off.",)
    assert said(recipe={"patch": 256}) == (
        "Slices cover 160 x 160 mm only; tiny learned from pieces of 410 x 410 mm: structures may be cut off.",)
    assert said(recipe={"patch": 32}) == ()  # a patch says nothing of how large the slices were


@pytest.mark.parametrize("value", [None, "a lot", [1], [0, 5], [True, True], ["1", "2"], {"1": 2}])
def test_what_a_card_says_beside_its_fields_may_be_anything(scan, card, value):
    assert doubts(scan, replace(card, recipe={"patch": value}, metrics={"training_field_of_view_mm": value})) == ()


def test_a_network_that_sees_volumes(scan, card):
    network = {**card.network, "dimensions": 3, "patch": [16, 64, 64]}
    assert doubts(scan, replace(card, network=network)) == (
        "The scan has only 4 slices; tiny looks at 16 at a time.",)
    assert doubts(Volume(scan.voxels[:1], scan.affine), replace(card, slice_context=1)) == (
        "The scan is a single slice; tiny looks at its neighbours, too.",)


def test_mirrored_copies_of_a_model_that_knows_none(scan, card):
    assert doubts(scan, card, flips=True) == (
        "tiny has not learned from mirrored scans: averaging over mirrored copies makes its result worse.",)


def test_the_result_warns_in_the_same_words(model, card):
    volume = Volume(hounsfield(), np.diag([4.0, 4.0, 17.0, 1.0]))
    expected = doubts(volume, card, flips=True)
    assert len(expected) == 4
    assert run(model, volume, flips=True).warnings == expected


def test_fine_tuning_writes_down_what_its_slices_covered(tmp_path):
    from kaf.data.folder import scan_folder
    from kaf.data.plan import make_plan
    from kaf.data.splits import Split
    from kaf.imaging.write import write_labels
    from kaf.training.cards import finetuned_card

    for seed in range(2):
        image, labels = cardiac_phantom(seed, slices=4, size=64, spacing=2.5)
        write_map(tmp_path / f"p{seed}.nii.gz", image)
        write_labels(tmp_path / f"p{seed}_gt.nii.gz", labels, ())
    settings = FinetuneSettings(data=str(tmp_path), output=str(tmp_path / "run"))
    plan = make_plan(scan_folder(tmp_path).cases, settings)
    assert plan.field_of_view == pytest.approx((160, 160), abs=2)
    made = finetuned_card(settings, plan, Split(("p0", "p1"), (), (), 0, ""), ())
    assert made.metrics["training_field_of_view_mm"] == pytest.approx([160, 160], abs=2)


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "work")


def test_the_command_line_says_it_once(call, model, tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_map(path, Volume(hounsfield(), AFFINE))
    done = call("segment", path, "--model", model, *HERE)
    assert done.code == 0
    assert done.err.count("looks like CT") == 1


def test_it_is_said_before_torch_is_there(model, tmp_path):
    """torch that cannot be imported stops the command, after the doubt."""
    path = tmp_path / "ct.nii.gz"
    write_map(path, Volume(hounsfield(), AFFINE))
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    code = (f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from kaf.cli.entry import main; "
            "sys.exit(main(sys.argv[1:]))")
    done = subprocess.run(
        [sys.executable, "-c", code, "segment", str(path), "--model", str(model)], capture_output=True, text=True,
        check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "KAFSegmentation"),
             "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})
    assert done.returncode != 0
    assert "This scan looks like CT" in done.stderr
    assert done.stderr.index("looks like CT") < done.stderr.index("no torch here")


def test_slicers_own_process_needs_neither_torch_nor_pydantic():
    code = ("import sys, kaf.modelfile.suitability; "
            "print([m for m in ('torch', 'pydantic', 'cv2', 'SimpleITK') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).resolve().parents[3] / "KAFSegmentation")
    assert done.stdout.strip() == "[]"


def test_a_client_that_knows_the_kind_of_scan_tells_the_worker(model, tmp_path):
    from kaf.worker.process import Request
    from kaf.worker.verbs import segment

    volume = Volume(np.random.default_rng(0).integers(0, 700, (4, 64, 64)).astype(np.int16), AFFINE)
    settings = {"model": str(model), "device": "cpu", "threads": 1}
    for options, count in (({}, 0), ({"modality": "MR"}, 0), ({"modality": "PT"}, 1), ({"modality": 3}, 0)):
        answer = segment(Request("segment", settings, options, {"image": volume}, tmp_path), lambda event: None)
        assert len(answer["warnings"]) == count
