"""Optimal transport with dustbins against the plain iteration, unrolled through autograd, one item at a time."""

from __future__ import annotations

import pytest
import torch
from method_toys import ITERATIONS, plain_transport, random_numbers

from kaf.methods.kaf.sinkhorn import log_transport, marginals


def masks_of(counts, most):
    return torch.tensor([[index < count for index in range(most)] for count in counts])


CASES = {  # counts of keypoints of each item in the first and the second view, and how sure the scores are
    "equal": ([4, 4], [4, 4], 1.0), "padded": ([5, 2, 3], [3, 6, 1], 1.0), "one keypoint": ([1], [1], 1.0),
    "one and many": ([1, 6], [6, 1], 1.0), "sure": ([5, 4], [5, 6], 4.0), "far larger": ([12, 3], [2, 11], 2.0),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_plain_iteration(name):
    ns, ms, sharpness = CASES[name]
    n, m = max(ns) + 1, max(ms) + 2  # more padding than is needed
    scores = (sharpness * random_numbers(len(ns), n, m, seed=len(name))).requires_grad_()
    dustbin = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rows, columns = masks_of(ns, n), masks_of(ms, m)
    weight = random_numbers(len(ns), n + 1, m + 1, seed=9)
    found = log_transport(scores, rows, columns, dustbin, ITERATIONS)
    assert found.shape == (len(ns), n + 1, m + 1)
    plain_loss = torch.zeros((), dtype=torch.float64)
    loss = torch.zeros((), dtype=torch.float64)
    for item, (rows_there, columns_there) in enumerate(zip(ns, ms, strict=True)):
        at_rows = [*range(rows_there), n]
        at_columns = [*range(columns_there), m]
        expected = plain_transport(scores[item, :rows_there, :columns_there], dustbin)
        kept = found[item][at_rows][:, at_columns]
        assert torch.allclose(kept, expected, atol=1e-5)
        plain_loss = plain_loss + (weight[item][at_rows][:, at_columns] * expected).sum()
        loss = loss + (weight[item][at_rows][:, at_columns] * kept).sum()
    expected = torch.autograd.grad(plain_loss, [scores, dustbin])
    for mine, theirs in zip(torch.autograd.grad(loss, [scores, dustbin]), expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert float(expected[1].abs()) > 1e-3, "the dustbin learns"


def test_every_keypoint_is_given_away_once():
    ns, ms = [5, 2, 4], [3, 6, 4]
    rows, columns = masks_of(ns, 6), masks_of(ms, 7)
    a, b = marginals(rows, columns)
    assert a[0].tolist() == [1, 1, 1, 1, 1, 0, 3]
    assert b[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 5]
    scores = 3 * random_numbers(3, 6, 7)
    plan = log_transport(scores, rows, columns, torch.tensor(1.0), ITERATIONS).exp()
    for item, (n, m) in enumerate(zip(ns, ms, strict=True)):
        inner = plan[item][[*range(n), 6]][:, [*range(m), 7]]
        assert torch.allclose(inner.sum(1), torch.tensor([1.0] * n + [m], dtype=torch.float64), atol=1e-5)
        assert torch.allclose(inner.sum(0), torch.tensor([1.0] * m + [n], dtype=torch.float64), atol=1e-5)


def test_more_padding_and_other_batch_mates_change_nothing():
    scores = random_numbers(2, 4, 5)
    rows, columns = masks_of([3, 4], 4), masks_of([5, 2], 5)
    dustbin = torch.tensor(1.0, dtype=torch.float64)
    together = log_transport(scores, rows, columns, dustbin)
    wide = 100 * random_numbers(2, 9, 8, seed=3)
    wide[:, :4, :5] = scores
    padded = log_transport(wide, torch.nn.functional.pad(rows, (0, 5)), torch.nn.functional.pad(columns, (0, 3)),
                           dustbin)
    at = torch.tensor([0, 1, 2, 9])
    assert torch.allclose(padded[0][at][:, [0, 1, 2, 3, 4, 8]], together[0][[0, 1, 2, 4]], atol=1e-6)
    for item in (0, 1):
        alone = log_transport(scores[item:item + 1], rows[item:item + 1], columns[item:item + 1], dustbin)
        assert torch.allclose(alone[0], together[item], atol=1e-5)


def test_the_order_of_keypoints_is_that_of_the_plan():
    scores, rows, columns = random_numbers(1, 4, 5), masks_of([4], 4), masks_of([4], 5)
    order, other = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 1, 0, 3, 2])
    dustbin = torch.tensor(0.5, dtype=torch.float64)
    plan = log_transport(scores, rows, columns, dustbin)
    moved = log_transport(scores[:, order][:, :, other], rows, columns[:, other], dustbin)
    assert torch.allclose(moved[0, :4, :5], plan[0, :4, :5][order][:, other], atol=1e-8)
    turned = log_transport(scores.transpose(1, 2), columns, rows, dustbin, ITERATIONS)
    assert torch.allclose(turned.transpose(1, 2), log_transport(scores, rows, columns, dustbin, ITERATIONS), atol=1e-5)


