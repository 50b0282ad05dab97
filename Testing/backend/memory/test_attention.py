"""Attention by blocks is attention: the same as a plain loop over all places within reach, also where half the
resolution is enough."""

from __future__ import annotations

import math

import pytest
import torch

from kaf.memory.attention import Neighbours, Window, active_blocks, attend
from kaf.memory.provenance import origins
from kaf.memory.two_scales import Reading


def plain(query, memory, window, row, column, target=0):
    """Soft labels and weights of one place, the long way."""
    scores, labels, places = [], [], []
    for index in range(len(memory.features)):
        weight = float(memory.log_weights[target, index])
        if weight == -math.inf:
            continue
        height, width = memory.features.shape[2:]
        for y in range(height):
            for x in range(width):
                squared = (y - row) ** 2 + (x - column) ** 2
                hidden = memory.hidden is not None and bool(memory.hidden[index, y, x])
                if squared > window.reach ** 2 + 1 or hidden:
                    continue
                gap = float((query[target, :, row, column] - memory.features[index, :, y, x]).square().sum())
                scores.append(-gap / window.temperature - squared / (2 * window.spread ** 2) + weight)
                labels.append(memory.labels[index, :, y, x])
                places.append((index, y, x))
    weights = torch.tensor(scores).softmax(0)
    return (weights[:, None] * torch.stack(labels)).sum(0), weights, places


def made(targets=2, slices=3, size=(21, 18), classes=3, seed=0, hidden=False):
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    queries = torch.randn(targets, 5, height, width, generator=generator) * 0.4
    features = torch.randn(slices, 5, height, width, generator=generator) * 0.4
    labels = torch.rand(slices, classes, height, width, generator=generator)
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])[:targets, :slices]
    unknown = torch.rand(slices, height, width, generator=generator) > 0.5 if hidden else None
    return queries, Neighbours(features, labels / labels.sum(1, keepdim=True), weights.log(), unknown)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("window", [Window(4, 2.0, 0.7), Window(8, 4.0, 0.3)])
def test_blocks_give_what_a_loop_over_all_places_gives(window, hidden):
    queries, memory = made(hidden=hidden)
    soft = attend(queries, memory, window)
    for target, row, column in ((0, 0, 0), (0, 10, 9), (1, 20, 17), (1, 7, 8)):
        wanted, _, _ = plain(queries, memory, window, row, column, target)
        assert torch.allclose(soft[target, :, row, column], wanted, atol=1e-4)


def test_soft_labels_sum_to_one_and_what_is_far_from_any_structure_is_background():
    queries, memory = made(targets=1, slices=2, size=(64, 64))
    labels = torch.zeros(2, 3, 64, 64)
    labels[:, 0] = 1
    labels[:, 0, 4:9, 4:9], labels[:, 1, 4:9, 4:9] = 0, 1
    memory = Neighbours(memory.features, labels, memory.log_weights[:1, :2])
    soft = attend(queries, memory, Window(4, 2.0, 0.7))
    assert torch.allclose(soft.sum(1), torch.ones(1, 64, 64), atol=1e-5)
    assert bool((soft[0, 0, 24:, 24:] == 1).all())
    blocks = active_blocks(labels, torch.ones(1, 2, dtype=torch.bool), 4)
    assert int(blocks.sum()) < blocks.numel() / 4


def test_a_target_that_looks_at_no_slice_is_background():
    queries, memory = made(targets=2)
    nothing = Neighbours(memory.features, memory.labels, torch.full((2, 3), -math.inf))
    soft = attend(queries, nothing, Window())
    assert bool((soft[:, 0] == 1).all())


def test_origins_are_the_places_with_the_largest_weights():
    queries, memory = made(targets=1)
    window = Window(4, 2.0, 0.7)
    _, weights, places = plain(queries, memory, window, 10, 9)
    found = origins(queries[0], memory, window, (10, 9), 3)
    best = weights.argsort(descending=True)[:3].tolist()
    assert [(item.slice, item.row, item.column) for item in found] == [places[index] for index in best]
    assert [item.weight for item in found] == pytest.approx([float(weights[index]) for index in best], abs=1e-4)


@pytest.mark.parametrize("hidden", [False, True])
def test_half_the_resolution_first_gives_the_same_labels(hidden):
    """Two discs that move a little from slice to slice; what is clear is read at half the resolution only."""
    rows, columns = torch.meshgrid(torch.arange(52.0), torch.arange(45.0), indexing="ij")
    shapes = [((rows - 20 - move).square() + (columns - 20).square() < 81) for move in (0.0, 2.0, 4.0)]
    small = [((rows - 38).square() + (columns - 30 - move).square() < 4) for move in (0.0, 1.0, 2.0)]
    values = torch.stack([torch.where(dot, 2, disc.long()) for disc, dot in zip(shapes, small, strict=True)])
    noise = torch.randn(3, 4, 52, 45, generator=torch.Generator().manual_seed(1)) * 0.1
    features = noise + values[:, None].float()
    labels = torch.nn.functional.one_hot(values, 3).permute(0, 3, 1, 2).float()
    unknown = (rows > 46)[None].expand(2, -1, -1) if hidden else None
    memory = Neighbours(features[[0, 2]], labels[[0, 2]], torch.tensor([[0.5, 0.5]]).log(), unknown)
    soft = Reading(features[1:2], memory).read(Window(8, 4.0, 0.4))
    exact = attend(features[1:2], memory, Window(8, 4.0, 0.4))
    assert torch.allclose(soft.sum(1), torch.ones(1, 52, 45), atol=1e-5)
    assert bool((soft.argmax(1) == exact.argmax(1)).all())
    assert bool((soft.argmax(1)[0][small[1]] == 2).all()), "two places across are not lost"
