"""Metrics against plain numpy, against geometry known on paper, and against MONAI's own three functions."""

import itertools
import math

import numpy as np
import pytest

from kaf.evaluation.metrics import ABSENT, MISSED, SCORED, SPURIOUS, case_metrics
from kaf.report.statistics import statistic
from kaf.runtime.errors import InputError

ANISOTROPIC = (8.0, 1.25, 1.5)  # mm along (slice, row, column)


def plain_boundary(mask):
    """Indices of voxels with a face neighbour outside the mask, one voxel at a time."""
    found = []
    for voxel in np.argwhere(mask):
        for axis, step in itertools.product(range(3), (-1, 1)):
            near = voxel.copy()
            near[axis] += step
            inside = np.all(near >= 0) and np.all(near < mask.shape)
            if not inside or not mask[tuple(near)]:
                found.append(voxel)
                break
    return np.array(found, dtype=float)


def plain_metrics(first, second, spacing, tolerance):
    """(Dice, HD95, ASSD, NSD) by comparing every boundary voxel with every other."""
    a, b = (plain_boundary(mask) * np.array(spacing) for mask in (first, second))
    between = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    there, back = between.min(1), between.min(0)
    every = np.concatenate([there, back])
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return dice, hd95, every.mean(), (every <= tolerance).mean()


