"""NIfTI headers that ITK reads its own way: every one is read as the standard says, refused, or told about."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scan_files import nifti, save, scan

from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError

GREY = scan((5, 7, 9))
TURNED = [[0, -2, 0, 10], [-1, 0, 0, 20], [0, 0, 3, 30]]


def put(kind: str, at: int, *values):
    """A change of a header: these values at this byte."""
    return lambda header: struct.pack_into(f"<{kind}", header, at, *values)


@pytest.mark.parametrize("offset", [0.0, 100.0, 348.0, -5.0, float("nan"), 352.5])
def test_voxels_that_begin_within_the_header(tmp_path, offset):
    """ITK takes the last bytes of the header for the first voxels, and so moves all others."""
    with pytest.raises(InputError, match="voxels begin at byte"):
        read_volume(nifti(tmp_path / "a.nii", change=put("f", 108, offset)))


def test_voxels_that_begin_beyond_the_end(tmp_path):
    with pytest.raises(InputError, match="cut short"):
        read_volume(nifti(tmp_path / "a.nii", change=put("f", 108, 1e9)))


BLOCK = struct.pack("<ii", 32, 6) + b"a comment".ljust(24, b"\0")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_extension_block(tmp_path, suffix):
    def extended(offset):
        return lambda header: (put("f", 108, offset)(header), put("b", 348, 1)(header))

    path = nifti(tmp_path / f"a{suffix}", data=BLOCK + GREY.tobytes(), change=extended(384.0))
    np.testing.assert_array_equal(read_volume(path).voxels, GREY)
    path = nifti(tmp_path / f"b{suffix}", data=BLOCK + GREY.tobytes(), change=extended(352.0))
    with pytest.raises(InputError, match="32 bytes more are there"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_numbers_that_are_not_finite_are_counted_wherever_they_begin(tmp_path, suffix):
    """More than a piece of what is unpacked at a time, at a place that is no multiple of 8."""
    voxels = np.random.default_rng(2).normal(size=(20, 130, 130))
    voxels[:, 5, 7] = np.nan

    def change(header):
        put("2h", 70, 64, 64)(header)
        put("f", 108, 372.0)(header)

    path = nifti(tmp_path / f"a{suffix}", dims=(130, 130, 20), data=bytes(20) + voxels.tobytes(), change=change)
    assert "20 voxels are NaN" in read_volume(path).warnings[0]


@pytest.mark.parametrize("count", [0, -3, 8, 200])
def test_impossible_number_of_dimensions(tmp_path, count):
    with pytest.raises(InputError, match=f"its header promises {count} dimensions"):
        read_volume(nifti(tmp_path / "a.nii", change=put("h", 40, count)))


@pytest.mark.parametrize("dims", [(9, 0, 5), (9, -7, 5), (-9, 7, 5)])
def test_sizes_that_itk_would_take_for_1(tmp_path, dims):
    with pytest.raises(InputError, match="is empty: its size is"):
        read_volume(nifti(tmp_path / "a.nii", data=GREY.tobytes(), change=put("3h", 42, *dims)))


@pytest.mark.parametrize(("dims", "words"), [
    ((9, 7, 5, 1, 1, 2), "has 6 dimensions"), ((9, 7, 5, 2, 3), "5 dimensions"), ((315,), r"has 1 dimension\."),
])
def test_numbers_of_dimensions_that_are_no_volume(tmp_path, dims, words):
    with pytest.raises(InputError, match=words):
        read_volume(nifti(tmp_path / "a.nii", (1.0,) * min(3, len(dims)), np.eye(4)[:3], dims=dims))


def test_axes_of_length_1_beyond_the_third_do_not_count(tmp_path):
    for dims in ((9, 7, 5, 1), (9, 7, 5, 1, 1), (9, 7, 5, 1, 1, 1, 1)):
        np.testing.assert_array_equal(read_volume(nifti(tmp_path / "a.nii", dims=dims)).voxels, GREY)


def test_volumes_beyond_what_the_header_counts(tmp_path):
    """dim[0] says 3, and three volumes are there: the first one alone is not what was meant."""
    with pytest.raises(InputError, match="contradicts itself"):
        read_volume(nifti(tmp_path / "a.nii", data=GREY.tobytes() * 3))


@pytest.mark.parametrize(("kind", "words"), [
    (1, "single bits"), (1536, "128 bits"), (2048, "256 bits"), (0, r"unknown type \(0\)"),
    (99, r"unknown type \(99\)"),
    (128, "3 numbers per voxel"), (2304, "4 numbers per voxel"), (32, "complex"), (1792, "complex"),
])
def test_kinds_of_numbers_that_are_no_grey_value(tmp_path, kind, words):
    bits = {1: 1, 128: 24, 2304: 32, 32: 64, 1792: 128}.get(kind, 16)
    path = nifti(tmp_path / "a.nii", data=bytes(315 * bits // 8 + 1), change=put("2h", 70, kind, bits))
    with pytest.raises(InputError, match=words):
        read_volume(path)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int8, np.uint32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_wide_numbers_and_either_byte_order(tmp_path, dtype, order):
    kind = {np.int64: 1024, np.uint64: 1280, np.int8: 256, np.uint32: 768, np.float64: 64}[dtype]
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, 9, 7, 5, 1, 1, 1, 1)
    struct.pack_into(f"{order}hh", header, 70, kind, 8 * np.dtype(dtype).itemsize)
    struct.pack_into(f"{order}8f", header, 76, 1, 1, 2, 3, 0, 0, 0, 0)
    struct.pack_into(f"{order}f", header, 108, 352)
    struct.pack_into(f"{order}hh", header, 252, 0, 1)
    struct.pack_into(f"{order}12f", header, 280, *np.ravel(TURNED))
    header[344:348] = b"n+1\0"
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(header) + GREY.astype(np.dtype(dtype).newbyteorder(order)).tobytes())
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, GREY)
    np.testing.assert_allclose(volume.affine[:3], TURNED, atol=1e-6)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        read_volume(path)


@pytest.mark.parametrize(("slope", "intercept", "words"), [
    (float("nan"), 0, "not finite"), (float("inf"), 0, "not finite"), (1, float("nan"), "not finite"),
    (0, 5, "not scaled, and gives an offset of 5"), (0, 0, ""), (1, 0, ""),
])
def test_scale_factors(tmp_path, slope, intercept, words):
    volume = read_volume(nifti(tmp_path / "a.nii", change=put("2f", 112, slope, intercept)))
    np.testing.assert_array_equal(volume.voxels, GREY + (5 if intercept == 5 else 0))
    assert len(volume.warnings) == bool(words)
    assert words in "".join(volume.warnings)


def test_a_scale_factor_is_applied(tmp_path):
    volume = read_volume(nifti(tmp_path / "a.nii", change=put("2f", 112, 0.5, -3)))
    np.testing.assert_array_equal(volume.voxels, GREY * np.float32(0.5) - 3)
    assert volume.warnings == ()


def qform(*numbers, sform_code=0):
    """(b, c, d, x, y, z) as the qform."""
    def change(header):
        put("2h", 252, 1, sform_code)(header)
        put("6f", 256, *numbers)(header)
    return change


@pytest.mark.parametrize(("numbers", "words"), [
    ((float("nan"), 0, 0, 5, 6, 7), "qform is not finite"), ((0, 0, 0, float("nan"), 6, 7), "qform is not finite"),
    ((1, 1, 1, 5, 6, 7), "qform is no turn"),
])
def test_a_qform_that_itk_would_replace_by_another(tmp_path, numbers, words):
    with pytest.raises(InputError, match=words):
        read_volume(nifti(tmp_path / "a.nii", change=qform(*numbers)))


def test_sform_and_qform_that_disagree_are_reported_whichever_was_taken(tmp_path):
    half = np.sqrt(0.5)
    agreeing = nifti(tmp_path / "a.nii", sform=[[0, -2, 0, 10], [1, 0, 0, 20], [0, 0, 3, 30]],
                     change=qform(0, 0, half, 10, 20, 30, sform_code=1))
    assert read_volume(agreeing).warnings == ()
    for code in (1, 2):
        volume = read_volume(nifti(tmp_path / "b.nii", sform=TURNED, change=qform(0, 0, 0, 5, 6, 7, sform_code=code)))
        assert len(volume.warnings) == 1
        assert "contradicts itself: its " in volume.warnings[0]
        assert ("its qform" in volume.warnings[0]) == np.allclose(volume.affine[:3], TURNED)


@pytest.mark.parametrize(("unit", "length", "name"), [(1, 1000, "metres"), (3, 0.001, "micrometres")])
def test_lengths_in_other_units(tmp_path, unit, length, name):
    volume = read_volume(nifti(tmp_path / "a.nii", sform=TURNED, change=put("b", 123, unit)))
    np.testing.assert_allclose(volume.affine[:3], np.array(TURNED) * length, rtol=1e-5)
    assert volume.warnings == (f"the header gives its lengths in {name}; they were converted to mm.",)


@pytest.mark.parametrize("magic", [b"\0\0\0\0", b"xxxx", b"n-1\0"])
def test_a_single_file_without_the_mark_of_one(tmp_path, magic):
    """ITK takes it for Analyze and its orientation for none."""
    def change(header):
        header[344:348] = magic

    with pytest.raises(InputError, match="not that of a single NIfTI file"):
        read_volume(nifti(tmp_path / "a.nii", sform=TURNED, change=change))


def test_broken_sform_is_refused_before_itk_complains_to_the_terminal(tmp_path, capfd):
    with pytest.raises(InputError, match="sform matrix"):
        read_volume(nifti(tmp_path / "a.nii", sform=np.full((3, 4), np.nan)))
    assert capfd.readouterr() == ("", "")


def test_pair_of_header_and_voxels(tmp_path):
    path = save(tmp_path / "a.img", GREY, (1.0, 2.0, 3.0))
    np.testing.assert_array_equal(read_volume(path).voxels, GREY)
    path.unlink()
    for given in ("a.hdr", "a.img"):
        with pytest.raises(InputError, match=r"a\.(img|hdr)"):
            read_volume(tmp_path / given)


def second(path: Path, **changes) -> Path:
    """A NIfTI-2 file from bytes."""
    header = bytearray(544)
    fields = {"size": ("i", 0, (540,)), "kind": ("hh", 12, (4, 16)), "dim": ("8q", 16, (3, 9, 7, 5, 1, 1, 1, 1)),
              "pixdim": ("8d", 104, (1, 1, 2, 3, 0, 0, 0, 0)), "offset": ("q", 168, (544,)),
              "codes": ("2i", 344, (0, 1)), "sform": ("12d", 400, tuple(np.ravel(TURNED))), "unit": ("i", 500, (2,))}
    for name, (kind, at, values) in fields.items():
        struct.pack_into(f"<{kind}", header, at, *changes.get(name, values))
    header[4:12] = b"n+2\0\r\n\032\n"
    path.write_bytes(bytes(header) + GREY.tobytes())
    return path


def test_nifti_2(tmp_path):
    path = second(tmp_path / "a.nii")
    if SimpleITK.ImageFileReader.GetImageIOFromFileName(str(path)):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.voxels, GREY)
        np.testing.assert_allclose(volume.affine[:3], TURNED)
    else:
        with pytest.raises(InputError, match=r"is a NIfTI-2 file.* Save it as NIfTI-1"):
            read_volume(path)
    for changes, words in (({"offset": (540,)}, "begin at byte 540"), ({"kind": (1536, 128)}, "128 bits"),
                           ({"dim": (3, 9, 0, 5, 1, 1, 1, 1)}, "is empty"), ({"dim": (9,) * 8}, "9 dimensions"),
                           ({"dim": (3, 1000, 1000, 1000, 1, 1, 1, 1)}, "cut short")):
        with pytest.raises(InputError, match=words):
            read_volume(second(tmp_path / "b.nii", **changes))


def test_itk_reads_what_was_written(tmp_path):
    """The files of these tests are sound where they should be."""
    image = SimpleITK.ReadImage(str(nifti(tmp_path / "a.nii", sform=TURNED)))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), GREY)
