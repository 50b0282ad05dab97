"""Volumes, phases, ranges and wall thickness, on hearts and rings whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kaf.function.look import looks_odd
from kaf.function.structures import heart_labels
from kaf.function.volumes import body_surface, find_phases, ventricle, volume_curve, with_range
from kaf.function.wall import NAMES, Structures, measure_wall
from kaf.phantom.beating import beat, contraction
from kaf.runtime.errors import InputError

KINDS = Structures(1, 2, 3)


def curves(found) -> tuple[np.ndarray, np.ndarray]:
    voxel = float(np.prod(found.labels[0].spacing)) / 1000
    voxels = [one.voxels for one in found.labels]
    return volume_curve(voxels, 3, voxel), volume_curve(voxels, 1, voxel)


def test_ejection_fraction_is_within_two_points_over_twenty_hearts():
    """7 s: twenty hearts at two phases on a coarse grid; the truth is integrated over slices of half the thickness."""
    for seed in range(20):
        found = beat(seed, phases=2, size=64, spacing=3.4, with_images=False, dense=2)
        for curve, truth in zip(curves(found), (found.ef_lv, found.ef_rv), strict=True):
            assert ventricle(curve[0], curve[1]).ef.value == pytest.approx(truth, abs=2), seed


def test_a_beating_phantom_moves_its_labels_as_its_volumes_and_keeps_its_muscle():
    found = beat(4, phases=8, size=64, spacing=3.4, with_images=False, dense=1)
    left, _ = curves(found)
    phases = find_phases(left)
    assert abs(phases.ed - found.ed) <= 1
    assert abs(phases.es - found.es) <= 1
    assert phases.jumps == ()
    assert found.wall_ml == pytest.approx(found.wall_ml.mean(), rel=0.08)
    assert contraction(20)[0] == 0
    assert contraction(20).max() > 0.95


def test_a_beating_phantom_is_the_same_for_the_same_seed_and_has_images():
    one, two = (beat(1, phases=2, slices=3, size=48, spacing=4.5, slice_spacing=25, dense=1) for _ in range(2))
    assert np.array_equal(one.images[1].voxels, two.images[1].voxels)
    assert one.images[0].voxels.shape == one.labels[0].voxels.shape
    assert one.images[0].voxels.std() > 0
    with pytest.raises(InputError, match="1 phases"):
        beat(0, phases=1)


def test_a_phase_that_jumps_is_named_and_is_neither_end():
    curve = 100 - 45 * np.sin(np.pi * np.arange(20) / 20) ** 2
    curve[15] = 20.0
    found = find_phases(curve)
    assert found.jumps == (15,)
    assert (found.ed, found.es) == (0, 10)
    assert (find_phases(curve, ed=3, es=7).ed, find_phases(curve, ed=3, es=7).es) == (3, 7)
    assert find_phases(np.array([50.0, 90.0])) == find_phases(np.array([50.0, 90.0]), 1, 0)


def test_the_range_is_that_of_shapes_inside_each_other():
    found = with_range(100, 0.9)
    for truth in (found.low, found.high):  # the smaller of the two is their overlap
        assert 2 * min(100, truth) / (100 + truth) == pytest.approx(0.9)
    assert with_range(100, None).low is None
    both = ventricle(100, 40, 0.95, 0.9)
    assert both.ef.value == 60
    assert both.ef.low < 60 < both.ef.high
    assert both.sv.low < 60 < both.sv.high
    assert ventricle(100, 40, 0.95).ef.low is None
    assert math.isnan(ventricle(0, 0).ef.value)


def test_body_surface_is_mostellers():
    assert body_surface(180, 80) == pytest.approx(2.0)


def ring(inner: float, outer: float, thick: float = 0.0, rv_at: float = np.pi, spacing: float = 1.0, size: int = 120):
    """A ring of myocardium (its wall ``thick`` mm more opposite the RV) with an RV beside it at an angle."""
    y, x = (np.mgrid[:size, :size] - size / 2 + 0.5) * spacing
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    epicardium = outer + thick * (1 - np.cos(angle - rv_at)) / 2
    labels = np.zeros((size, size), np.uint8)
    rv = (np.hypot(x - 1.25 * outer * np.cos(rv_at), y - 1.25 * outer * np.sin(rv_at)) < outer) & (radius > outer)
    labels[rv] = 1
    labels[radius < epicardium] = 2
    labels[radius < inner] = 3
    return labels


AFFINE = np.diag([-1.0, -1.0, 8.0, 1.0])  # columns to the left, rows to posterior: as a phantom


@pytest.mark.parametrize("rv_at", [np.pi, np.pi - 0.4])
def test_the_wall_of_a_ring_is_as_thick_as_it_was_drawn(rv_at):
    stack = np.stack([ring(20 - k, 30 - k, rv_at=rv_at) for k in range(9)])
    wall = measure_wall(stack, AFFINE, KINDS)
    assert wall.slices == tuple(range(9))
    assert wall.thickness == pytest.approx(np.full(16, 10.0), abs=0.5)


def test_segments_lie_where_the_right_ventricle_says_and_turn_with_it():
    """The free wall is 6 mm thicker opposite the septum: most in the lateral segments, least in the septum."""
    stack = np.stack([ring(18, 26, thick=6) for _ in range(9)])
    found = dict(zip(NAMES, measure_wall(stack, AFFINE, KINDS).thickness, strict=True))
    assert found["mid anteroseptal"] == pytest.approx(8.5, abs=0.8)
    assert found["mid inferolateral"] == pytest.approx(13.5, abs=0.8)
    assert found["mid anteroseptal"] < found["mid anterior"] < found["mid anterolateral"]
    assert found["apical septal"] < found["apical anterior"] < found["apical lateral"]
    turned = measure_wall(stack[::-1, ::-1], np.diag([-1.0, 1.0, 8.0, 1.0]), KINDS)
    assert turned.thickness == pytest.approx(np.array(list(found.values())), abs=0.5)


def test_anterior_is_told_from_inferior_by_the_patient_not_by_the_array():
    thick_below = ring(18, 26)
    y, x = np.mgrid[:120, :120] - 59.5
    thick_below[(np.hypot(x, y) < 31) & (np.hypot(x, y) >= 18) & (y > 8) & (thick_below != 1)] = 2
    stack = np.stack([thick_below] * 9)
    found = dict(zip(NAMES, measure_wall(stack, AFFINE, KINDS).thickness, strict=True))
    assert found["mid inferior"] > found["mid anterior"] + 3
    mirrored = dict(zip(NAMES, measure_wall(stack, np.diag([-1.0, 1.0, 8.0, 1.0]), KINDS).thickness, strict=True))
    assert mirrored["mid anterior"] > mirrored["mid inferior"] + 3


def test_what_cannot_be_measured_says_why():
    stack = np.stack([ring(18, 26) for _ in range(9)])
    assert "septum" in measure_wall(np.where(stack == 1, 0, stack), AFFINE, KINDS).note
    assert "three slices" in measure_wall(np.where(stack == 3, 0, stack), AFFINE, KINDS).note


def test_odd_stacks_are_told():
    good = np.stack([ring(18, 26), ring(16, 25), ring(12, 22), ring(6, 16), np.zeros((120, 120), np.uint8)])
    spacing = (8.0, 1.0, 1.0)
    assert looks_odd(good, spacing, 3, 2) == []
    shifted = good.copy()
    shifted[1] = np.roll(good[1], 14, axis=1)
    assert any("breath holds" in text for text in looks_odd(shifted, spacing, 3, 2))
    assert any("apex" in text for text in looks_odd(good[[0, 0, 0]], spacing, 3, 2))
    assert any("no short-axis stack" in text for text in looks_odd(good[:2], spacing, 3, 2))
    assert any("long-axis" in text for text in looks_odd(np.where(good == 2, 0, good), spacing, 3, 2))
    gap = good.copy()
    gap[1] = 0
    assert any("missing" in text for text in looks_odd(gap, spacing, 3, 2))


def test_labels_are_found_by_their_names_or_as_somebody_says():
    names = {1: "right ventricular cavity", 2: "left ventricular myocardium", 3: "left ventricular cavity"}
    found = heart_labels(names, "m")
    assert (found.lv, found.myocardium, found.rv) == (3, 2, 1)
    assert heart_labels({1: "RV cavity", 2: "myocardium", 3: "LV cavity"}, "m") == found
    only = heart_labels({1: "left ventricular cavity"}, "m")
    assert (only.lv, only.myocardium, only.rv) == (1, None, None)
    assert heart_labels(names, "m", lv=1).lv == 1
    with pytest.raises(InputError, match="no left ventricular cavity"):
        heart_labels({1: "anterior hippocampus"}, "m")
    with pytest.raises(InputError, match="no label 9"):
        heart_labels(names, "m", rv=9)
