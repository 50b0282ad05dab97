"""Scans over time from files: 4-D, folders of phases, and DICOM in every usual arrangement."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from dicom_files import classic

from kaf.imaging.cine import as_cine, read_cine
from kaf.imaging.itk import image_of
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_map
from kaf.runtime.errors import InputError

AFFINE = np.array([[-1.5, 0, 0, 60], [0, -1.5, 0, 60], [0, 0, 8.0, -30], [0, 0, 0, 1]])
SLICES, PHASES = 4, 5


def voxels_of(phase: int) -> np.ndarray:
    """Every voxel says its phase, slice and column."""
    k, _, i = np.mgrid[:SLICES, :7, :9]
    return (100 * phase + 10 * k + i).astype(np.int16)


def check(cine, phases=PHASES):
    assert len(cine.frames) == phases
    for phase, frame in enumerate(cine.frames):
        assert np.array_equal(frame.voxels, voxels_of(phase))
        assert frame.affine == pytest.approx(AFFINE)


def store(folder, arrangement: str, skip=lambda phase, k: False):
    """The cine as series of DICOM files: "one", "per slice", "per phase", or "folders"."""
    for phase in range(PHASES):
        for k in range(SLICES):
            if skip(phase, k):
                continue
            moved = AFFINE.copy()
            moved[:3, 3] += k * AFFINE[:3, 2]
            series = {"one": "1.2.3.4", "per slice": f"1.2.3.{k + 10}", "per phase": f"1.2.3.{phase + 10}",
                      "folders": f"1.2.3.{k + 10}"}[arrangement]
            into = folder / f"slice{k}" / f"p{phase}" if arrangement == "folders" else folder / f"s{k}p{phase}"
            classic(into, voxels_of(phase)[k:k + 1], moved, series, TriggerTime=30.0 * phase + 0.4 * k)
    return folder


def test_a_four_dimensional_file_is_its_frames(tmp_path):
    frames = [image_of(voxels_of(phase), AFFINE) for phase in range(PHASES)]
    path = tmp_path / "cine.nii.gz"
    SimpleITK.WriteImage(SimpleITK.JoinSeries(frames), str(path))
    check(read_cine(path))


def test_a_folder_of_phases_is_read_in_the_order_of_its_numbers(tmp_path):
    for phase in range(PHASES):
        write_map(tmp_path / f"phase{8 + phase}.nii.gz", Volume(voxels_of(phase), AFFINE))
    (tmp_path / "phase8_gt.nii.gz").write_bytes((tmp_path / "phase8.nii.gz").read_bytes())
    check(read_cine(tmp_path))
    check(read_cine(tmp_path / "phase8.nii.gz", tmp_path / "phase9.nii.gz"), 2)


@pytest.mark.parametrize("arrangement", ["one", "per slice", "per phase", "folders"])
def test_dicom_is_put_in_order_however_its_series_are_cut(tmp_path, arrangement):
    cine = read_cine(store(tmp_path, arrangement))
    check(cine)
    assert cine.times_ms == pytest.approx([30 * phase + 0.6 for phase in range(PHASES)])
    assert cine.warnings == ()


def test_long_axis_views_beside_the_stack_are_left_out_and_told(tmp_path):
    store(tmp_path, "per slice")
    turned = AFFINE[:, [0, 2, 1, 3]]
    for phase in range(PHASES):
        classic(tmp_path / f"four{phase}", voxels_of(phase)[:1], turned, "1.2.3.99", TriggerTime=30.0 * phase)
    cine = read_cine(tmp_path)
    check(cine)
    assert "left out" in cine.warnings[0]


def test_long_axis_views_alone_are_refused(tmp_path):
    for phase in range(PHASES):
        classic(tmp_path / f"four{phase}", voxels_of(phase)[:1], AFFINE, "1.2.3.99", TriggerTime=30.0 * phase)
    with pytest.raises(InputError, match="no short-axis stack"):
        read_cine(tmp_path)


def test_a_missing_phase_in_a_slice_is_filled_by_the_nearest_and_told(tmp_path):
    cine = read_cine(store(tmp_path, "per slice", lambda phase, k: (phase, k) == (2, 1)))
    assert len(cine.frames) == PHASES
    assert "Slice 2 of 4" in cine.warnings[0]
    assert np.array_equal(cine.frames[0].voxels, voxels_of(0))


@pytest.mark.parametrize(("skip", "words"), [
    (lambda phase, k: k == 1 and phase > 1, "has 2 phases in slice 2 of 4"),
    (lambda phase, k: k == 1, "unevenly spaced"), (lambda phase, k: phase > 0, "one image per slice")])
def test_what_is_missing_for_good_is_told(tmp_path, skip, words):
    with pytest.raises(InputError, match=words):
        read_cine(store(tmp_path, "per slice", skip))


def test_a_slice_that_was_acquired_twice_is_refused(tmp_path):
    store(tmp_path, "per slice")
    for phase in range(PHASES):
        classic(tmp_path / f"again{phase}", voxels_of(phase)[:1], AFFINE, "1.2.3.77", TriggerTime=30.0 * phase)
    with pytest.raises(InputError, match="twice"):
        read_cine(tmp_path)


def test_what_is_no_cine_is_refused(tmp_path):
    write_map(tmp_path / "a.nii.gz", Volume(voxels_of(0), AFFINE))
    with pytest.raises(InputError, match="single volume"):
        read_cine(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="single volume"):
        read_cine(tmp_path)
    moved = AFFINE.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match="1 mm away"):
        as_cine([Volume(voxels_of(0), AFFINE, "a"), Volume(voxels_of(1), moved, "b")])
    with pytest.raises(InputError, match="9 x 7 x 3 voxels where a has 9 x 7 x 4"):
        as_cine([Volume(voxels_of(0), AFFINE, "a"), Volume(voxels_of(1)[:3], AFFINE, "b")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither volumes nor DICOM"):
        read_cine(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        read_cine(tmp_path / "nowhere.nii.gz")