def blobs(seed, shape=(7, 20, 18)):
    """Two related label maps with labels 1..3 and holes, some touching the edge of the volume."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape), (0.7, 2, 2))
    other = field + 0.4 * gaussian_filter(rng.normal(size=shape), (0.7, 2, 2))
    cuts = np.quantile(field, [0.5, 0.7, 0.85])
    return np.digitize(other, cuts).astype(np.uint8), np.digitize(field, cuts).astype(np.uint8)


def ball(shape, spacing, centre, radius):
    grid = np.meshgrid(*[np.arange(n) * mm for n, mm in zip(shape, spacing, strict=True)], indexing="ij")
    return (sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), ANISOTROPIC])
def test_every_number_is_that_of_the_plain_formula(seed, spacing):
    prediction, reference = blobs(seed)
    for found in case_metrics(prediction, reference, spacing, [1, 2, 3], tolerance=2.0):
        p, r = prediction == found.label, reference == found.label
        expected = plain_metrics(p, r, spacing, 2.0)
        assert (found.dice, found.hd95, found.assd, found.nsd) == pytest.approx(expected, rel=1e-6)
        assert found.status == SCORED
        voxel = math.prod(spacing) / 1000
        assert found.prediction_ml == pytest.approx(p.sum() * voxel)
        assert found.reference_ml == pytest.approx(r.sum() * voxel)
        assert found.difference_ml == pytest.approx((int(p.sum()) - int(r.sum())) * voxel)
        assert found.relative_difference == pytest.approx(p.sum() / r.sum() - 1)
        assert (found.prediction_voxels, found.reference_voxels) == (p.sum(), r.sum())
        assert found.intersection_voxels == (p & r).sum()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")  # MONAI warns of its own call
def test_agrees_with_monai_on_the_whole_uncropped_volume():
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    prediction, reference = (np.pad(v, ((2, 3), (5, 4), (3, 6))) for v in blobs(3))
    p, r = (torch.from_numpy(np.stack([v == label for label in (1, 2, 3)])[None].astype(np.float32))
            for v in (prediction, reference))
    words = {"include_background": True, "spacing": list(ANISOTROPIC)}
    hd95 = compute_hausdorff_distance(p, r, percentile=95, **words)[0]
    assd = compute_average_surface_distance(p, r, symmetric=True, **words)[0]
    nsd = compute_surface_dice(p, r, [3.0] * 3, **words)[0]
    found = case_metrics(prediction, reference, ANISOTROPIC, [1, 2, 3], tolerance=3.0)
    assert [m.hd95 for m in found] == pytest.approx(hd95.tolist(), rel=1e-5)
    assert [m.assd for m in found] == pytest.approx(assd.tolist(), rel=1e-5)
    assert [m.nsd for m in found] == pytest.approx(nsd.tolist(), rel=1e-5)


def test_parallel_plates_are_as_far_apart_as_drawn():
    prediction, reference = np.zeros((2, 9, 30, 30), np.uint8)
    reference[2, 5:25, 5:25] = 1
    prediction[5, 5:25, 5:25] = 1
    (found,) = case_metrics(prediction, reference, (2.5, 0.7, 0.7), [1], tolerance=7.0)
    assert (found.dice, found.hd95, found.assd, found.nsd) == (0.0, 7.5, 7.5, 0.0)
    assert found.status == SCORED  # both drew it, in different places
    assert found.difference_ml == found.relative_difference == 0.0


def test_concentric_balls_on_an_anisotropic_grid():
    spacing, shape = (2.0, 0.8, 1.0), (40, 90, 72)
    centre = [n * mm / 2 for n, mm in zip(shape, spacing, strict=True)]
    inner, outer = (ball(shape, spacing, centre, radius) for radius in (22.0, 28.0))
    (found,) = case_metrics(inner, outer, spacing, [1], tolerance=8.0)
    assert found.dice == pytest.approx(2 * 22**3 / (22**3 + 28**3), abs=0.005)
    assert found.reference_ml == pytest.approx(4 / 3 * math.pi * 28**3 / 1000, rel=0.01)
    assert found.relative_difference == pytest.approx((22 / 28) ** 3 - 1, abs=0.01)
    assert found.assd == pytest.approx(6.0, abs=0.5)  # half a voxel of staircase
    assert 6.0 <= found.hd95 <= 6.0 + max(spacing)
    assert found.nsd == 1.0


def test_a_perfect_prediction():
    _, reference = blobs(4)
    for found in case_metrics(reference, reference.copy(), ANISOTROPIC, [1, 2, 3], tolerance=0.0):
        assert (found.dice, found.hd95, found.assd, found.nsd, found.difference_ml) == (1, 0, 0, 1, 0)


def test_swapping_the_maps_changes_only_the_sign_of_the_volume_difference():
    prediction, reference = blobs(5)
    there = case_metrics(prediction, reference, ANISOTROPIC, [2], 2.0)[0]
    back = case_metrics(reference, prediction, ANISOTROPIC, [2], 2.0)[0]
    assert (there.dice, there.nsd) == (back.dice, back.nsd)
    assert (there.hd95, there.assd) == pytest.approx((back.hd95, back.assd))
    assert there.difference_ml == pytest.approx(-back.difference_ml)


def test_far_away_labels_and_empty_surroundings_change_nothing():
    prediction, reference = blobs(6)
    small = case_metrics(prediction, reference, ANISOTROPIC, [1, 2, 3], 2.0)
    large = [np.pad(np.where(v > 0, v, 0), ((4, 0), (0, 40), (30, 7))) for v in (prediction, reference)]
    # The blobs touch the edge of the small volume; zeros beyond it must count as outside in both.
    assert case_metrics(*large, ANISOTROPIC, [1, 2, 3], 2.0) == small
    for volume in large:
        volume[:2, -3:, :3] = 9
    assert case_metrics(*large, ANISOTROPIC, [1, 2, 3], 2.0) == small


def test_distance_equal_to_the_tolerance_is_within_despite_rounded_headers():
    prediction, reference = np.zeros((2, 5, 12, 12), np.uint8)
    reference[1, 3:9, 3:9] = 1
    prediction[2, 3:9, 3:9] = 1
    for spacing in (1.2, float(np.float32(1.2)), 1.200001):
        (found,) = case_metrics(prediction, reference, (spacing, 1.0, 1.0), [1], tolerance=1.2)
        assert found.nsd == 1.0
    assert case_metrics(prediction, reference, (1.21, 1.0, 1.0), [1], tolerance=1.2)[0].nsd == 0.0


def test_empty_masks_follow_the_stated_conventions():
    empty, drawn = np.zeros((2, 4, 8, 8), np.uint8)
    drawn[1:3, 2:6, 2:6] = 2
    voxel = math.prod(ANISOTROPIC) / 1000

    missed = case_metrics(empty, drawn, ANISOTROPIC, [2], 2.0)[0]
    assert (missed.status, missed.dice, missed.nsd) == (MISSED, 0.0, 0.0)
    assert math.isnan(missed.hd95)
    assert math.isnan(missed.assd)
    assert (missed.difference_ml, missed.relative_difference) == (pytest.approx(-32 * voxel), -1.0)

    spurious = case_metrics(drawn, empty, ANISOTROPIC, [2], 2.0)[0]
    assert (spurious.status, spurious.dice, spurious.nsd) == (SPURIOUS, 0.0, 0.0)
    assert all(math.isnan(v) for v in (spurious.hd95, spurious.assd, spurious.relative_difference))

    absent = case_metrics(drawn, drawn, ANISOTROPIC, [1], 2.0)[0]
    assert absent.status == ABSENT
    assert all(math.isnan(v) for v in (absent.dice, absent.hd95, absent.assd, absent.nsd))
    assert (absent.prediction_ml, absent.reference_ml, absent.difference_ml) == (0.0, 0.0, 0.0)

    # A value above anything in the maps is absent too, not an index error.
    assert case_metrics(drawn, drawn, ANISOTROPIC, [255], 2.0)[0].status == ABSENT


def test_one_voxel_and_one_slice():
    prediction, reference = np.zeros((2, 1, 5, 5), np.uint8)
    reference[0, 0, 0] = 1
    prediction[0, 3, 4] = 1
    (found,) = case_metrics(prediction, reference, (9.0, 1.0, 1.0), [1], tolerance=5.0)
    assert (found.dice, found.hd95, found.assd, found.nsd) == (0.0, 5.0, 5.0, 1.0)


def test_different_shapes_are_refused_as_a_message():
    with pytest.raises(InputError, match=r"\(2, 3, 4\).*\(2, 3, 5\)"):
        case_metrics(np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 5), np.uint8), (1, 1, 1), [1], 1.0)


def test_statistic_leaves_undefined_values_out_and_says_how_many_remain():
    found = statistic([0.5, float("nan"), 1.0, 0.0])
    assert (found.n, found.mean, found.median, found.sd) == (3, 0.5, 0.5, 0.5)
    assert (found.smallest, found.lower, found.upper, found.largest) == (0.0, 0.25, 0.75, 1.0)
    assert math.isnan(statistic([0.7]).sd)
    nothing = statistic([float("nan")])
    assert nothing.n == 0
    assert math.isnan(nothing.mean)
