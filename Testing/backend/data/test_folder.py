"""Folders as people have them: what is found, what belongs together, what is said about the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_folders import folder, pairs

from kaf.data.folder import scan_folder
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import TEST_SCANS, UNLABELLED

# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize(("images", "labels"), [
    ("images", "labels"), ("image", "label"), ("imagesTr", "labelsTr"), ("scans", "masks"), ("img", "seg"),
    ("Images", "Segmentations"), ("train_images", "train_labels"), ("volumes", "ground-truth"),
    ("data/train/images", "data/train/labels"),
])
def test_two_folders(tmp_path, images, labels):
    root = folder(tmp_path, f"{images}/a_1.nii.gz", f"{images}/a_2.nii.gz", f"{labels}/a_1.nii.gz",
                  f"{labels}/a_2.nrrd")
    dataset = scan_folder(root)
    assert pairs(dataset) == {"a_1": (f"{images}/a_1.nii.gz", f"{labels}/a_1.nii.gz"),
                              "a_2": (f"{images}/a_2.nii.gz", f"{labels}/a_2.nrrd")}
    assert Path(images).name in dataset.layout
    assert Path(labels).name in dataset.layout
    assert dataset.problems == ()


def test_test_images_of_the_decathlon_have_no_labels(tmp_path):
    root = folder(tmp_path, "imagesTr/liver_1.nii.gz", "labelsTr/liver_1.nii.gz", "imagesTs/liver_2.nii.gz")
    dataset = scan_folder(root)
    assert dataset.layout == "imagesTr and labelsTr, as in the Medical Segmentation Decathlon"
    assert [case.name for case in dataset.labelled] == ["liver_1"]
    assert dataset.unlabelled == ()
    assert [(case.name, case.label) for case in dataset.test] == [("liver_2", None)]
    assert dataset.problems == ()
    assert dataset.warnings() == (
        Message("1 test scan (in imagesTs), not used for training, validation or pretraining: liver_2.", "info",
                TEST_SCANS, {"cases": ["liver_2"]}),)


def test_scans_without_labels_are_named(tmp_path):
    dataset = scan_folder(folder(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/b.nii.gz"))
    assert dataset.warnings() == (
        Message("1 scan without a label map: b", "warning", UNLABELLED, {"cases": ["b"]}),)


@pytest.mark.parametrize("suffix", [
    "_gt", "_seg", "_label", "_labels", "_mask", "-seg", "-label", "_segmentation", "_GT", "_seg-manual",
    ".seg"])
def test_label_maps_beside_the_scans(tmp_path, suffix):
    root = folder(tmp_path, "case01.nrrd", f"case01{suffix}.nrrd", "case02.nrrd", f"case02{suffix}.nrrd")
    dataset = scan_folder(root)
    assert pairs(dataset) == {name: (f"{name}.nrrd", f"{name}{suffix}.nrrd") for name in ("case01", "case02")}
    assert "beside" in dataset.layout
    assert dataset.problems == ()


@pytest.mark.parametrize(("image", "label", "name"), [
    ("volume-0.nii", "segmentation-0.nii", "volume-0"),  # LiTS
    ("img0001.nii.gz", "label0001.nii.gz", "img0001"),  # BTCV
    ("ct_train_1001_image.nii.gz", "ct_train_1001_label.nii.gz", "ct_train_1001"),  # MM-WHS
    ("Case00.mhd", "Case00_segmentation.mhd", "Case00"),  # PROMISE12
    ("pat0.nii.gz", "pat0-label.nii.gz", "pat0"),  # HVSMR
    ("001_t1.nii.gz", "001_seg.nii.gz", "001_t1"),  # one contrast of BraTS
    ("CT.nrrd", "Segmentation.seg.nrrd", None),  # Slicer's own names
])
def test_public_names(tmp_path, image, label, name):
    dataset = scan_folder(folder(tmp_path, image, label))
    assert pairs(dataset) == {name or tmp_path.name: (image, label)}


@pytest.mark.parametrize(("image", "label"), [
    ("image.nii.gz", "label.nii.gz"), ("imaging.nii.gz", "segmentation.nii.gz"), ("{}.nii.gz", "GT.nii.gz"),
    ("{}_sa.nii.gz", "{}_sa_gt.nii.gz"), ("ct.nii.gz", "segmentations/heart.nii.gz"),
    ("scan.nrrd", "mask.nrrd"),
])
def test_one_folder_per_case(tmp_path, image, label):
    files = [tuple(f"{case}/{name.format(case)}" for name in (image, label))
             for case in ("case_01", "case_02")]
    dataset = scan_folder(folder(tmp_path, *(name for pair in files for name in pair)))
    assert sorted(pairs(dataset).values()) == files
    assert dataset.patients == ("case_01", "case_02")
    assert dataset.problems == ()


def test_nnunet_single_channel(tmp_path):
    root = folder(tmp_path, "imagesTr/x_0001_0000.nii.gz", "imagesTr/x_0002_0000.nii.gz",
                  "imagesTs/x_0003_0000.nii.gz", "labelsTr/x_0001.nii.gz", "labelsTr/x_0002.nii.gz")
    dataset = scan_folder(root)
    assert dataset.layout == "imagesTr and labelsTr, as in nnU-Net"
    assert pairs(dataset) == {"x_0001": ("imagesTr/x_0001_0000.nii.gz", "labelsTr/x_0001.nii.gz"),
                              "x_0002": ("imagesTr/x_0002_0000.nii.gz", "labelsTr/x_0002.nii.gz")}
    assert [(case.name, case.image.name) for case in dataset.test] == [("x_0003", "x_0003_0000.nii.gz")]


def test_nnunet_channels_go_together(tmp_path):
    root = folder(tmp_path, *(f"imagesTr/p_{n}_000{c}.nii.gz" for n in (1, 2) for c in (1, 0)),
                  "imagesTr/p_3_0000.nii.gz", "labelsTr/p_1.nii.gz", "labelsTr/p_2.nii.gz", "labelsTr/p_3.nii.gz")
    (root / "dataset.json").write_text('{"channel_names": {"0": "T2", "1": "ADC"}}')
    dataset = scan_folder(root)
    assert [(case.image.name, [path.name for path in case.more], case.channels) for case in dataset.cases] == [
        (f"p_{n}_0000.nii.gz", [f"p_{n}_0001.nii.gz"], ("T2", "ADC")) for n in (1, 2)]
    assert dataset.problems == (
        "1 case left out for lack of channels that others have (0000, 0001): p_3. Add the missing files",
        "1 label map without a scan: labelsTr/p_3.nii.gz. Name each like its scan")
    (root / "dataset.json").unlink()
    assert {case.channels for case in scan_folder(root).cases} == {("channel 0", "channel 1")}


def test_four_digits_are_not_channels_where_they_count_cases(tmp_path):
    root = folder(tmp_path, "imagesTr/amos_0000.nii.gz", "imagesTr/amos_0004.nii.gz",
                  "labelsTr/amos_0000.nii.gz", "labelsTr/amos_0004.nii.gz")
    assert [case.name for case in scan_folder(root).labelled] == ["amos_0000", "amos_0004"]
    assert len(scan_folder(root / "imagesTr").cases) == 2
    counted = ("a_0000", "a_0001", "b_0000")
    sites = folder(tmp_path / "sites", *(f"images/{name}.nii" for name in counted),
                   *(f"labels/{name}.nii" for name in counted))
    assert tuple(case.name for case in scan_folder(sites).labelled) == counted
    many = folder(tmp_path / "many", *(f"{site}_{number:04d}.nii" for site in "ab" for number in range(20)))
    assert len(scan_folder(many).cases) == 40


def test_bids_with_derivatives(tmp_path):
    root = folder(
        tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/anat/sub-03_T1w.nii.gz", "sub-01/func/sub-01_bold.nii.gz",
        "derivatives/manual/sub-01/ses-1/anat/sub-01_ses-1_T1w_dseg.nii.gz",
        "derivatives/manual/sub-01/ses-2/anat/sub-01_ses-2_dseg.nii.gz",
        "derivatives/labels/sub-02/anat/sub-02_T1w_label-cord_mask.nii.gz",
        "derivatives/prep/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz")
    dataset = scan_folder(root)
    assert "BIDS" in dataset.layout
    assert {name: label and Path(label).name for name, (_, label) in pairs(dataset).items()} == {
        "sub-01_ses-1_T1w": "sub-01_ses-1_T1w_dseg.nii.gz", "sub-01_ses-2_T1w": "sub-01_ses-2_dseg.nii.gz",
        "sub-02_T1w": "sub-02_T1w_label-cord_mask.nii.gz", "sub-03_T1w": None}
    assert dataset.patients == ("sub-01", "sub-02", "sub-03")
    words = " ".join(dataset.problems)
    assert "sub-01_bold.nii.gz" in words
    assert "sub-02_desc-preproc_T1w.nii.gz" in words


def test_a_flat_folder_without_labels(tmp_path):
    dataset = scan_folder(folder(tmp_path, "b.nii.gz", "a.mha", "c.nrrd", "notes.txt"))
    assert [case.name for case in dataset.cases] == ["a", "b", "c"]
    assert dataset.labelled == ()
    assert dataset.layout == "scans without label maps"


def test_native_acdc_leaves_out_the_cine(tmp_path):
    ends = ("4d", "frame01", "frame01_gt", "frame12", "frame12_gt")
    patients = ("patient001", "patient002")
    root = folder(tmp_path, *(f"training/{name}/{name}_{end}.nii.gz" for name in patients for end in ends))
    dataset = scan_folder(root)
    assert len(dataset.labelled) == len(dataset.cases) == 4
    assert dataset.patients == patients
    assert dataset.problems == ("2 time series left out: patient001_4d.nii.gz, patient002_4d.nii.gz. To use one, save "
                                "its time points as scans",)


# ---------------------------------------------------------------- what is said about the rest


def test_hidden_and_foreign_files_are_ignored(tmp_path):
    root = folder(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/._a.nii.gz", "labels/._a.nii.gz",
                  "images/.DS_Store", "__MACOSX/images/a.nii.gz", ".cache/b.nii.gz", "readme.txt", "x.csv")
    dataset = scan_folder(root)
    assert len(dataset.cases) == 1
    assert dataset.problems == ()


def problems_of(root: Path, *files: str) -> str:
    return "\n".join(warning.text for warning in scan_folder(folder(root, *files)).warnings())


def test_orphans_are_named(tmp_path):
    words = problems_of(tmp_path, "images/a.nii.gz", "images/b.nii.gz", "labels/a.nii.gz", "labels/c.nii.gz")
    assert "1 label map without a scan: labels/c.nii.gz. Name each like its scan" in words
    assert "1 scan without a label map: b" in words


def test_a_scan_in_two_formats_counts_once(tmp_path):
    root = folder(tmp_path, "a.nii", "a.nii.gz", "a_gt.nii.gz", "a_gt.nii")
    dataset = scan_folder(root)
    assert pairs(dataset) == {"a": ("a.nii.gz", "a_gt.nii.gz")}
    assert dataset.problems == (
        "the same scan 2 times: a.nii.gz, a.nii; a.nii.gz is used",
        "1 scan with several label maps, one is used: a_gt.nii.gz of a_gt.nii.gz, a_gt.nii. If it is the wrong one, "
        "take it out")


def test_label_maps_among_the_images_are_named(tmp_path):
    root = folder(tmp_path, "images/a.nii.gz", "images/a_seg.nii.gz", "images/b.nii.gz", "labels/b.nii.gz")
    dataset = scan_folder(root)
    words = "1 label map among the images: images/a_seg.nii.gz. Put label maps into the folder labels"
    assert words in dataset.problems
    assert [case.name for case in dataset.cases] == ["a", "b"]


def test_several_contrasts_with_one_label_map(tmp_path):
    contrasts = ("flair", "t1", "t1ce", "t2")
    root = folder(tmp_path, *(f"B_{n}/B_{n}_{c}.nii.gz" for n in (1, 2) for c in (*contrasts, "seg")))
    dataset = scan_folder(root)
    assert [case.name for case in dataset.labelled] == ["B_1_t1", "B_2_t1"]
    assert dataset.patients == ("B_1", "B_2")
    assert any("multi-channel is not supported yet" in words for words in dataset.problems)


def test_files_that_count_differently_are_not_paired(tmp_path):
    dataset = scan_folder(folder(tmp_path, "case_1/001.nii.gz", "case_1/002_seg.nii.gz"))
    assert dataset.labelled == ()


def test_a_label_map_of_another_split_is_not_borrowed(tmp_path):
    root = folder(tmp_path, "train/images/a.nii.gz", "train/labels/a.nii.gz", "test/labels/a.nii.gz")
    dataset = scan_folder(root)
    assert pairs(dataset) == {"a": ("train/images/a.nii.gz", "train/labels/a.nii.gz")}
    assert "without a scan" in dataset.problems[0]


def test_likely_mistakes_get_a_hint(tmp_path):
    root = folder(tmp_path / "one", "images/a.nii.gz", "images/b.nii.gz", "labels/a.nii.gz")
    assert "a folder labels lies beside this one" in "\n".join(scan_folder(root / "images").problems)
    words = problems_of(tmp_path / "two", "CT/a.nii.gz", "CT/b.nii.gz", "GTV/a.nii.gz", "GTV/b.nii.gz")
    assert "CT and GTV hold files of the same names" in words
    words = problems_of(tmp_path / "three", *(f"{n}/{f}.nrrd" for n in "xyz" for f in ("lgemri", "laendo")))
    assert "every folder holds laendo, lgemri" in words


def test_long_lists_are_cut(tmp_path):
    orphans = (f"labels/b{number}.nii.gz" for number in range(99))
    words = problems_of(tmp_path, "images/a0.nii.gz", "labels/a0.nii.gz", *orphans)
    assert "99 label maps without a scan" in words
    assert "and 94 more" in words
    assert len(words) < 300


def test_links_that_lead_back_up_end(tmp_path):
    root = folder(tmp_path / "data", "images/a.nii.gz", "labels/a.nii.gz")
    try:
        os.symlink(root, root / "images" / "again", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert len(scan_folder(root).cases) == 1


# ---------------------------------------------------------------- refusals


def test_refusals_name_the_folder_and_the_remedy(tmp_path):
    folder(tmp_path, "file.nii.gz", "labels_only/labels/a.nii.gz", "pictures/a.png", "pictures/b.zip")
    (tmp_path / "empty").mkdir()
    for name, reason, remedy in [
        ("missing", "there is no such folder", "Check the path"),
        ("file.nii.gz", "is a file", str(tmp_path)),
        ("empty", "it is empty", "NIfTI"),
        ("labels_only", "1 label map but no scan", "images"),
        ("pictures", "1 .png, 1 .zip", "Unpack"),
    ]:
        with pytest.raises(InputError) as refused:
            scan_folder(tmp_path / name)
        assert refused.value.subject == str(tmp_path / name)
        assert reason in refused.value.reason
        assert remedy in refused.value.remedy


def test_folders_that_may_not_be_read(tmp_path, monkeypatch):
    root = folder(tmp_path, "images/a.nii.gz", "private/b.nii.gz")
    closed = {str(root / "private")}
    real = os.scandir

    def scandir(path):
        if str(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    dataset = scan_folder(root)
    assert [case.name for case in dataset.cases] == ["a"]
    assert dataset.problems == ("the folder private cannot be read (Permission denied). Ask for permission to read it",)
    closed.add(str(root))
    with pytest.raises(InputError, match="cannot be read"):
        scan_folder(root)


# ---------------------------------------------------------------- real data


@pytest.mark.data
@pytest.mark.parametrize(("name", "cases", "patients", "first"), [
    ("acdc", 160, 80, ("patient001_frame01", "patient001")),
    ("msd_hippocampus", 200, 200, ("hippocampus_001", "hippocampus_001")),
    ("openkbp_ct/volumes", 76, 76, ("train_pt_1", "train_pt_1")),
    ("openkbp_ct/pool_partial_labels", 60, 60, ("train_pt_10", "train_pt_10")),
])
def test_real_folders(shared_data, name, cases, patients, first):
    dataset = scan_folder(shared_data / name)
    assert len(dataset.labelled) == len(dataset.cases) == cases
    assert len(dataset.patients) == patients
    assert (dataset.cases[0].name, dataset.cases[0].patient) == first
    assert dataset.problems == ()
    for case in dataset.cases:
        assert case.label is not None
        assert case.label.name in (f"{case.name}_gt.nii.gz", case.image.name)
