"""Fine-tuning from the layouts of the field: names of structures reach the card, files of splits decide who trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from finetune_toys import small_run
from made_folders import save_volume

from kaf.data.case import Case
from kaf.data.splits import Split, fold_of
from kaf.imaging.volume import read_labels, read_volume
from kaf.modelfile.card import read_card
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import TEST_SCANS
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.segment import SegmentSettings
from kaf.training.patients import split_cases
from kaf.verbs.finetune import finetune
from kaf.verbs.segment import segment

NAMES = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}


def heart(seed: int) -> tuple[np.ndarray, np.ndarray]:
    volume, labels = cardiac_phantom(seed, slices=3, size=32, spacing=4.0)
    return volume.voxels, labels.voxels


def nnunet(root: Path) -> Path:
    for number, part in enumerate(("Tr", "Tr", "Tr", "Ts")):
        image, labels = heart(number)
        save_volume(root / f"images{part}" / f"heart_{number}_0000.nii.gz", image)
        save_volume(root / f"labels{part}" / f"heart_{number}.nii.gz", labels)
    words = {"channel_names": {"0": "cine"}, "labels": {"background": 0, **{n: v for v, n in NAMES.items()}},
             "numTraining": 3, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(words))
    return root


def masks(root: Path) -> Path:
    for number in range(3):
        image, labels = heart(number)
        save_volume(root / f"s{number}" / "mri.nii.gz", image)
        for value, name in NAMES.items():
            save_volume(root / f"s{number}" / "segmentations" / f"{name}.nii.gz", (labels == value).astype(np.uint8))
    return root


@pytest.mark.parametrize(("make", "names"), [
    (nnunet, NAMES), (masks, dict(enumerate(sorted(NAMES.values()), 1)))])
def test_names_of_structures_reach_the_card_and_the_segmentation(tmp_path, make, names):
    data = make(tmp_path / "data")
    events: list[object] = []
    path = finetune(small_run(tmp_path, data, epochs=0.2, labels={2: "muscle"}), events.append)
    assert read_card(path).label_names == {**names, 2: "muscle"}
    split = Split.load(path.parent / "split.json")
    assert len(split.train) + len(split.validation) == 3
    told = [event for event in events if isinstance(event, Message) and event.code == TEST_SCANS]
    assert len(told) == (make is nnunet)
    scan = next((data / "imagesTs").iterdir()) if make is nnunet else data / "s0" / "mri.nii.gz"
    settings = SegmentSettings(model=str(path), device="cpu", threads=1)
    assert {label.name for label in segment(read_volume(scan), settings).card.labels} == {*names.values()} - {
        names[2]} | {"muscle"}


def test_values_that_dataset_json_does_not_name_are_reported(tmp_path):
    data = nnunet(tmp_path / "data")
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "cavity": 1}}))
    events: list[object] = []
    finetune(small_run(tmp_path, data, epochs=0.2), events.append)
    assert any(isinstance(event, Message) and "does not name: 2, 3" in event.text for event in events)


def test_labels_of_test_scans_alone_train_nothing(tmp_path):
    image, labels = heart(0)
    save_volume(tmp_path / "data" / "imagesTr" / "a.nii.gz", image)
    save_volume(tmp_path / "data" / "imagesTs" / "b.nii.gz", image)
    save_volume(tmp_path / "data" / "labelsTs" / "b.nii.gz", labels)
    with pytest.raises(InputError, match=r"has label maps of test scans only \(in imagesTs\)"):
        finetune(small_run(tmp_path, tmp_path / "data"))


# ---------------------------------------------------------------- files of splits

CASES = {f"p{n}_{phase}": f"p{n}" for n in range(4) for phase in ("ED", "ES")}


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_folds_of_nnunet(tmp_path):
    path = written(tmp_path / "splits_final.json", [
        {"train": ["p0_ED", "p0_ES", "p1_ED", "p1_ES"], "val": ["p2_ED", "p2_ES"]},
        {"train": ["p2_ED", "p3_ED"], "val": ["p0_ED"]}])
    assert fold_of(path, 0, CASES) == (["p0", "p1"], ["p2"])
    assert fold_of(path, 1, CASES) == (["p2", "p3"], ["p0"])
    settings = FinetuneSettings(data="d", output="o", splits=str(path), fold=1)
    split = split_cases([Case(name, patient, Path("i"), Path("l")) for name, patient in CASES.items()], settings)
    assert (split.train, split.validation) == (("p2", "p3"), ("p0",))


def test_a_split_of_kaf(tmp_path):
    Split(("p0", "p1"), ("p2",), ("p3",)).save(tmp_path / "split.json")
    assert fold_of(tmp_path / "split.json", 0, CASES) == (["p0", "p1"], ["p2"])


@pytest.mark.parametrize(("content", "fold", "words"), [
    ([{"train": ["p0_ED"], "val": ["p0_ES"]}], 0, "patient p0 is in train and in validation"),
    ([{"train": ["p0_ED"], "val": ["zoe"]}], 0, "names zoe, of whom there is no labelled scan"),
    ([{"train": ["p0_ED"], "val": []}], 2, "has 1 fold and no fold 2"),
    ({"folds": []}, 0, "contains no splits"), ([], 0, "contains no splits"),
    ([{"train": "p0"}], 0, "contains no splits"),
])
def test_splits_that_cannot_be_used(tmp_path, content, fold, words):
    with pytest.raises(InputError, match=words):
        fold_of(written(tmp_path / "splits.json", content), fold, CASES)


def test_test_scans_of_nnunet_are_no_part_of_a_split(tmp_path):
    data = nnunet(tmp_path / "data")
    path = written(tmp_path / "splits.json", [{"train": ["heart_0", "heart_3"], "val": ["heart_1"]}])
    with pytest.raises(InputError, match="names heart_3, of whom there is no labelled scan to learn from"):
        finetune(small_run(tmp_path, data, splits=str(path)))
    assert read_labels(data / "labelsTs" / "heart_3.nii.gz").voxels.any()


def test_two_folders_that_number_structures_differently_are_refused(tmp_path):
    data, other = masks(tmp_path / "data"), masks(tmp_path / "other")
    for number in range(3):
        (other / f"s{number}" / "segmentations" / "left ventricle.nii.gz").unlink()
        (other / f"s{number}").rename(other / f"t{number}")
    with pytest.raises(InputError, match="its value 1 is 'myocardium', which is 'left ventricle' in"):
        finetune(small_run(tmp_path, data, validation_data=str(other)))
    (other / "dataset.json").write_text(json.dumps({"labels": {name: value for value, name in enumerate(
        sorted(NAMES.values()), 1)}}))
    assert finetune(small_run(tmp_path, data, validation_data=str(other), epochs=0.2)).is_file()
