"""DICOM structure sets: found beside their series, filled on its voxels, refused where they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from kaf.data.annotation import scan_labelled
from kaf.data.folder import scan_folder
from kaf.data.labels import read_case_labels
from kaf.imaging.rtstruct import masks_of, read_structures
from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError

SIZE, SPACING, APART = (24, 20), (1.5, 1.25), 3.0  # (columns, rows), mm between (columns, rows), slices
ORIGIN = (-10.0, 5.0, 40.0)
Contours = list[list[tuple[float, float, float]]]


def series(folder: Path, uid: str, slices: int = 4, patient: str = "anna") -> Path:
    """A CT series of upright slices."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(slices):
        image = SimpleITK.GetImageFromArray(np.full((1, *SIZE[::-1]), index, np.int16))
        image.SetSpacing((*SPACING, APART))
        image.SetOrigin((ORIGIN[0], ORIGIN[1], ORIGIN[2] + APART * index))
        for key, value in (("0008|0060", "CT"), ("0010|0020", patient), ("0020|000e", uid), ("0020|0013", str(index)),
                           ("0020|0032", "\\".join(f"{v:g}" for v in image.GetOrigin())),
                           ("0020|0037", "1\\0\\0\\0\\1\\0")):
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{index}.dcm"))
        writer.Execute(image)
    return folder


def rectangle(i: tuple[float, float], j: tuple[float, float], k: float) -> list[tuple[float, float, float]]:
    """A closed contour around columns i and rows j of slice k, in LPS mm; ends are voxel indices."""
    corners = [(i[0], j[0]), (i[1], j[0]), (i[1], j[1]), (i[0], j[1])]
    return [(ORIGIN[0] + x * SPACING[0], ORIGIN[1] + y * SPACING[1], ORIGIN[2] + k * APART) for x, y in corners]


def structure_set(path: Path, uid: str, structures: dict[str, Contours], kind: str = "CLOSED_PLANAR") -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientID, data.SeriesInstanceUID = "RTSTRUCT", "anna", generate_uid()
    of_series, of_study, of_frame = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = uid
    of_study.RTReferencedSeriesSequence = [of_series]
    of_frame.RTReferencedStudySequence = [of_study]
    data.ReferencedFrameOfReferenceSequence = [of_frame] if uid else []
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), 1):
        title, drawn = Dataset(), Dataset()
        title.ROINumber, title.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for contour in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(contour)
            item.ContourData = [f"{value:.6g}" for point in contour for value in point]
            drawn.ContourSequence.append(item)
        data.StructureSetROISequence.append(title)
        data.ROIContourSequence.append(drawn)
    data.save_as(path, enforce_file_format=True)
    return path


HOLLOW = [rectangle((2.5, 10.5), (3.5, 12.5), 1), rectangle((4.5, 7.5), (5.5, 9.5), 1),
          rectangle((2.5, 10.5), (3.5, 12.5), 2)]
SMALL = [rectangle((14.5, 18.5), (14.5, 17.5), 2)]


def test_contours_are_filled_and_contours_within_are_holes(tmp_path):
    uid = generate_uid()
    series(tmp_path / "p1" / "ct", uid)
    structure_set(tmp_path / "p1" / "ct" / "RS.dcm", uid, {"Lung": HOLLOW, "Node": SMALL, "Never drawn": []})
    dataset = scan_labelled(tmp_path)
    assert dataset.problems == ()
    assert dataset.layout == "DICOM series with DICOM structure sets (RTSTRUCT)"
    assert dataset.label_names == {1: "Lung", 2: "Node"}
    (case,) = dataset.labelled
    expected = np.zeros((4, 20, 24), np.uint8)
    expected[1:3, 4:13, 3:11] = 1
    expected[1, 6:10, 5:8] = 0
    expected[2, 15:18, 15:19] = 2
    labels = read_case_labels(case)
    assert np.array_equal(labels.voxels, expected)
    assert np.allclose(labels.affine, read_volume(case.image).affine)


