"""Enhanced multi-frame DICOM: every frame in its own place, and one volume out of several only by choice."""

from __future__ import annotations

import struct
from itertools import permutations, product

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import AXIAL, SPACING, along, enhanced, place
from pydicom import uid
from scan_files import scan

from kaf.data.folder import scan_folder
from kaf.imaging.dicom_frames import Frame
from kaf.imaging.dicom_pixels import _scaled, read_voxels
from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError

UNITS = [np.eye(3)[axis] * sign for axis, sign in product(range(3), (1, -1))]
TURN = np.linalg.qr(np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 2]]))[0]
ORIENTATIONS = {
    f"{name}{a},{b}": (*(turn @ UNITS[a]), *(turn @ UNITS[b])) for name, turn in (("", np.eye(3)), ("oblique ", TURN))
    for a, b in permutations(range(6), 2) if a // 2 != b // 2
}
SHUFFLED = [2, 0, 4, 1, 3]
EVEN = along(AXIAL, (0, 3, 6, 9, 12))


def assert_in_place(volume, frames, voxels, orientation=AXIAL):
    """Every voxel of every frame is found where the frame says that it lies (LPS)."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    back = np.linalg.inv(volume.affine)
    for position, image in zip(frames, voxels, strict=True):
        for r, c in ((0, 0), (6, 8), (2, 5)):
            lps = np.array(position) + c * SPACING[1] * row + r * SPACING[0] * column
            i, j, k = (back @ (-lps[0], -lps[1], lps[2], 1))[:3]
            index = np.rint([k, j, i]).astype(int)
            np.testing.assert_allclose((k, j, i), index, atol=1e-4)
            assert volume.voxels[tuple(index)] == image[r, c]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_any_orientation_and_order_of_frames_is_right_to_the_voxel(tmp_path, name):
    orientation = ORIENTATIONS[name]
    positions = [along(orientation, (0, 3, 6, 9, 12))[n] for n in SHUFFLED]
    voxels = enhanced(tmp_path / "a.dcm", [place(position, orientation) for position in positions])
    for path in (tmp_path / "a.dcm", tmp_path):
        volume = read_volume(path)
        assert volume.voxels.dtype == voxels.dtype
        assert volume.spacing == pytest.approx((0.5, 0.8, 3.0), abs=1e-5)
        assert_in_place(volume, positions, voxels, orientation)
        assert volume.warnings == ()
        assert volume.modality == "MR"


KINDS = [uid.EnhancedMRImageStorage, uid.EnhancedCTImageStorage, uid.EnhancedPETImageStorage,
         uid.LegacyConvertedEnhancedMRImageStorage, uid.LegacyConvertedEnhancedCTImageStorage,
         uid.LegacyConvertedEnhancedPETImageStorage]
MEASURES = {"PixelMeasuresSequence": {"PixelSpacing": list(SPACING), "SliceThickness": 3}}
PLANE = {"PlaneOrientationSequence": {"ImageOrientationPatient": list(AXIAL)}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: uid.UID(kind).keyword)
def test_kinds_of_objects_and_groups_that_are_shared_or_of_each_frame(tmp_path, kind):
    for number, shared in enumerate(({}, MEASURES, PLANE, {**MEASURES, **PLANE})):
        own = {name: group for name, group in {**MEASURES, **PLANE}.items() if name not in shared}
        groups = [{**place(EVEN[n]), **own} for n in SHUFFLED]
        voxels = enhanced(tmp_path / f"{number}.dcm", groups, kind=kind, shared=shared)
        assert_in_place(read_volume(tmp_path / f"{number}.dcm"), [EVEN[n] for n in SHUFFLED], voxels)


def nowhere(n: int) -> dict:
    return {} if n == 3 else place(EVEN[n])


NO_STACK = {
    "missing": ([place(EVEN[n]) for n in (0, 1, 3, 4)], r"unevenly spaced \(3\.00 to 6\.00 mm\); some may be missing"),
    "duplicate": ([place(EVEN[n]) for n in (0, 1, 1, 2)], "1 pairs of slices share a position"),
    "tilted": ([place((2 * n, 0, 5 * n)) for n in range(4)], r"tilted by 21\.8 degrees"),
    "turned": ([place(EVEN[n], AXIAL if n else (0, 1, 0, 0, 0, -1)) for n in range(4)],
               r"not parallel.* 90\.0 degrees"),
    "pixels": ([{**place(EVEN[n]), "PixelMeasuresSequence": {"PixelSpacing": [1, 1 + (n == 2)]}} for n in range(4)],
               "differ in their pixels"),
    "nowhere": ([nowhere(n) for n in range(5)], r"frame 3 of its file a\.dcm does not say where it lies"),
    "no pixel size": ([{**place(EVEN[n], AXIAL), "PixelMeasuresSequence": {"SliceThickness": 3}} for n in range(5)],
                      r"does not say where it lies \(PixelSpacing\)"),
    "pixels of no size": ([{**place(EVEN[n]), "PixelMeasuresSequence": {"PixelSpacing": [0, 1]}} for n in range(5)],
                          "its pixels measure 1 x 0 mm"),
    "not at right angles": ([place(EVEN[n], (1, 0, 0, 0.1, 0.99, 0)) for n in range(5)], "not at right angles"),
}


@pytest.mark.parametrize("name", NO_STACK)
def test_frames_that_form_no_stack(tmp_path, name):
    groups, words = NO_STACK[name]
    enhanced(tmp_path / "a.dcm", groups, shared={} if name == "no pixel size" else None)
    for path in (tmp_path / "a.dcm", tmp_path):
        with pytest.raises(InputError, match=words) as caught:
            read_volume(path)
        assert caught.value.subject == str(path)


def test_missing_frame_in_a_long_object_is_noticed_near_its_end(tmp_path):
    heights = [float(n) for n in range(60) if n != 58]
    enhanced(tmp_path / "a.dcm", [place(position) for position in along(AXIAL, heights)])
    with pytest.raises(InputError, match=r"unevenly spaced \(1\.00 to 2\.00 mm\)"):
        read_volume(tmp_path)


def echo(milliseconds: float) -> dict:
    return {"MREchoSequence": {"EffectiveEchoTime": milliseconds}}


def moment(index: int) -> dict:
    return {"FrameContentSequence": {"TemporalPositionIndex": index}}


def stack(name: str) -> dict:
    return {"FrameContentSequence": {"StackID": name}}


def weighting(b: float, direction=None) -> dict:
    values: dict = {"DiffusionBValue": b}
    if direction:
        values["DiffusionGradientDirectionSequence"] = {"DiffusionGradientOrientation": direction}
    return {"MRDiffusionSequence": values}


def component(name: str) -> dict:
    return {"MRImageFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY", name, "NONE"],
                                         "ComplexImageComponent": name}}


def beat(n: int, slice_: int) -> dict:
    """Every slice has its own trigger times."""
    return {"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 33.0 * n + 1.5 * slice_}}


SEVERAL = {
    "phases": ([lambda n, m=m: moment(m) for m in (1, 2, 3)],
               "0: phase 1 (5 slices); 1: phase 2 (5 slices); 2: phase 3"),
    "echoes": ([lambda n, t=t: echo(t) for t in (4.6, 9.2)], "0: echo time 4.6 ms (5 slices); 1: echo time 9.2 ms"),
    "b-values": ([lambda n, b=b: weighting(b) for b in (0.0, 50.0, 1000.0)],
                 "0: b-value 0 s/mm2 (5 slices); 1: b-value 50 s/mm2 (5 slices); 2: b-value 1000 s/mm2"),
    "gradients": ([lambda n: weighting(0.0), lambda n: weighting(800.0, [0, 1, 0]),
                   lambda n: weighting(800.0, [1, 0, 0])],
                  "0: b-value 0 s/mm2 (5 slices); 1: b-value 800 s/mm2, gradient (0, 1, 0) (5 slices); "
                  "2: b-value 800 s/mm2, gradient (1, 0, 0)"),
    "magnitude and phase": ([lambda n: component("MAGNITUDE"), lambda n: component("PHASE")],
                            "0: kind ORIGINAL/PRIMARY/MAGNITUDE/NONE (5 slices); 1: kind ORIGINAL/PRIMARY/PHASE"),
    "beats": ([lambda n, m=m: beat(m, n) for m in range(3)],
              "0: trigger time 0 to 6 ms (5 slices); 1: trigger time 33 to 39 ms"),
    "stacks": ([lambda n, s=s: stack(s) for s in ("1", "2")], "0: stack 1 (5 slices); 1: stack 2 (5 slices)"),
    "echoes of phases": ([lambda n, m=m, t=t: {**moment(m), **echo(t)} for t in (3.0, 6.0) for m in (1, 2)],
                         "0: echo time 3 ms, phase 1 (5 slices); 1: echo time 3 ms, phase 2"),
}


@pytest.mark.parametrize("mixed", [False, True], ids=["one after the other", "mixed"])
@pytest.mark.parametrize("name", SEVERAL)
def test_several_volumes_ask_for_one(tmp_path, name, mixed):
    """Two phases were once read as one stack of twice the slices, 1 mm apart."""
    makers, words = SEVERAL[name]
    groups = [(number, n, {**place(EVEN[n]), **maker(n)}) for number, maker in enumerate(makers) for n in range(5)]
    if mixed:
        groups = [groups[index] for index in np.random.default_rng(3).permutation(len(groups))]
    voxels = enhanced(tmp_path / "a.dcm", [group for _, _, group in groups])
    last = len(makers) - 1
    for path in (tmp_path / "a.dcm", tmp_path):
        with pytest.raises(InputError, match="Choose one with `frame`") as caught:
            read_volume(path)
        assert f"holds {last + 1} volumes in one series: {words}" in caught.value.reason
        assert f"0 to {last}." in caught.value.remedy
        with pytest.raises(InputError, match=f"no frame {last + 1}"):
            read_volume(path, frame=last + 1)
        for wanted in range(last + 1):
            volume = read_volume(path, frame=wanted)
            own = [index for index, (number, _, _) in enumerate(groups) if number == wanted]
            assert len(volume.voxels) == 5
            assert_in_place(volume, [EVEN[groups[index][1]] for index in own], voxels[own])


def test_stacks_at_right_angles(tmp_path):
    coronal = (1.0, 0, 0, 0, 0, -1)
    across = along(coronal, (0, 4, 8))
    groups = [{**place(position, AXIAL), **stack("1")} for position in EVEN]
    groups += [{**place(position, coronal), **stack("2")} for position in across]
    voxels = enhanced(tmp_path / "a.dcm", groups)
    with pytest.raises(InputError, match=r"2 volumes in one series: 0: stack 1 \(5 slices\); 1: stack 2 \(3 slices\)"):
        read_volume(tmp_path)
    assert_in_place(read_volume(tmp_path, frame=1), across, voxels[5:], coronal)


def test_a_frame_that_is_missing_in_one_phase_spoils_only_this_one(tmp_path):
    groups = [{**place(EVEN[n]), **moment(m)} for m in (1, 2, 3) for n in range(5) if (m, n) != (2, 3)]
    voxels = enhanced(tmp_path / "a.dcm", groups)
    assert_in_place(read_volume(tmp_path, frame=0), EVEN, voxels[:5])
    with pytest.raises(InputError, match="unevenly spaced"):
        read_volume(tmp_path, frame=1)
    assert_in_place(read_volume(tmp_path, frame=2), EVEN, voxels[9:])


def test_trigger_times_with_a_missing_frame_are_not_guessed(tmp_path):
    groups = [{**place(EVEN[n]), **beat(m, n)} for m in (0, 1, 2) for n in range(5) if (m, n) != (1, 3)]
    enhanced(tmp_path / "a.dcm", groups)
    with pytest.raises(InputError, match="pairs of slices share a position"):
        read_volume(tmp_path)


def test_a_list_of_many_volumes_is_cut(tmp_path):
    enhanced(tmp_path / "a.dcm", [{**place(EVEN[n]), **moment(m)} for m in range(30) for n in range(2)])
    with pytest.raises(InputError, match=r"5: phase 5 \(2 slices\); \.\.\.; 29: phase 29 \(2 slices\)") as caught:
        read_volume(tmp_path)
    assert len(str(caught.value)) < 500


def test_one_object_of_many_in_a_series(tmp_path):
    """A series of several files: parts of one stack, and a phase each."""
    first = enhanced(tmp_path / "parts" / "b.dcm", [place(position) for position in EVEN[:2]])
    second = enhanced(tmp_path / "parts" / "a.dcm", [place(position) for position in EVEN[2:]], scan((3, 7, 9)) + 100)
    assert_in_place(read_volume(tmp_path / "parts"), EVEN, [*first, *second])
    for m in (1, 2):
        enhanced(tmp_path / "phases" / f"{m}.dcm", [{**place(position), **moment(m)} for position in EVEN],
                 scan((5, 7, 9)) + m)
    with pytest.raises(InputError, match="0: phase 1"):
        read_volume(tmp_path / "phases")
    assert_in_place(read_volume(tmp_path / "phases", frame=1), EVEN, scan((5, 7, 9)) + 2)


def test_objects_of_one_frame_each(tmp_path):
    voxels = [enhanced(tmp_path / f"{n}.dcm", [place(position)], scan((1, 7, 9)) + n)[0]
              for n, position in enumerate(EVEN)]
    assert_in_place(read_volume(tmp_path), EVEN, voxels)


def test_a_single_frame_is_as_thick_as_its_header_says(tmp_path):
    voxels = enhanced(tmp_path / "a.dcm", [place(EVEN[1])], kind=uid.EnhancedMRImageStorage)
    for path, words in ((tmp_path, "has one slice"), (tmp_path / "a.dcm", "give the folder")):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.voxels, voxels)
        assert volume.spacing == pytest.approx((0.5, 0.8, 3.0))
        np.testing.assert_allclose(volume.affine[:3, 3], (10, 20, 33))
        assert words in volume.warnings[0]


def rescaled(slope: float, intercept: float) -> dict:
    return {"PixelValueTransformationSequence": {"RescaleSlope": slope, "RescaleIntercept": intercept,
                                                 "RescaleType": "US"}}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(("scales", "dtype"), [
    ([(1, 0)] * 5, np.int16), ([(1, -1024)] * 5, np.int16), ([(1000, 7)] * 5, np.int32),
    ([(0.5 * (n + 1), n) for n in range(5)], np.float32), ([(n + 1, 0) for n in range(5)], np.int16),
], ids=["none", "CT", "large", "of each frame", "whole numbers"])
def test_every_frame_has_its_own_scale(tmp_path, scales, dtype, compressed):
    """GDCM applies that of the first frame to all."""
    groups = [{**place(EVEN[n]), **rescaled(*scales[n])} for n in SHUFFLED]
    voxels = enhanced(tmp_path / "a.dcm", groups, kind=uid.EnhancedCTImageStorage, compressed=compressed)
    volume = read_volume(tmp_path)
    assert volume.voxels.dtype == dtype
    assert_in_place(volume, [EVEN[n] for n in SHUFFLED],
                    [voxels[row] * np.float32(scales[n][0]) + scales[n][1] for row, n in enumerate(SHUFFLED)])
    assert volume.modality == "CT"


@pytest.mark.parametrize("scale", [(float("nan"), 0), (1, float("inf"))])
def test_a_scale_that_is_not_finite(tmp_path, scale):
    enhanced(tmp_path / "a.dcm", [place(EVEN[0])])
    frame = Frame(tmp_path / "a.dcm", 0, np.zeros(3), np.array(AXIAL), (9, 7), (1, 1), 1, scale)
    with pytest.raises(InputError, match="scale factor of its voxels is not finite"):
        read_voxels(tmp_path, [frame])


def test_scaled_numbers_take_the_smallest_type_that_holds_them():
    images = [scan((7, 9)), scan((7, 9))]
    for slope, dtype in ((1.0, np.int16), (2.0, np.int16), (1e3, np.int32), (1e9, np.float32), (0.5, np.float32)):
        assert _scaled(images, np.array([(slope, 1.0)] * 2)).dtype == dtype


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_do_not_belong_to_the_number(tmp_path, signed, compressed):
    """12 bits of 16, with something else in the four above."""
    numbers = scan((5, 7, 9), np.int16) - (50 if signed else 0)
    stored = (numbers.view(np.uint16) & 0x0FFF) | (0 if compressed else 0xA000)

    def change(header):
        header.BitsStored, header.HighBit, header.PixelRepresentation = 12, 11, int(signed)

    enhanced(tmp_path / "a.dcm", [place(position) for position in EVEN], stored, change=change, compressed=compressed)
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, numbers)


def test_frames_that_the_header_does_not_describe(tmp_path):
    def fewer(header):
        header.PerFrameFunctionalGroupsSequence = header.PerFrameFunctionalGroupsSequence[:4]

    def none(header):
        del header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence

    groups = [place(position) for position in EVEN]
    enhanced(tmp_path / "fewer" / "a.dcm", groups, change=fewer)
    with pytest.raises(InputError, match="promises 5 frames and describes 4"):
        read_volume(tmp_path / "fewer")
    enhanced(tmp_path / "none" / "a.dcm", groups, change=none, kind=uid.UltrasoundMultiFrameImageStorage)
    with pytest.raises(InputError, match=r"the 5 frames of its file a\.dcm do not say where they lie"):
        read_volume(tmp_path / "none")


def test_a_segmentation_is_no_scan(tmp_path):
    enhanced(tmp_path / "a.dcm", [place(position) for position in EVEN], scan((5, 7, 9), np.uint8),
             kind=uid.SegmentationStorage)
    with pytest.raises(InputError, match="is a DICOM segmentation, not a scan"):
        read_volume(tmp_path)


@pytest.mark.parametrize("offsets", [[0, 3, 6, 9, 12], [30, 33, 36, 39, 42], [0, -3, -6, -9, -12]])
def test_a_dose_lies_at_its_offsets(tmp_path, offsets):
    def change(header):
        del header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence
        header.ImagePositionPatient, header.ImageOrientationPatient = [-10, -20, 30], list(AXIAL)
        header.PixelSpacing, header.GridFrameOffsetVector = list(SPACING), offsets
        header.DoseGridScaling, header.Modality = 0.5, "RTDOSE"

    voxels = enhanced(tmp_path / "a.dcm", [{}] * 5, change=change, kind=uid.RTDoseStorage)
    sign = -1 if offsets[-1] < 0 else 1
    assert_in_place(read_volume(tmp_path), [(-10, -20, 30 + 3 * sign * n) for n in range(5)], voxels * 0.5)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_an_object_that_promises_more_than_it_can_hold(tmp_path, compressed, monkeypatch):
    def change(header):
        header.Rows, header.Columns = 40_000, 40_000

    enhanced(tmp_path / "a.dcm", [place(position) for position in EVEN], compressed=compressed,
             change=lambda header: compressed or change(header))
    if compressed:
        made = pydicom.dcmread(tmp_path / "a.dcm")
        change(made)
        made.save_as(tmp_path / "a.dcm")
    forbidden = [(SimpleITK.ImageFileReader, "ReadImageInformation"), (SimpleITK.ImageSeriesReader, "GetGDCMSeriesIDs")]
    for owner, name in forbidden:  # GDCM took 40 s and 16 GB to read the header of the compressed one
        monkeypatch.setattr(owner, name, lambda *_: pytest.fail("GDCM was asked"))
    for path in (tmp_path, tmp_path / "a.dcm"):
        with pytest.raises(InputError, match="promises"):
            read_volume(path)
    with pytest.raises(InputError, match="holds no scan"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("lost", [1, 60, 400, 700])
def test_an_object_cut_short(tmp_path, lost):
    enhanced(tmp_path / "a.dcm", [place(position) for position in EVEN])
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[:-lost])
    for path in (tmp_path, tmp_path / "a.dcm"):
        with pytest.raises(InputError, match="cut short"):
            read_volume(path)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_a_damaged_header_is_refused_or_makes_no_difference_that_can_be_told(tmp_path, compressed):
    """Whatever bit is wrong: no exception but ours, and no hang."""
    path = tmp_path / "a.dcm"
    enhanced(path, [{**place(position), **moment(1)} for position in EVEN], compressed=compressed)
    sound = path.read_bytes()
    refused = 0
    for bit in np.random.default_rng(9).choice(8 * len(sound), 80, replace=False):
        content = bytearray(sound)
        content[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(content)
        try:
            read_volume(path)
        except InputError:
            refused += 1
    assert refused > 2


def test_odd_dates_and_private_groups_do_not_disturb(tmp_path, recwarn):
    def change(header):
        header.add_new(0x00291010, "OB", struct.pack("<4I", 1, 2, 3, 4))
        header.add_new(0x00080020, "DA", "not a date")

    voxels = enhanced(tmp_path / "a.dcm", [place(position) for position in EVEN], change=change)
    recwarn.clear()
    assert_in_place(read_volume(tmp_path), EVEN, voxels)
    assert not recwarn.list
