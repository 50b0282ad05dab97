"""Dice from counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kaf.evaluation.dice import dice, overlap, pooled_dice
from kaf.evaluation.metrics import case_metrics


def test_overlap_counts_voxels():
    prediction = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    reference = np.array([[0, 1, 2], [2, 1, 1]], np.uint8)
    common, sizes = overlap(prediction, reference, 4)
    assert common.tolist() == [1, 1, 0]
    assert sizes.tolist() == [5, 4, 0]
    assert dice(common, sizes) == pytest.approx([0.4, 0.5, math.nan], nan_ok=True)


def test_a_value_above_the_range_is_no_count():
    with pytest.raises(ValueError, match="reshape"):
        overlap(np.array([0, 1], np.uint8), np.array([0, 7], np.uint8), 2)


def test_dice_is_taken_element_by_element_and_undefined_where_nothing_is():
    found = dice([[1, 0, 0], [3, 0, 2]], [[4, 5, 0], [6, 0, 4]])
    assert found == pytest.approx(np.array([[0.5, 0, math.nan], [1, math.nan, 1]]), nan_ok=True)
    assert float(dice(np.int64(1), np.int64(4))) == 0.5
    assert math.isnan(float(dice(0, 0)))


def test_pooled_dice_weighs_voxels_not_cases():
    # Case one: 10 of 10 and 10 right; case two: nothing of 80 right.
    assert pooled_dice(np.array([[10], [0]]), np.array([[20], [80]])) == pytest.approx([0.2])
    rng = np.random.default_rng(7)
    prediction, reference = rng.integers(0, 4, (2, 7, 20, 18)).astype(np.uint8)
    reference[:3] = prediction[:3]
    p, r = (np.stack([v == label for label in (1, 2, 3)], axis=-1) for v in (prediction, reference))
    per_slice = pooled_dice((p & r).sum((1, 2)), p.sum((1, 2)) + r.sum((1, 2)))  # (slices, labels)
    whole = [m.dice for m in case_metrics(prediction, reference, (1, 1, 1), [1, 2, 3], 1.0)]
    assert per_slice == pytest.approx(whole)
    assert math.isnan(pooled_dice(np.array([[0, 1]]), np.array([[0, 2]]))[0])