def test_a_structure_set_in_a_folder_of_its_own_belongs_to_the_series_that_it_names(tmp_path):
    uids = [generate_uid(), generate_uid()]
    for number, uid in enumerate(uids):
        series(tmp_path / f"p{number}" / "ct", uid, patient=f"p{number}")
        (tmp_path / f"p{number}" / "struct").mkdir()
        structure_set(tmp_path / f"p{number}" / "struct" / "1-1.dcm", uid, {"lung" if number else "Lung": HOLLOW})
    dataset = scan_folder(tmp_path)
    assert dataset.problems == ()
    assert [(case.patient, case.label and case.label.parent.parent.name) for case in dataset.cases] == [
        ("p0", "p0"), ("p1", "p1")]
    assert [mask.value for case in dataset.cases for mask in case.masks] == [1, 1]


@pytest.mark.parametrize(("made", "words"), [
    (lambda folder, uid: structure_set(folder / "RS.dcm", generate_uid(), {"a": HOLLOW}),
     "1 structure set (RTSTRUCT) without the series that it was drawn on: ct/RS.dcm"),
    (lambda folder, uid: [structure_set(folder / f"RS{n}.dcm", uid, {"a": HOLLOW}) for n in (1, 2)],
     "1 scan with several structure sets (RTSTRUCT), none is used"),
    (lambda folder, uid: structure_set(folder / "RS.dcm", uid, {"a": []}),
     "1 structure set that cannot be used: ct/RS.dcm has no closed contour"),
    (lambda folder, uid: structure_set(folder / "RS.dcm", uid, {"a": HOLLOW}, "POINT"), "has no closed contour"),
    (lambda folder, uid: cut(structure_set(folder / "RS.dcm", uid, {"a": HOLLOW}), 900), "that cannot be used"),
])
def test_structure_sets_that_cannot_be_used_are_named(tmp_path, made, words):
    uid = generate_uid()
    made(series(tmp_path / "p1" / "ct", uid), uid)
    dataset = scan_folder(tmp_path)
    assert dataset.labelled == ()
    assert any(words in problem for problem in dataset.problems)


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize(("contour", "words"), [
    (rectangle((2.5, 8.5), (2.5, 8.5), 7), "1 of 1 contours of 'a' lie on no slice of the series"),
    (rectangle((2.5, 8.5), (2.5, 8.5), 1.5), "lie on no slice of the series"),
    ([*rectangle((2.5, 8.5), (2.5, 8.5), 1)[:3], *rectangle((2.5, 8.5), (2.5, 8.5), 3)[3:]],
     "do not lie in the plane of a slice"),
    (rectangle((2.5, 8.5), (2.5, 8.5), 1)[:2], "have fewer than three points"),
])
def test_contours_that_do_not_fit_the_series_are_refused(tmp_path, contour, words):
    uid = generate_uid()
    folder = series(tmp_path / "ct", uid)
    path = structure_set(tmp_path / "RS.dcm", uid, {"a": [contour]})
    with pytest.raises(InputError, match=words):
        list(masks_of(path, ["a"], read_volume(folder)))


def test_another_kind_of_file_is_no_structure_set(tmp_path):
    folder = series(tmp_path / "ct", generate_uid())
    with pytest.raises(InputError, match="is no structure set"):
        read_structures(folder / "0.dcm")
    (tmp_path / "text.dcm").write_text("1.2.840.10008.5.1.4.1.1.481.3")
    with pytest.raises(InputError, match="cannot be read"):
        read_structures(tmp_path / "text.dcm")


@pytest.mark.data
@pytest.mark.parametrize(("file", "problem"), [
    ("rt.dcm", ""), ("invalid_reference_rt.dcm", "lie on no slice of the series"),
    ("non_existent_reference_rt.dcm", "lie on no slice of the series")])
def test_real_structure_sets(tmp_path, shared_data, file, problem):
    for name in ("ct_1.dcm", "ct_2.dcm", file):
        (tmp_path / "p1").mkdir(exist_ok=True)
        shutil.copy(shared_data / "single_volumes" / "dicom_rtstruct" / name, tmp_path / "p1")
    (case,) = scan_labelled(tmp_path).labelled
    if problem:
        with pytest.raises(InputError, match=problem):
            read_case_labels(case)
    else:  # a square of 24 mm with an octagonal hole in it, in one of two slices
        labels = read_case_labels(case).voxels
        square = (24 / 0.488281) ** 2
        assert 0.4 * square < np.count_nonzero(labels[0]) < square
        assert not labels[1].any()
