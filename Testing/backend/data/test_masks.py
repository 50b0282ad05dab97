"""One mask per structure: found by its place, joined into one label map, refused with a reason where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import folder, save_volume

from kaf.data.annotation import scan_labelled
from kaf.data.cache import SliceSettings, load_case
from kaf.data.case import Case
from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.data.labels import read_case_labels
from kaf.runtime.errors import InputError
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

SHAPE = (4, 20, 24)


def structures(case: Case) -> dict[int, tuple[str, str]]:
    return {mask.value: (mask.name, mask.path.name) for mask in case.masks}


@pytest.mark.parametrize("files", [
    ("s1/ct.nii.gz", "s1/segmentations/aorta.nii.gz", "s1/segmentations/liver.nii.gz",
     "s2/ct.nii.gz", "s2/segmentations/aorta.nii.gz", "s2/segmentations/liver.nii.gz"),  # TotalSegmentator
    ("s1/mri.nii.gz", "s1/segmentations/aorta.nii.gz", "s1/segmentations/liver.nii.gz",
     "s2/mri.nii.gz", "s2/segmentations/liver.nii.gz"),
    ("s1/ct.nii.gz", "s1/mask_aorta.nii.gz", "s1/mask_liver.nii.gz", "s2/ct.nii.gz", "s2/mask_aorta.nii.gz",
     "s2/mask_liver.nii.gz"),
    ("s1/ct.nii.gz", "s1/ct_seg_aorta.nii.gz", "s1/ct_seg_liver.nii.gz", "s2/ct.nii.gz", "s2/ct_seg_liver.nii.gz",
     "s2/ct_seg_aorta.nii.gz"),
    ("images/s1.nii.gz", "masks/s1/aorta.nii.gz", "masks/s1/liver.nii.gz", "images/s2.nii.gz",
     "masks/s2/aorta.nii.gz", "masks/s2/liver.nii.gz"),
    ("s1/s1.nrrd", "s1/masks/s1_aorta.nrrd", "s1/masks/s1_liver.nrrd", "s2/s2.nrrd", "s2/masks/s2_Aorta.nrrd",
     "s2/masks/s2_liver.nrrd"),
])
def test_masks_are_found_and_numbered_alike_in_all_cases(tmp_path, files):
    dataset = scan_folder(folder(tmp_path, *files))
    assert dataset.problems == ()
    assert "one mask per structure" in dataset.layout
    assert dataset.label_names == {1: "aorta", 2: "liver"} or dataset.label_names == {1: "Aorta", 2: "liver"}
    assert len(dataset.labelled) == 2
    for case in dataset.labelled:
        for value, (name, path) in structures(case).items():
            assert name.casefold() == {1: "aorta", 2: "liver"}[value]
            assert name in path
    assert dataset.patients == ("s1", "s2")


def test_versions_of_one_label_map_are_not_structures(tmp_path):
    root = folder(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "derivatives/anna/sub-1/anat/sub-1_T1w_dseg.nii.gz",
                  "derivatives/bob/sub-1/anat/sub-1_T1w_dseg.nii.gz")
    dataset = scan_folder(root)
    assert dataset.labelled == ()
    assert any("several label maps, none is used" in words for words in dataset.problems)


def test_dataset_json_says_which_structures_and_which_values(tmp_path):
    root = folder(tmp_path, *(f"s{n}/{name}.nii.gz" for n in (1, 2) for name in (
        "ct", "segmentations/aorta", "segmentations/liver", "segmentations/spleen")))
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "Spleen": 2, "liver": 5}}))
    dataset = scan_folder(root)
    assert [structures(case) for case in dataset.cases] == 2 * [
        {2: ("spleen", "spleen.nii.gz"), 5: ("liver", "liver.nii.gz")}]
    assert dataset.label_names == {2: "Spleen", 5: "liver"}
    assert dataset.problems == ("1 structure not named in dataset.json, left out: aorta. To use one, add its name and "
                                "a value there",)


def test_masks_beside_label_maps_need_names(tmp_path):
    files = ("a/ct.nii.gz", "a/segmentations/aorta.nii.gz", "a/segmentations/liver.nii.gz", "b.nii.gz", "b_gt.nii.gz")
    dataset = scan_folder(folder(tmp_path, *files))
    assert [case.name for case in dataset.labelled] == ["b"]
    assert any("dataset.json" in words and "which value" in words for words in dataset.problems)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "aorta": 2}}))
    dataset = scan_folder(tmp_path)
    assert len(dataset.labelled) == 2
    assert dataset.problems == ()


# ---------------------------------------------------------------- voxels


def box(*spans: tuple[int, int]) -> np.ndarray:
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[tuple(slice(*span) for span in spans)] = 1
    return voxels


def case_of(root: Path, **masks: np.ndarray) -> Case:
    """A scan with these masks in its folder."""
    for name, voxels in masks.items():
        save_volume(root / "s1" / "segmentations" / f"{name}.nii.gz", voxels)
    save_volume(root / "s1" / "ct.nii.gz", np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16))
    (case,) = scan_labelled(root).labelled
    return case


def test_masks_become_one_label_map(tmp_path):
    aorta, liver = box((0, 4), (2, 6), (2, 6)), box((1, 3), (10, 20), (10, 20))
    labels = read_case_labels(case_of(tmp_path, aorta=aorta * 255, liver=liver.astype(np.int16)))
    assert labels.voxels.dtype == np.uint8
    assert np.array_equal(labels.voxels, aorta + 2 * liver)
    assert labels.warnings == ()


def test_where_masks_overlap_the_smaller_structure_wins_and_it_is_said(tmp_path):
    body, cyst = box((0, 4), (2, 18), (2, 18)), box((1, 2), (4, 6), (4, 6))
    far = box((0, 4), (17, 19), (17, 24))  # larger than the cyst, smaller than the body
    case = case_of(tmp_path, a_cyst=cyst, body=body, z_far=far)
    labels = read_case_labels(case)
    expected = np.where(far > 0, 3, np.where(cyst > 0, 1, np.where(body > 0, 2, 0)))
    assert np.array_equal(labels.voxels, expected)
    assert labels.warnings == ("structures overlap, and the smaller one was kept: body under a_cyst (4 voxels), "
                               "body under z_far (4 voxels).",)
    (report,) = inspect_dataset(scan_labelled(tmp_path)).cases
    assert report.problems == labels.warnings
    assert report.values == {1: 4, 2: 4 * 256 - 8, 3: 56}


def test_a_mask_of_another_shape_is_refused_by_name(tmp_path):
    case = case_of(tmp_path, aorta=box((0, 4), (2, 6), (2, 6)), liver=np.ones((4, 20, 30), np.uint8))
    with pytest.raises(InputError, match=r"has 30 x 20 x 4 voxels where aorta\.nii\.gz, another mask") as e:
        read_case_labels(case)
    assert e.value.subject.endswith("liver.nii.gz")
    (report,) = inspect_dataset(scan_labelled(tmp_path)).cases
    assert not report.usable


def test_a_mask_with_several_values_is_refused(tmp_path):
    case = case_of(tmp_path, aorta=box((0, 4), (2, 6), (2, 6)), liver=np.arange(4 * 20 * 24).reshape(SHAPE) % 3)
    with pytest.raises(InputError, match="but has the values 0, 1, 2"):
        read_case_labels(case)


def test_the_cache_knows_a_changed_mask_and_a_changed_number(tmp_path):
    case = case_of(tmp_path / "data", aorta=box((0, 4), (2, 6), (2, 6)), liver=box((1, 3), (10, 20), (10, 20)))
    settings = SliceSettings(None, "largest-spacing", NormalisationSettings(), KeypointSettings())
    cache = tmp_path / "cache"
    cache.mkdir()
    first = load_case(case, settings, cache)
    assert first.labels is not None
    assert set(np.unique(first.labels)) == {0, 1, 2}
    assert load_case(case, settings, cache).entry == first.entry
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": {"aorta": 3, "liver": 1}}))
    (numbered,) = scan_labelled(tmp_path / "data").labelled
    again = load_case(numbered, settings, cache)
    assert again.entry != first.entry
    assert set(np.unique(again.labels)) == {0, 1, 3}
    save_volume(tmp_path / "data" / "s1" / "segmentations" / "liver.nii.gz", box((1, 3), (10, 12), (10, 12)))
    assert load_case(case, settings, cache).entry != first.entry
