"""The cardiac phantom: the same seed the same person, truth that is a heart, image and truth that agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from kaf.phantom.heart import LV_CAVITY, MYOCARDIUM, RV_CAVITY, cardiac_phantom
from kaf.runtime.errors import InputError

SEEDS = range(5)


@pytest.fixture(scope="module")
def people():
    return {seed: cardiac_phantom(seed) for seed in SEEDS}


def volumes_ml(labels) -> dict[int, float]:
    voxel = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    return {v: float((labels.voxels == v).sum() * voxel) for v in (RV_CAVITY, MYOCARDIUM, LV_CAVITY)}


def touching(mask: np.ndarray, labels: np.ndarray) -> set[int]:
    """Labels of the pixels that touch the mask in the plane, corners included."""
    square = np.ones((3, 3), bool)
    ring = np.stack([ndimage.binary_dilation(part, square) for part in mask]) & ~mask
    return set(np.unique(labels[ring]).tolist())


def test_same_seed_same_phantom_and_another_seed_another_person():
    first, second, other = (cardiac_phantom(seed, slices=3, size=64, spacing=3.0) for seed in (4, 4, 5))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.voxels, b.voxels)
    assert (first[1].voxels != other[1].voxels).any()


def test_geometry_is_exactly_what_was_asked():
    image, labels = cardiac_phantom(0, slices=4, size=96, spacing=1.75, slice_spacing=9.5)
    assert image.voxels.shape == labels.voxels.shape == (4, 96, 96)
    assert image.voxels.dtype == np.int16
    assert labels.voxels.dtype == np.uint8
    expected = [[-1.75, 0, 0, 0], [0, -1.75, 0, 0], [0, 0, 9.5, 0], [0, 0, 0, 1]]
    assert np.array_equal(image.affine, expected)
    assert np.array_equal(labels.affine, expected)
    assert image.spacing == (1.75, 1.75, 9.5)


def test_the_defaults_are_those_of_a_typical_scan():
    image, labels = cardiac_phantom()
    assert image.voxels.shape == (10, 176, 176)
    assert image.spacing == (1.5, 1.5, 8.0)
    assert set(np.unique(labels.voxels)) == {0, RV_CAVITY, MYOCARDIUM, LV_CAVITY}


@pytest.mark.parametrize("seed", SEEDS)
def test_myocardium_encloses_the_left_cavity(people, seed):
    labels = people[seed][1].voxels
    assert touching(labels == LV_CAVITY, labels) == {MYOCARDIUM}


@pytest.mark.parametrize("seed", SEEDS)
def test_each_structure_is_one_piece_in_a_slice_and_the_right_one_lies_on_the_septum(people, seed):
    labels = people[seed][1].voxels
    for k, part in enumerate(labels):
        for value in (MYOCARDIUM, LV_CAVITY):
            assert ndimage.label(part == value, np.ones((3, 3)))[1] <= 1, (k, value)
        if (part == RV_CAVITY).any():
            assert MYOCARDIUM in touching(part[None] == RV_CAVITY, part[None]), k


@pytest.mark.parametrize("seed", SEEDS)
def test_the_heart_tapers_from_base_to_apex_and_the_right_side_ends_first(people, seed):
    labels = people[seed][1].voxels
    areas = {v: (labels == v).sum(axis=(1, 2)) for v in (RV_CAVITY, MYOCARDIUM, LV_CAVITY)}
    for value in (RV_CAVITY, LV_CAVITY):
        assert areas[value][:3].min() > 2 * areas[value][-2:].max(), value
    last = {v: np.flatnonzero(a).max() for v, a in areas.items()}
    assert last[RV_CAVITY] <= last[LV_CAVITY] <= last[MYOCARDIUM] == 9


def test_volumes_are_those_of_grown_people():
    found = [volumes_ml(cardiac_phantom(seed, size=88, spacing=3.0)[1]) for seed in range(20)]
    for volume in found:
        assert 60 < volume[LV_CAVITY] < 250
        assert 60 < volume[RV_CAVITY] < 250
        assert 50 < volume[MYOCARDIUM] < 250
    assert np.std([volume[LV_CAVITY] for volume in found]) > 15, "every person has the same heart"


@pytest.mark.parametrize("seed", SEEDS)
def test_wall_and_cavity_measure_what_a_heart_measures(people, seed):
    labels = people[seed][1].voxels[2]
    cavity = np.sqrt((labels == LV_CAVITY).sum() * 1.5**2 / np.pi)
    outer = np.sqrt((labels >= MYOCARDIUM).sum() * 1.5**2 / np.pi)
    assert 15 < cavity < 35
    assert 25 < outer < 45
    assert 5 < outer - cavity < 13


@pytest.mark.parametrize("seed", SEEDS)
def test_blood_is_bright_muscle_dark_and_the_left_side_brighter(people, seed):
    image, labels = (volume.voxels for volume in people[seed])
    inner = {v: np.stack([ndimage.binary_erosion(part == v) for part in labels]) for v in (1, 2, 3)}
    rv, muscle, lv = (float(np.median(image[inner[v]])) for v in (RV_CAVITY, MYOCARDIUM, LV_CAVITY))
    assert muscle < 0.65 * rv
    assert rv < lv
    assert np.percentile(image, 5) < 0.2 * muscle, "no air"


def test_papillary_muscles_are_dark_and_belong_to_the_cavity(people):
    image, labels = (volume.voxels[4] for volume in people[0])
    cavity, muscle = labels == LV_CAVITY, float(np.median(image[labels == MYOCARDIUM]))
    blood, inner = float(np.median(image[cavity])), ndimage.binary_erosion(cavity, iterations=2)
    spots, count = ndimage.label(inner & (image < (muscle + blood) / 2))
    assert count >= 1
    assert max(ndimage.sum_labels(spots > 0, spots, range(1, count + 1))) * 1.5**2 > 30, "none over 30 mm²"


def test_breathing_moves_truth_and_image_together():
    still_image, still = (v.voxels for v in cardiac_phantom(3, breathing_mm=0, noise=0, slices=8))
    moved_image, moved = (v.voxels for v in cardiac_phantom(3, breathing_mm=6, noise=0, slices=8))
    for k in range(5):
        shift = np.subtract(ndimage.center_of_mass(moved[k] > 0), ndimage.center_of_mass(still[k] > 0))
        back = ndimage.shift(moved_image[k].astype(float), -shift, order=1)
        heart = still[k] > 0
        aligned = np.corrcoef(back[heart], still_image[k][heart])[0, 1]
        assert aligned > 0.9, k
        if np.hypot(*shift) > 1:
            assert aligned > np.corrcoef(moved_image[k][heart], still_image[k][heart])[0, 1] + 0.02, k


def test_breathing_goes_no_further_than_asked_and_differs_between_slices():
    shifts = []
    for seed in (3, 9, 19):
        still, moved = (cardiac_phantom(seed, slices=8, size=64, spacing=4.0, breathing_mm=mm)[1].voxels
                        for mm in (0, 40))
        centres = [[ndimage.center_of_mass(part > 0) for part in labels[:5]] for labels in (still, moved)]
        shifts.append(4.0 * np.subtract(centres[1], centres[0]))
    assert 35 < np.abs(shifts).max() < 42
    assert np.ptp(shifts, axis=1).min() > 5


def test_without_breathing_the_chest_stays_and_only_the_heart_has_moved():
    still, moved = (cardiac_phantom(3, breathing_mm=mm, noise=0, slices=3)[0].voxels for mm in (0, 6))
    assert np.array_equal(still[:, -20:], moved[:, -20:])


def test_noise_is_rician_in_air():
    """In air the magnitude of complex noise is Rayleigh: mean over deviation is sqrt(pi / (4 - pi))."""
    image = cardiac_phantom(1, slices=2, size=200, spacing=2.5, noise=0.2)[0].voxels
    air = image[:, 20:60, 4:20].astype(float)
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.1)
    quiet = cardiac_phantom(1, slices=2, size=200, spacing=2.5, noise=0.0)[0].voxels
    assert quiet[:, 20:60, 4:20].max() == 0


def test_a_deep_stack_shows_slices_above_the_base_and_below_the_apex_without_labels():
    labels = cardiac_phantom(2, slices=20, size=64, spacing=4.0)[1].voxels
    labelled = np.flatnonzero(labels.any(axis=(1, 2)))
    assert labelled.min() > 0
    assert labelled.max() < 19
    assert 80 <= len(labelled) * 8 <= 108


@pytest.mark.parametrize("wrong", [{"slices": 0}, {"size": 8}, {"spacing": 0}, {"slice_spacing": -1},
                                   {"noise": -0.1}, {"breathing_mm": float("nan")}])
def test_numbers_out_of_range_are_refused_by_name(wrong):
    name = next(iter(wrong)).replace("_mm", "").replace("_", " ")
    with pytest.raises(InputError, match=f"phantom: {name}"):
        cardiac_phantom(**wrong)
