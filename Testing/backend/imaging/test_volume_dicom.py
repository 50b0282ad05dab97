"""DICOM folders: one even stack of slices, or the reason why it is none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from scan_files import scan

from kaf.imaging.dicom import stack_geometry
from kaf.imaging.volume import guess_modality, read_volume
from kaf.runtime.errors import InputError

AXIAL, SAGITTAL = "1\\0\\0\\0\\1\\0", "0\\1\\0\\0\\0\\-1"


def dicom(folder: Path, positions, orientation=AXIAL, uid="1.2.3", title="T1", names=None, more=lambda n: {}
          ) -> np.ndarray:
    """One file per position (LPS strings); slice n holds scan()[n], and has ``more(n)`` in its header."""
    folder.mkdir(exist_ok=True)
    voxels = scan((len(positions), 7, 9))
    orientations = [orientation] * len(positions) if isinstance(orientation, str) else orientation
    for n, (position, axes) in enumerate(zip(positions, orientations, strict=True)):
        image = SimpleITK.GetImageFromArray(voxels[n : n + 1])
        image.SetSpacing((0.5, 0.8, 1.0))
        tags = {
            "0008|0060": "MR", "0008|103e": title, "0020|000e": uid, "0020|000d": "1.2", "0020|0013": str(n),
            "0008|0018": f"{uid}.{n}", "0020|0032": position, "0020|0037": axes, **more(n),
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{uid}-{names[n] if names else n}.dcm"))
        writer.Execute(image)
    return voxels


def along_z(heights) -> list[str]:
    return [f"-10\\-20\\{height}" for height in heights]


def test_series_is_sorted_by_position_not_by_name(tmp_path):
    voxels = dicom(tmp_path, along_z((30, 33, 36, 39)), names=[2, 0, 3, 1])
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels, voxels)
    expected = [[-0.5, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    assert volume.modality == "MR"
    assert guess_modality(volume) == "MR"


def test_sagittal_series(tmp_path):
    voxels = dicom(tmp_path, [f"{x}\\-20\\30" for x in (5, 3, 1)], SAGITTAL)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels, voxels)  # the normal of these slices runs to the right
    expected = [[0, 0, 2, -5], [-0.5, 0, 0, 20], [0, -0.8, 0, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected)


@pytest.mark.parametrize(
    ("positions", "orientation", "words"),
    [
        (along_z((0, 5, 10, 20)), AXIAL, r"unevenly spaced \(5\.00 to 10\.00 mm\).*resample"),
        (along_z((0, 5, 5, 10)), AXIAL, "1 pairs of slices share a position"),
        ([f"-10\\{-20 + 2 * n}\\{5 * n}" for n in range(4)], AXIAL, r"tilted by 21\.8 degrees.*6\.0 mm"),
        (along_z((0, 5, 10)), [AXIAL, AXIAL, SAGITTAL], r"not parallel.* 90\.0 degrees"),
    ],
    ids=["uneven", "shared", "tilted", "turned"],
)
def test_slices_that_form_no_stack(tmp_path, positions, orientation, words):
    dicom(tmp_path / "s", positions, orientation)
    with pytest.raises(InputError, match=words) as caught:
        read_volume(tmp_path / "s")
    assert caught.value.subject == str(tmp_path / "s")


@pytest.mark.parametrize("axes", [(1, 0, 0, 0.1, 0.99, 0), (1, 0, 0, 0, 2, 0), (0, 0, 0, 0, 0, 0)])
def test_rows_and_columns_must_be_at_right_angles(tmp_path, axes):
    positions = np.array([[0.0, 0, 0], [0, 0, 3]])
    with pytest.raises(InputError, match="not at right angles"):
        stack_geometry(tmp_path, positions, np.array([axes, axes], float), (1.0, 1.0))


def test_missing_slice_in_a_long_series_is_noticed_near_its_end(tmp_path):
    heights = [float(n) for n in range(60) if n != 58]
    dicom(tmp_path, along_z(heights))
    with pytest.raises(InputError, match=r"unevenly spaced \(1\.00 to 2\.00 mm\)"):
        read_volume(tmp_path)


def test_rounded_positions_are_even_enough(tmp_path):
    dicom(tmp_path, along_z((0, 0.67, 1.33, 2.0)))
    assert read_volume(tmp_path).spacing == pytest.approx((0.5, 0.8, 2 / 3))


def test_several_series_in_a_folder(tmp_path):
    first = dicom(tmp_path, along_z((0, 2, 4)), uid="1.2.3", title="T1", more=lambda n: {"0020|0011": "3"})
    second = dicom(tmp_path, along_z((0, 5)), uid="1.2.4", title="T2 star", more=lambda n: {"0020|0011": "12"})
    with pytest.raises(InputError, match=r"2 DICOM series: 1\.2\.3 \(number 3, T1, 3 files\); .*star, 2 files"):
        read_volume(tmp_path)
    for series in ("1.2.3", "3", "t1"):
        np.testing.assert_array_equal(read_volume(tmp_path, series=series).voxels, first)
    for series in ("1.2.4", "12", "T2 star"):
        np.testing.assert_array_equal(read_volume(tmp_path, series=series).voxels, second)
    with pytest.raises(InputError, match=r"no series 'T3'.*1\.2\.3"):
        read_volume(tmp_path, series="T3")
    with pytest.raises(InputError, match="Leave `series` out"):
        read_volume(tmp_path / "1.2.3-0.dcm", series="1.2.3")


def test_two_series_of_one_name_ask_for_the_uid(tmp_path):
    for uid in ("1.2.3", "1.2.4"):
        dicom(tmp_path, along_z((0, 2, 4)), uid=uid, title="cine")
    dicom(tmp_path, along_z((0, 2, 4)), uid="1.2.5", title="scout")
    with pytest.raises(InputError, match=r"holds 2 DICOM series that are called 'cine': 1\.2\.3 .* 1\.2\.4 ") as caught:
        read_volume(tmp_path, series="cine")
    assert "scout" not in str(caught.value)
    assert "--series" in caught.value.remedy


def test_phases_of_a_series_of_single_images_ask_for_one(tmp_path):
    """A cine: each of three slices at four times, a little later in every slice."""
    places = [(z, n) for n in (2, 0, 3, 1) for z in (6, 0, 3)]
    voxels = dicom(tmp_path, along_z([z for z, _ in places]),
                   more=lambda k: {"0018|1060": f"{40.5 * places[k][1] + 0.5 * places[k][0]}"})
    words = r"4 volumes in one series: 0: trigger time 0 to 3 ms \(3 slices\); 1: trigger time 40\.5 to 43\.5 ms"
    with pytest.raises(InputError, match=words + r".*Choose one with `frame` \(`--frame`\), 0 to 3"):
        read_volume(tmp_path)
    for phase in range(4):
        volume = read_volume(tmp_path, frame=phase)
        order = [places.index((z, phase)) for z in (0, 3, 6)]
        np.testing.assert_array_equal(volume.voxels, voxels[order])
        assert volume.spacing[2] == pytest.approx(3)
    with pytest.raises(InputError, match="no frame 4"):
        read_volume(tmp_path, frame=4)


def test_times_that_differ_from_slice_to_slice_are_no_phases(tmp_path):
    voxels = dicom(tmp_path, along_z((0, 3, 6)), more=lambda n: {
        "0018|1060": str(10 * n), "0018|0081": str(2 + n), "0020|0100": str(n + 1), "0008|0032": f"10200{n}.5"})
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, voxels)
    with pytest.raises(InputError, match="no frame 1"):
        read_volume(tmp_path, frame=1)
    with pytest.raises(InputError, match="no frame 1"):
        read_volume(tmp_path / "1.2.3-0.dcm", frame=1)


def test_slices_with_scales_of_their_own(tmp_path):
    """The first slice is of whole numbers, and would make all others so."""
    voxels = dicom(tmp_path, along_z((0, 3, 6)))
    for n, slope in enumerate((1, 1.25, 1.5)):
        header = pydicom.dcmread(tmp_path / f"1.2.3-{n}.dcm")
        header.RescaleSlope, header.RescaleIntercept = slope, 0
        header.save_as(tmp_path / f"1.2.3-{n}.dcm")
    np.testing.assert_allclose(read_volume(tmp_path).voxels, voxels * np.reshape((1, 1.25, 1.5), (3, 1, 1)))


def test_slices_that_do_not_say_how_large_their_pixels_are(tmp_path):
    dicom(tmp_path, along_z((0, 3, 6)))
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        del header.PixelSpacing
        header.save_as(file)
    with pytest.raises(InputError, match="does not say how large its pixels are"):
        read_volume(tmp_path)
    assert "does not say how large" in " ".join(read_volume(file).warnings)


def test_slices_of_different_pixels(tmp_path):
    dicom(tmp_path, along_z((0, 2)))
    image = SimpleITK.ReadImage(str(tmp_path / "1.2.3-1.dcm"))
    cases = (((7, 9), (0.5, 0.9), r"9 x 7 of 0\.5 x 0\.9 mm"), ((7, 8), (0.5, 0.8), "8 x 7 of"))
    for size, spacing, words in cases:
        other = SimpleITK.GetImageFromArray(scan((1, *size)))
        other.SetSpacing((*spacing, 1))
        for key in image.GetMetaDataKeys():
            if key[:4] in ("0008", "0020"):
                other.SetMetaData(key, image.GetMetaData(key))
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / "1.2.3-1.dcm"))
        writer.Execute(other)
        with pytest.raises(InputError, match=words):
            read_volume(tmp_path)


def test_single_slices(tmp_path):
    voxels = dicom(tmp_path, along_z((7,)))
    for path, words in ((tmp_path, "has one slice"), (tmp_path / "1.2.3-0.dcm", "give the folder")):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.voxels, voxels)
        np.testing.assert_allclose(volume.affine[:3, 3], (10, 20, 7))
        assert words in volume.warnings[0]


def test_folders_without_an_image(tmp_path):
    with pytest.raises(InputError, match=r"no DICOM image.*Give a folder"):
        read_volume(tmp_path)
    (tmp_path / "series").mkdir()
    with pytest.raises(InputError, match=r"for instance .*series"):
        read_volume(tmp_path)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(scan((5, 7, 9))), str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match=r"Give one file, for instance a\.nrrd"):
        read_volume(tmp_path)


@pytest.mark.parametrize("lost", [1, 60, 140, 400, 830])
def test_file_of_a_series_cut_short(tmp_path, lost):
    """GDCM alone would leave the slice out, read the two others and say nothing."""
    dicom(tmp_path, along_z((0, 2, 4)))
    damaged = tmp_path / "1.2.3-1.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-lost])
    for path in (tmp_path, damaged):
        with pytest.raises(InputError, match=r"cut short|damaged"):
            read_volume(path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("gantrytilting", r"tilted by 14\.0 degrees"),
        ("sliceincrement", r"5\.00 to 10\.00 mm"),
        ("sliceorientation", "not parallel"),
    ],
)
def test_real_series_that_form_no_stack(shared_data, folder, words):
    with pytest.raises(InputError, match=words):
        read_volume(shared_data / "single_volumes/dicom_d2n/failing" / folder / "001")


@pytest.mark.data
def test_two_compressions_of_a_series_hold_the_same_voxels(shared_data):
    generic = shared_data / "single_volumes/dicom_d2n/generic"
    plain, jpeg, rle = (read_volume(generic / kind / "001")
                        for kind in ("anatomical", "compressed_jpegls", "compressed_rle"))
    assert plain.shape == jpeg.shape == (4, 256, 256)
    np.testing.assert_array_equal(jpeg.voxels, rle.voxels)
    np.testing.assert_allclose(jpeg.affine, plain.affine)
    np.testing.assert_allclose(rle.affine, plain.affine)


@pytest.mark.data
def test_real_zipped_series(shared_data, tmp_path):
    for name in ("dicom_small_CT_series", "dicom_hippocampus_crops_udacity"):
        with zipfile.ZipFile(shared_data / f"single_volumes/{name}.zip") as archive:
            archive.extractall(tmp_path / name)
    series = {path.parent for path in tmp_path.rglob("*.dcm")}
    volumes = [read_volume(folder) for folder in sorted(series)]
    shapes = sorted(volume.shape for volume in volumes)
    assert shapes == [(17, 128, 88), (32, 51, 35), (35, 48, 36), (40, 50, 34)]
    assert [volume.modality for volume in volumes].count("CT") == 1
    assert {volume.warnings for volume in volumes} == {()}


@pytest.mark.data
def test_series_beside_structure_sets(shared_data):
    folder = shared_data / "single_volumes/dicom_rtstruct"
    assert read_volume(folder).shape == (2, 512, 512)
    with pytest.raises(InputError, match="no image"):
        read_volume(folder / "rt.dcm")
