"""The expected Dice is what its formula says, slice by slice and for the volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaf.quality.expected import ExpectedSums


def logits_of(labels: np.ndarray, certainty: float, classes: int = 3) -> torch.Tensor:
    """Softmax gives ``certainty`` to the label of each pixel and shares the rest."""
    p = np.full((*labels.shape, classes), (1 - certainty) / (classes - 1))
    np.put_along_axis(p, labels[..., None], certainty, -1)
    return torch.from_numpy(np.log(p)).permute(0, 3, 1, 2).float()


def test_it_is_twice_the_probability_inside_over_the_sum_of_both():
    labels = np.random.default_rng(0).integers(0, 3, (4, 20, 20))
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 3, 20, 20))).float()
    sums = ExpectedSums(6, 3)
    sums.add([1, 2], logits[:2])
    sums.add([3, 5], logits[2:])
    p, m = logits.softmax(1).numpy(), logits.argmax(1).numpy()
    for k in range(3):
        mask = m == k
        expected = 2 * p[:, k][mask].sum() / (p[:, k].sum() + mask.sum())
        assert sums.result().by_class()[k] == pytest.approx(expected, rel=1e-5)
        first = 2 * p[0, k][mask[0]].sum() / (p[0, k].sum() + mask[0].sum())
        assert sums.result().by_slice()[1, k] == pytest.approx(first, rel=1e-5)
    assert np.isnan(sums.result().by_slice()[[0, 4]]).all(), "slices that were not segmented"
    assert labels.max() == 2


def test_a_certain_result_is_expected_to_be_right_and_an_uncertain_one_is_not():
    labels = np.zeros((1, 16, 16), int)
    labels[0, 4:12, 4:12] = 1
    values = []
    for certainty in (0.999, 0.8, 0.5):
        sums = ExpectedSums(1, 3)
        sums.add([0], logits_of(labels, certainty))
        values.append(sums.result().by_class()[1])
    assert values[0] > 0.99
    assert values[0] > values[1] > values[2]


def test_what_is_not_labelled_has_no_value_and_what_is_probable_in_a_slice_but_not_labelled_has_0():
    labels = np.zeros((2, 16, 16), int)
    logits = logits_of(labels, 0.9999)
    logits[1, 2] += 8.9  # nearly as probable as the background, everywhere
    sums = ExpectedSums(2, 3)
    sums.add([0, 1], logits)
    assert np.isnan(sums.result().by_class()[1:]).all()
    found = sums.result().by_slice()
    assert np.isnan(found[0, 1:]).all()
    assert found[1, 2] == 0
