"""What `kaf pretrain` says to input that it cannot use: one paragraph, no traceback, nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pretrain_toys import small_pretraining
from small_models import write_phantoms, write_volume

from kaf.cli import entry as cli
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.verbs.pretrain import pretrain

ONE = {"method": "simclr", "epochs": 0.5}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "scans"


def phantoms(folder: Path, slices: int = 3, count: int = 2, spacing: float = 3.0, start: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(start, start + count):
        image, _ = cardiac_phantom(seed, slices=slices, size=64, spacing=spacing)
        write_volume(folder / f"p{seed}.nii.gz", image.voxels, image.spacing)
    return folder


def warnings(settings) -> list[str]:
    reported = []
    pretrain(settings, reported.append)
    return [event.text for event in reported if isinstance(event, Message) and event.level == "warning"]


def refused(tmp_path: Path, data: Path, words: str, **values) -> None:
    with pytest.raises(InputError, match=words):
        pretrain(small_pretraining(tmp_path, data, **values))
    assert not (tmp_path / "run").exists()


def test_leaving_everybody_out_is_reported_as_that(tmp_path, folder):
    refused(tmp_path, phantoms(folder), r"scans: every scan is left out \(leave_out is p0, p1\)\. Leave out fewer",
            leave_out=("p0", "p1"))


def test_an_empty_folder_on_the_command_line(tmp_path, folder, capsys):
    folder.mkdir()
    assert cli.main(["pretrain", str(folder), "--output", str(tmp_path / "run"), "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"kaf: {folder}: holds no scan (it is empty). KAF reads NIfTI")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_one_image_is_enough_and_slices_are_taken_several_times(tmp_path, folder):
    said = warnings(small_pretraining(tmp_path, phantoms(folder, count=1), **{**ONE, "epochs": 4, "batch": 6}))
    assert said == ["There are 3 slices for batches of 6: the same slice is used several times "
                    "per batch, in different views."]
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize(("method", "remedy"), [("kaf", "--kaf.positives view"), ("pcl", "--method simclr")])
def test_images_of_one_slice_have_no_places_to_compare(tmp_path, folder, method, remedy):
    refused(tmp_path, phantoms(folder, 1), f"every scan is a single slice, .*{remedy}", method=method)


def test_a_slice_that_is_its_own_neighbour_is_reported(tmp_path, folder):
    phantoms(phantoms(folder, 1, 1), 3, 2, start=1)
    said = warnings(small_pretraining(tmp_path, folder, method="kaf", epochs=0.5))
    assert said == ["1 of 3 scans are a single slice, which is its own neighbour: p0."]


def test_contrast_needs_two_slices_and_reconstruction_one(tmp_path, folder):
    phantoms(folder, 1, 1)
    refused(tmp_path, folder, "has a single slice, .*simclr compares slices.*--method mae", method="simclr")
    pretrain(small_pretraining(tmp_path, folder, method="mae", epochs=4))


def test_mixed_modalities_and_spacings_are_reported(tmp_path, folder):
    phantoms(folder)
    image, _ = cardiac_phantom(5, slices=3, size=64, spacing=7.0)
    patient = np.random.default_rng(0).integers(-80, 120, image.voxels.shape)
    write_volume(folder / "ct.nii.gz", np.where(image.voxels > 20, patient, -1000).astype(np.int16), image.spacing)
    said = warnings(small_pretraining(tmp_path, folder, **ONE))
    assert said[0].startswith("The scans are of several kinds (CT, MR): one network learns from all of them.")
    assert said[1:] == ["Pixels are 3 to 7 mm wide; all are resampled to one size."]


def test_label_maps_are_left_out_by_name_and_by_what_they_look_like(tmp_path, folder):
    write_phantoms(folder, ("p1", "p2"))
    shutil.copy(folder / "p1_gt.nii.gz", folder / "odd.nii.gz")
    said = warnings(small_pretraining(tmp_path, folder, **ONE, modality="MR"))
    assert said[0] == "1 scan without a label map: odd"  # the maps that end in _gt are known as such
    assert said[1].startswith(f"Left out: {folder / 'odd.nii.gz'}: looks like a label map")
    assert json.loads((tmp_path / "run" / "left_out.json").read_text()) == [said[1].removeprefix("Left out: ")]
    assert len(said) == 2
    refused(tmp_path / "strict", folder, "odd.nii.gz: looks like a label map.*End its name in _gt", **ONE, strict=True)


def test_unreadable_files_are_left_out_with_a_list_or_refused(tmp_path, folder):
    phantoms(folder)
    for number in range(7):
        (folder / f"broken{number}.nii.gz").write_bytes(b"no scan")
    said = warnings(small_pretraining(tmp_path, folder, **ONE))
    assert [words.partition(":")[0] for words in said] == ["Left out"] * 5 + [
        "7 of 9 scans were left out in all; left_out.json lists them."]
    assert len(json.loads((tmp_path / "run" / "left_out.json").read_text())) == 7
    refused(tmp_path / "strict", folder, "broken0.nii.gz", **ONE, strict=True)


def test_a_folder_of_nothing_but_damage(tmp_path, folder):
    phantoms(folder)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:200])
    refused(tmp_path, folder, r"p0\.nii\.gz", **ONE)


def test_a_folder_that_disappears_while_it_is_read(tmp_path, folder, monkeypatch):
    from kaf.data import unlabelled

    phantoms(folder, count=3)
    load = unlabelled.load_case

    def vanish(case, *rest):
        found = load(case, *rest)
        shutil.rmtree(folder, ignore_errors=True)
        return found

    monkeypatch.setattr(unlabelled, "load_case", vanish)
    refused(tmp_path, folder, "this folder has disappeared while its scans were read", **ONE)
