"""Scans in: geometry to the last digit, and every refusal says what to do."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scan_files import nifti, save, scan

from kaf.imaging.volume import Volume, guess_modality, read_volume
from kaf.runtime.errors import InputError


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".img"])
def test_voxels_and_places_agree_with_itk(tmp_path, suffix):
    voxels = scan()
    path = save(tmp_path / f"a{suffix}", voxels, (0.5, 0.7, 3.0), [[0, -1, 0], [1, 0, 0], [0, 0, -1]])
    image = SimpleITK.ReadImage(str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.voxels.dtype == np.int16
    assert volume.shape == (5, 7, 9)
    assert volume.spacing == pytest.approx((0.5, 0.7, 3.0))
    assert volume.source == str(path)
    assert volume.warnings == ()
    for index in ((0, 0, 0), (8, 0, 0), (3, 6, 4)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(index)
        expected = (-left, -posterior, superior, 1)
        np.testing.assert_allclose(volume.affine @ (*index, 1), expected, atol=1e-12)


def test_dtypes_are_kept_but_float64(tmp_path):
    for dtype in (np.uint8, np.int8, np.uint16, np.int32, np.float32):
        assert read_volume(save(tmp_path / "a.nrrd", scan(dtype=dtype))).voxels.dtype == dtype
    assert read_volume(save(tmp_path / "a.nrrd", scan(dtype=np.float64))).voxels.dtype == np.float32


def test_flat_image_is_one_slice(tmp_path):
    flat = scan((7, 9))
    volume = read_volume(save(tmp_path / "a.nrrd", flat, (0.5, 0.8)))
    np.testing.assert_array_equal(volume.voxels, flat[None])
    assert volume.spacing == pytest.approx((0.5, 0.8, 1.0))


def test_frames_of_a_4d_file(tmp_path):
    voxels = scan((3, 5, 7, 9))
    frames = [SimpleITK.GetImageFromArray(frame) for frame in voxels]
    SimpleITK.WriteImage(SimpleITK.JoinSeries(frames), str(tmp_path / "a.nii.gz"))
    with pytest.raises(InputError, match=r"4-D with 3 frames\. .*--frame.*0 to 2"):
        read_volume(tmp_path / "a.nii.gz")
    for frame in range(3):
        np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", frame=frame).voxels, voxels[frame])
    for frame in (3, -1):
        with pytest.raises(InputError, match=f"no frame {frame}.* 0 to 2"):
            read_volume(tmp_path / "a.nii.gz", frame=frame)
    SimpleITK.WriteImage(SimpleITK.JoinSeries(frames[:1]), str(tmp_path / "one.nii"))
    np.testing.assert_array_equal(read_volume(tmp_path / "one.nii").voxels, voxels[0])
    with pytest.raises(InputError, match="no frame 1"):
        read_volume(save(tmp_path / "b.nrrd", voxels[0]), frame=1)


def test_not_finite_voxels_become_the_smallest_with_a_warning(tmp_path):
    voxels = scan(dtype=np.float32) + 5
    voxels[0, 0, 0], voxels[1, 1, 1], voxels[2, 2, 2] = np.nan, np.inf, -np.inf
    volume = read_volume(save(tmp_path / "a.nrrd", voxels))
    assert volume.voxels[0, 0, 0] == volume.voxels[1, 1, 1] == volume.voxels[2, 2, 2] == 5
    assert np.isfinite(volume.voxels).all()
    assert len(volume.warnings) == 1
    assert "3 voxels" in volume.warnings[0]
    for name in ("b.nrrd", "b.nii", "b.nii.gz"):
        with pytest.raises(InputError, match="no finite voxel"):
            read_volume(save(tmp_path / name, np.full((3, 4, 5), np.nan, np.float32)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_not_finite_voxels_of_a_nifti_are_counted(tmp_path, dtype):
    voxels = scan((40, 100, 100), dtype)
    voxels[:, 3, 5], voxels[39, 99, 99] = np.nan, np.inf
    volume = read_volume(save(tmp_path / "a.nii.gz", voxels))
    assert "41 voxels" in volume.warnings[0]
    np.testing.assert_array_equal(volume.voxels, np.where(np.isfinite(voxels), voxels, 0))


def test_constant_image_is_allowed_with_a_warning(tmp_path):
    volume = read_volume(save(tmp_path / "a.mha", np.full((3, 4, 5), 7, np.int16)))
    assert volume.warnings == ("every voxel has the same value (7).",)


@pytest.mark.parametrize(
    ("voxels", "vector", "words"),
    [
        (np.zeros((3, 4, 5, 3), np.uint8), True, "3 numbers per voxel"),
        (np.zeros((3, 4, 5), np.complex64), False, "complex numbers.*magnitude"),
    ],
)
def test_not_one_number_per_voxel(tmp_path, voxels, vector, words):
    with pytest.raises(InputError, match=words):
        read_volume(save(tmp_path / "a.nrrd", voxels, vector=vector))


def test_missing_empty_and_foreign_files(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere\.nii: does not exist"):
        read_volume(tmp_path / "nowhere.nii")
    (tmp_path / "a.nrrd").touch()
    with pytest.raises(InputError, match="is an empty file"):
        read_volume(tmp_path / "a.nrrd")
    for name in ("a.txt", "a.nii", "a.nrrd", "a.nii.gz"):
        (tmp_path / name).write_text("this is no image, however long one looks at it" * 20)
        with pytest.raises(InputError):
            read_volume(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(InputError, match=r"zip archive.*Unpack"):
        read_volume(tmp_path / "a.zip")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(InputError, match=r"cannot be read.*permissions"):
        read_volume(tmp_path / "a.txt")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_file_cut_short(tmp_path, suffix, share):
    path = save(tmp_path / f"a{suffix}", scan((12, 30, 30)))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=f"a{suffix}: .*(cut short|no image).*"):
        read_volume(path)


def test_one_wrong_byte_in_a_compressed_file(tmp_path):
    path = save(tmp_path / "a.nii.gz", scan((12, 30, 30)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_volume(path)


def test_nifti_from_bytes_is_read_as_the_standard_says(tmp_path):
    sform = [[0, -2, 0, 10], [-1, 0, 0, 20], [0, 0, 3, 30]]
    volume = read_volume(nifti(tmp_path / "a.nii", sform=sform))
    np.testing.assert_allclose(volume.affine[:3], sform, atol=1e-6)
    np.testing.assert_array_equal(volume.voxels, scan((5, 7, 9)))
    assert volume.warnings == ()


@pytest.mark.parametrize("pixdim", [(1.0, 0.0, 3.0), (1.0, -2.0, 3.0), (1.0, 2.0, float("nan"))])
def test_voxel_size_that_itk_would_mend_silently(tmp_path, pixdim):
    with pytest.raises(InputError, match=r"its header gives voxels of 1 x .* mm.*Volumes module"):
        read_volume(nifti(tmp_path / "a.nii", pixdim, sform=np.diag([1.0, 2.0, 3.0, 1.0])[:3]))


def test_sheared_nifti_says_the_angle(tmp_path):
    sform = [[1, 2 * np.cos(np.radians(80)), 0, 0], [0, 2 * np.sin(np.radians(80)), 0, 0], [0, 0, 3, 0]]
    with pytest.raises(InputError, match=r"sheared: .* 80\.00 degrees.*[Rr]esample"):
        read_volume(nifti(tmp_path / "a.nii", sform=sform))
    volume = read_volume(nifti(tmp_path / "b.nii", sform=sform, qform_code=1))
    assert len(volume.warnings) == 1
    assert "contradicts itself" in volume.warnings[0]


@pytest.mark.parametrize("corner", [0.0, float("nan")])
def test_broken_sform(tmp_path, corner):
    with pytest.raises(InputError, match="sform matrix holds a zero axis or is not finite"):
        read_volume(nifti(tmp_path / "a.nii", sform=[[corner, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0]]))


def test_nifti_without_orientation_is_read_with_a_warning(tmp_path):
    volume = read_volume(nifti(tmp_path / "a.nii", sform_code=0))
    assert volume.spacing == pytest.approx((1, 2, 3))
    assert "no orientation" in volume.warnings[0]


def test_nifti_of_no_size(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        read_volume(nifti(tmp_path / "a.nii", dims=(9, 0, 5)))


def nrrd(path: Path, directions: str, sizes="9 7 5") -> Path:
    count = int(np.prod([int(n) for n in sizes.split()]))
    voxels = (bytes(range(250)) * (count // 250 + 1))[:count]
    path.write_bytes(
        f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: {directions}\nkinds: domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\n\n".encode() + voxels
    )
    return path


@pytest.mark.parametrize(
    ("directions", "words"),
    [
        ("(1,0,0) (0.2,2,0) (0,0,3)", r"sheared: .* 84\.29 degrees"),
        ("(1,0,0) (0,0,0) (0,0,3)", "voxels measure 1 x 0 x 3 mm"),
        ("(1,0,0) (0,1,0) (2,0,0)", r"sheared: .* 0\.00 degrees"),
    ],
)
def test_nrrd_geometry_that_is_no_grid(tmp_path, directions, words):
    with pytest.raises(InputError, match=words):
        read_volume(nrrd(tmp_path / "a.nrrd", directions))


def test_rounding_and_left_handed_axes_are_no_shear(tmp_path):
    volume = read_volume(nrrd(tmp_path / "a.nrrd", "(1,0.0004,0) (0,-2,0) (0,0,3)"))
    np.testing.assert_allclose(np.diag(volume.affine), (-1, 2, 3, 1))
    assert np.linalg.det(volume.affine) < 0


def test_modality_of_made_up_scans():
    rng = np.random.default_rng(3)
    shape = (8, 40, 40)
    body = np.zeros(shape, bool)
    body[:, 8:32, 8:32] = True
    hounsfield = np.where(body, rng.normal(40, 30, shape), rng.normal(-1000, 10, shape)).round()

    def guess(voxels):
        return guess_modality(Volume(voxels, np.eye(4)))

    assert guess(hounsfield.astype(np.int16)) == "CT"
    assert guess(np.where(np.indices(shape)[1] < 4, -3024, hounsfield).astype(np.int16)) == "CT"
    assert guess((hounsfield + 1024).clip(0).astype(np.int16)) == "unknown"
    magnitude = np.abs(np.where(body, rng.normal(400, 80, shape), rng.normal(0, 12, shape)))
    assert guess(magnitude.astype(np.int16)) == "MR"
    assert guess(magnitude.astype(np.float32)) == "MR"
    assert guess(((magnitude - magnitude.mean()) / magnitude.std()).astype(np.float32)) == "unknown"
    assert guess((magnitude / 4).clip(0, 255).astype(np.uint8)) == "unknown"
    assert guess(rng.integers(-4096, 4096, shape).astype(np.int16)) == "unknown"
    assert guess(np.zeros(shape, np.int16)) == "unknown"
    assert guess_modality(Volume(hounsfield, np.eye(4), modality="PT")) == "unknown"


@pytest.mark.data
def test_no_real_scan_is_taken_for_the_other_kind(shared_data):
    for folder, kind in (("acdc", "MR"), ("msd_hippocampus/images", "MR"), ("openkbp_ct", "CT")):
        files = sorted((shared_data / folder).rglob("*.nii.gz"))
        scans = [path for path in files if "_gt" not in path.name][::8]
        assert len(scans) > 8
        guesses = [guess_modality(read_volume(path)) for path in scans]
        assert set(guesses) <= {kind, "unknown"}
        assert guesses.count(kind) > 0.6 * len(guesses)


@pytest.mark.data
def test_real_4d_oblique_file(shared_data):
    path = shared_data / "single_volumes/nifti_misc/nibabel_example4d_oblique.nii.gz"
    with pytest.raises(InputError, match="2 frames"):
        read_volume(path)
    volume = read_volume(path, frame=1)
    with gzip.open(path) as file:
        raw = file.read()
    sform = np.reshape(struct.unpack("<12f", raw[280:328]), (3, 4))
    np.testing.assert_allclose(volume.affine[:3], sform, atol=1e-3)
    assert volume.shape == (24, 96, 128)