def test_views_without_keypoints_leave_the_others_alone():
    """An empty view: all of the other side goes to the dustbin; nothing at all: nothing, and no gradient."""
    scores = random_numbers(3, 3, 3).requires_grad_()
    rows, columns = masks_of([3, 0, 0], 3), masks_of([3, 2, 0], 3)
    dustbin = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    plan = log_transport(scores, rows, columns, dustbin, ITERATIONS)
    assert torch.isfinite(plan).all()
    assert torch.allclose(plan[1, 3, :2].exp(), torch.ones(2, dtype=torch.float64))
    (random_numbers(3, 4, 4, seed=2) * plan).sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert torch.isfinite(dustbin.grad)
    assert scores.grad[1:].abs().max() < 1e-9
    alone = scores[:1].detach().requires_grad_()
    plan = log_transport(alone, rows[:1], columns[:1], dustbin, ITERATIONS)
    (random_numbers(3, 4, 4, seed=2)[:1] * plan).sum().backward()
    assert torch.allclose(alone.grad[0], scores.grad[0], atol=1e-7)


def test_single_precision_is_close_and_finite_even_when_scores_are_large():
    for size in (1.0, 30.0):
        scores = size * random_numbers(2, 6, 7)
        rows, columns = masks_of([6, 4], 6), masks_of([7, 5], 7)
        single = scores.float().requires_grad_()
        found = log_transport(single, rows, columns, torch.tensor(1.0))
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), log_transport(scores, rows, columns, torch.tensor(1.0)), atol=1e-3)
        found[:, :-1, -1].sum().backward()
        assert torch.isfinite(single.grad).all()


@pytest.mark.parametrize("sharpness", [60, 200, 1000])
def test_the_gradient_stays_small_where_scores_are_far_too_sure(sharpness):
    """As those of an untrained network of the published width: the plan falls into parts, and has not converged."""
    scores = (sharpness * random_numbers(2, 80, 80)).float().requires_grad_()
    there = torch.ones(2, 80, dtype=torch.bool)
    log_p = log_transport(scores, there, there, torch.tensor(1.0))
    weight = random_numbers(2, 81, 81, seed=3).float().abs()
    (log_p.clamp(-100, 0) * weight).sum().backward()
    assert bool(torch.isfinite(scores.grad).all())
    assert float(scores.grad.norm()) < 1e3 * float(weight.norm())


def test_many_keypoints_and_several_threads():
    """torch's LU failed with 150 rows and two threads, not with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scores = random_numbers(8, 150, 150).float().requires_grad_()
        there = torch.ones(8, 150, dtype=torch.bool)
        log_transport(scores, there, there, torch.tensor(1.0))[:, :-1, :-1].diagonal(dim1=1, dim2=2).sum().backward()
    finally:
        torch.set_num_threads(before)
    assert bool(torch.isfinite(scores.grad).all())
    assert bool((scores.grad.diagonal(dim1=1, dim2=2) > 0).all()), "a pair that should match gets a higher score"
