"""What a folder keeps for testing is never trained on: not with labels, not as unlabelled scans, not in pretraining."""

from __future__ import annotations

import pytest
from made_folders import folder, pairs

from kaf.data.folder import scan_folder
from kaf.data.unlabelled import choose_scans
from kaf.runtime.errors import InputError
from kaf.runtime.message_codes import TEST_SCANS
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.training.patients import choose_cases, split_cases

NNUNET = ("imagesTr/x_0001_0000.nii.gz", "imagesTr/x_0002_0000.nii.gz", "labelsTr/x_0001.nii.gz",
          "labelsTr/x_0002.nii.gz", "imagesTs/x_0003_0000.nii.gz", "labelsTs/x_0003.nii.gz")


@pytest.mark.parametrize("files", [
    NNUNET,
    ("imagesTr/x_0001.nii.gz", "imagesTr/x_0002.nii.gz", "labelsTr/x_0001.nii.gz", "labelsTr/x_0002.nii.gz",
     "imagesTs/x_0003.nii.gz"),
    ("train/images/x_0001.nii.gz", "train/images/x_0002.nii.gz", "train/labels/x_0001.nii.gz",
     "train/labels/x_0002.nii.gz", "test/images/x_0003.nii.gz", "test/labels/x_0003.nii.gz"),
    ("training/x_0001/x_0001.nii.gz", "training/x_0001/x_0001_gt.nii.gz", "training/x_0002/x_0002.nii.gz",
     "training/x_0002/x_0002_gt.nii.gz", "testing/x_0003/x_0003.nii.gz", "testing/x_0003/x_0003_gt.nii.gz"),
])
def test_test_scans_are_kept_apart(tmp_path, files):
    dataset = scan_folder(folder(tmp_path, *files))
    assert [case.name for case in dataset.cases] == ["x_0001", "x_0002"]
    assert [case.name for case in dataset.labelled] == ["x_0001", "x_0002"]
    assert dataset.unlabelled == ()
    assert [case.name for case in dataset.test] == ["x_0003"]
    assert [case.name for case in dataset.every] == ["x_0001", "x_0002", "x_0003"]
    assert [message.code for message in dataset.warnings()] == [TEST_SCANS]
    assert dataset.warnings()[0].level == "info"
    assert dataset.warnings()[0].data == {"cases": ["x_0003"]}


def test_no_run_sees_them(tmp_path):
    dataset = scan_folder(folder(tmp_path, *NNUNET))
    settings = FinetuneSettings(data=str(tmp_path), output=str(tmp_path / "run"), validation=0.5)
    split = split_cases(choose_cases(dataset.labelled, settings), settings)
    assert {*split.train, *split.validation} == {"x_0001", "x_0002"}
    pretraining = PretrainSettings(data=str(tmp_path), output=str(tmp_path / "run"), method="mae")
    assert [case.name for case in choose_scans(dataset, pretraining)] == ["x_0001", "x_0002"]
    # Naming a test patient among those to leave out is no mistake, and asking for one is.
    left = choose_scans(dataset, pretraining.model_copy(update={"leave_out": ("x_0003",)}))
    assert [case.name for case in left] == ["x_0001", "x_0002"]
    with pytest.raises(InputError, match="x_0003"):
        choose_scans(dataset, pretraining.model_copy(update={"cases": ("x_0003",)}))


def test_names_that_training_and_test_share_stay_those_of_training(tmp_path):
    root = folder(tmp_path, "imagesTr/p_1.nii.gz", "labelsTr/p_1.nii.gz", "imagesTr/p_2.nii.gz", "imagesTs/p_1.nii.gz",
                  "labelsTs/p_1.nii.gz")
    dataset = scan_folder(root)
    assert pairs(dataset) == {"p_1": ("imagesTr/p_1.nii.gz", "labelsTr/p_1.nii.gz"),
                              "p_2": ("imagesTr/p_2.nii.gz", None)}
    assert [(case.name, case.image.parent.name) for case in dataset.test] == [("imagesTs_p_1", "imagesTs")]
    assert len({case.name for case in dataset.every}) == 3
    assert any("p_1" in words and "training and test" in words for words in dataset.problems)


def test_a_folder_of_test_scans_alone_trains_nothing_and_says_why(tmp_path):
    root = folder(tmp_path / "data", "imagesTs/a.nii.gz", "labelsTs/a.nii.gz")
    dataset = scan_folder(root)
    assert dataset.cases == ()
    assert [case.name for case in dataset.every] == ["a"]
    settings = PretrainSettings(data=str(root), output=str(tmp_path / "run"), method="mae")
    with pytest.raises(InputError, match="only test scans"):
        choose_scans(dataset, settings)
    # The folder itself, given by its own name, holds scans like any other.
    assert [case.name for case in scan_folder(root / "imagesTs").cases] == ["a"]
