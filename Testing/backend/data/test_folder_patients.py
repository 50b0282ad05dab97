"""Who is who: patients by file name, by folder and by DICOM header, so that no person is on two sides."""

from __future__ import annotations

import pytest
from made_folders import dicom, folder, pairs

from kaf.data.folder import scan_folder
from kaf.data.names import patient_of

# ---------------------------------------------------------------- DICOM


def test_dicom_trees_take_the_patient_from_the_header(tmp_path):
    dicom(tmp_path / "p1" / "study" / "series_a", patient="ANNA", modality="CT")
    dicom(tmp_path / "p1" / "study" / "series_b", patient="ANNA", modality="CT")
    dicom(tmp_path / "p2" / "study" / "series_c", patient="BOB", modality="CT")
    dicom(tmp_path / "p3" / "study" / "series_d", modality="CT")
    dataset = scan_folder(tmp_path)
    assert dataset.layout == "DICOM series without label maps"
    assert {case.name: case.patient for case in dataset.cases} == {
        "series_a": "ANNA", "series_b": "ANNA", "series_c": "BOB", "series_d": "p3"}
    assert dataset.cases[0].image == tmp_path / "p1" / "study" / "series_a"


def test_dicom_without_extension_is_known_by_its_mark(tmp_path):
    series = dicom(tmp_path / "series", patient="A", modality="MR")
    for file in list(series.iterdir()):
        file.rename(series / f"1.2.840.{file.stem}")
    assert [case.image for case in scan_folder(tmp_path).cases] == [series]


def test_one_patient_id_for_all_is_no_identity(tmp_path):
    for name in ("p1", "p2"):
        dicom(tmp_path / name / "series", patient="anonymous", modality="CT")
    dataset = scan_folder(tmp_path)
    assert dataset.patients == ("p1", "p2")
    assert any("anonymous" in problem and "folders" in problem for problem in dataset.problems)


def test_dicom_scans_find_their_label_maps(tmp_path):
    dicom(tmp_path / "images" / "c1", patient="A", modality="CT")
    dicom(tmp_path / "images" / "c2", patient="B", modality="CT")
    folder(tmp_path, "labels/c1.nii.gz", "labels/c2.seg.nrrd")
    assert pairs(scan_folder(tmp_path)) == {"c1": ("images/c1", "labels/c1.nii.gz"),
                                            "c2": ("images/c2", "labels/c2.seg.nrrd")}
    inside = tmp_path / "other"
    dicom(inside / "c1", patient="A", modality="CT")
    dicom(inside / "c2" / "dicom", patient="B", modality="CT")
    folder(inside, "c1/label.nii.gz", "c2/label.nii.gz")
    assert pairs(scan_folder(inside)) == {"c1": ("c1", "c1/label.nii.gz"),
                                          "c2": ("c2/dicom", "c2/label.nii.gz")}


def test_dicom_that_is_no_scan_is_left_out_with_words(tmp_path):
    dicom(tmp_path / "p1" / "ct", patient="A", modality="CT")
    dicom(tmp_path / "p1" / "dose", patient="A", modality="RTDOSE")
    (tmp_path / "p1" / "structures").mkdir()
    (tmp_path / "p1" / "structures" / "rt.dcm").write_bytes(bytes(128) + b"DICM")
    dataset = scan_folder(tmp_path)
    assert [case.image.name for case in dataset.cases] == ["ct"]
    assert any("p1/dose" in problem and "p1/structures" in problem for problem in dataset.problems)


# ---------------------------------------------------------------- patients


@pytest.mark.parametrize(("name", "patient"), [
    ("patient001_frame01", "patient001"), ("patient001_frame12", "patient001"), ("sub-01_ses-2", "sub-01"),
    ("sub-01_ses-2_run-1_T1w", "sub-01"), ("train_pt_31", "train_pt_31"), ("liver_7_left", "liver_7"),
    ("case_03_ED", "case_03"), ("case_03_ES", "case_03"), ("A0S9V9_sa", "A0S9V9"),
    ("hippocampus_001", "hippocampus_001"), ("t1", "t1"),
    ("BraTS-GLI-00012-001-t1n", "BraTS-GLI-00012"), ("BraTS20_Training_001_flair", "BraTS20_Training_001"),
    ("mr_12_2021-03-04", "mr_12"), ("scan_20210304", "scan_20210304"), ("amos_0001", "amos_0001"),
    ("P7_baseline_T2", "P7"), ("P7_followup", "P7"), ("Case00", "Case00"), ("ct_train_1001", "ct_train_1001"),
])
def test_patient_of_a_name(name, patient):
    assert patient_of(name) == patient


@pytest.mark.parametrize("files", [  # pairs of scans of one patient
    ("patient1_ED.nii.gz", "patient1_ES.nii.gz"), ("imagesTr/p_1_ED.nii.gz", "imagesTs/p_1_ES.nii.gz"),
    ("train/7_pre.nii.gz", "test/7_post.nii.gz"), ("train/7.nii.gz", "test/7.nii.gz"),
    ("case_1/first.nii.gz", "case_1/second.nii.gz"), ("0012/v1/t1.nii.gz", "0012/v2/t1.nii.gz"),
    ("anna/a.nii.gz", "anna/b.nii.gz", "bob/a.nii.gz", "bob/b.nii.gz", "cleo/a.nii.gz", "cleo/b.nii.gz"),
    ("CT/7.nii.gz", "MR/7.nii.gz"), ("sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz", "sub-1/sub-1_T2w.nii.gz"),
])
def test_scans_of_one_patient_stay_together(tmp_path, files):
    dataset = scan_folder(folder(tmp_path, *files))
    assert len(dataset.every) == len(files)
    patients = {case.image.relative_to(tmp_path).as_posix(): case.patient for case in dataset.every}
    assert all(patients[one] == patients[other] for one, other in zip(files[::2], files[1::2], strict=True))
    assert len(set(patients.values())) == len(files) // 2


def test_the_same_number_at_two_sites_is_two_patients(tmp_path):
    root = folder(tmp_path, "siteA/001_ED.nii.gz", "siteA/001_ES.nii.gz", "siteB/001_ED.nii.gz")
    dataset = scan_folder(root)
    assert sorted((case.name, case.patient) for case in dataset.cases) == [
        ("001_ES", "siteA_001"), ("siteA_001_ED", "siteA_001"), ("siteB_001_ED", "siteB_001")]
