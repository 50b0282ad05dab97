"""The loss and the score of training, against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import PLAIN, SMALL, small_network
from torch import nn
from training_toys import CPU

from kaf.data.batches import Batch
from kaf.data.cache import CachedCase
from kaf.imaging.keypoints import Keypoints
from kaf.network import Features
from kaf.training.loss import balance_at, dice_cross_entropy
from kaf.training.task import SegmentationTask
from kaf.training.validate import mean_scores, score_cases, slice_predictor

CLASSES = 4


class Reader(nn.Module):
    """Says the class that the middle channel of the image holds."""

    def forward(self, image, keypoints, mask, capture=False):
        middle = image[:, image.shape[1] // 2].round().long().clamp(0, CLASSES - 1)
        logits = F.one_hot(middle, CLASSES).movedim(-1, 1).float()
        return Features(logits, [], logits, [])


def mean_of(made, context=0, batch=8):
    return mean_scores(score_cases(slice_predictor(Reader(), CPU, context, batch), made))


def cases(random, truths):
    found = []
    for index, truth in enumerate(truths):
        guess = np.where(random.random(truth.shape) < 0.7, truth, random.integers(0, CLASSES, truth.shape))
        points = [Keypoints(np.zeros((1, 2), np.float32), np.zeros(1, np.float32))] * len(truth)
        found.append(CachedCase(f"c{index}", f"p{index}", guess.astype(np.float32), truth, points, (8, 1, 1)))
    return found


@pytest.mark.parametrize(("context", "batch"), [(0, 8), (1, 1), (0, 2)])
def test_dice_is_that_of_whole_volumes(context, batch):
    random = np.random.default_rng(0)
    made = cases(random, [random.integers(0, classes, (slices, 6, 7)).astype(np.uint8)
                          for classes, slices in ((3, 5), (4, 3))])
    made[0].image[made[0].image == 3] = 0  # label 3 is neither there nor found in the first case
    values = mean_of(made, context, batch)
    table = np.full((2, 3), np.nan)
    pooled = []
    for label in (1, 2, 3):
        common = sizes = 0
        for row, case in enumerate(made):
            found, truth = case.image == label, case.labels == label
            if found.any() or truth.any():
                table[row, label - 1] = 2 * (found & truth).sum() / (found.sum() + truth.sum())
            common += (found & truth).sum()
            sizes += found.sum() + truth.sum()
        pooled.append(2 * common / sizes)
    assert np.isnan(table[0, 2])
    assert np.isfinite(table).sum() == 5
    assert values == pytest.approx({
        "Dice": np.nanmean(table), "pooled Dice": np.mean(pooled), "Dice 1": table[:, 0].mean(),
        "Dice 2": table[:, 1].mean(), "Dice 3": table[1, 2]}, rel=1e-12)


def test_a_perfect_and_an_empty_answer():
    truth = np.array([[[0, 1], [2, 3]]], np.uint8)
    perfect, empty = cases(np.random.default_rng(0), [truth, truth])
    perfect.image[:] = truth
    empty.image[:] = 0
    assert set(mean_of([perfect]).values()) == {1.0}
    assert set(mean_of([empty]).values()) == {0.0}
    assert mean_of([perfect, empty])["Dice"] == 0.5


def test_a_label_that_is_nowhere_is_left_out_of_both_means():
    (case,) = cases(np.random.default_rng(0), [np.array([[[0, 1], [0, 2]]], np.uint8)])
    case.image[:] = case.labels
    assert mean_of([case]) == {"Dice": 1, "pooled Dice": 1, "Dice 1": 1, "Dice 2": 1}


def test_a_case_knows_the_slice_where_most_is_wrong():
    truth = np.zeros((3, 2, 2), np.uint8)
    truth[1:] = 1
    (case,) = cases(np.random.default_rng(0), [truth])
    case.image[:] = truth
    case.image[2] = [[0, 2], [2, 1]]
    (score,) = score_cases(slice_predictor(Reader(), CPU, 0), [case])
    assert score.index == 2
    assert score.found.tolist() == [[0, 2], [2, 1]]
    assert score.dice == pytest.approx([10 / 13, 0, np.nan], nan_ok=True)


def batch_of(random, size=16):
    return Batch(random.normal(size=(2, 1, size, size)).astype(np.float32),
                 random.integers(0, CLASSES, (2, size, size)).astype(np.uint8),
                 random.uniform(0, size - 1, (2, 5, 2)).astype(np.float32), np.ones((2, 5), bool))


@pytest.mark.parametrize("settings", [SMALL, PLAIN], ids=["keypoints", "plain"])
def test_the_loss_is_dice_of_the_structures_and_cross_entropy(settings):
    batch = batch_of(np.random.default_rng(1))
    network = small_network(settings)
    task = SegmentationTask(network, CPU, None, 2, [], 0)
    found, _ = task.loss(batch, network, 1.0)
    with torch.no_grad():
        logits = network(*map(torch.from_numpy, (batch.image, batch.keypoints, batch.mask))).logits.double()
    shares = logits.softmax(1)
    truth = F.one_hot(torch.from_numpy(batch.labels).long(), CLASSES).movedim(-1, 1).double()
    common, sizes = (shares * truth).sum((0, 2, 3)), (shares + truth).sum((0, 2, 3))
    dice = ((2 * common + 1e-5) / (sizes + 1e-5))[1:].mean()
    cross = -(shares.log() * truth).sum(1).mean()
    assert float(found.detach()) == pytest.approx(float(1 - dice + cross), rel=1e-5)
    found.backward()
    assert all(p.grad is not None for name, p in network.named_parameters())


def test_rare_structures_count_more_at_first():
    """The weights are square roots of the inverse frequencies at first and equal at the end; their mean stays 1."""
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[0, 0, :4] = 1
    labels[0, 1, 0] = 2
    logits = torch.randn(1, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    each = F.cross_entropy(logits, labels, reduction="none")
    weights = torch.tensor([95, 4, 1]).double().pow(-0.5)[labels]
    plain, first = (dice_cross_entropy(logits, labels, balance=balance_at(progress)) for progress in (1.0, 0.0))
    expected = (each * weights).sum() / weights.sum() - each.mean()
    assert float(first - plain) == pytest.approx(float(expected), rel=1e-5)
    assert balance_at(0.4) == pytest.approx(0.25)
    assert balance_at(0.8) == balance_at(0.9) == 0.0


def test_nobody_held_out_means_no_validation():
    assert SegmentationTask(Reader(), CPU, None, 2, [], 0).validate(Reader()) == {}
