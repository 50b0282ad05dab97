"""Contrast of slices (PCL, SimCLR, KAF's global terms) against its formula, one pair at a time."""

from __future__ import annotations

import math

import pytest
import torch
from method_toys import (
    NETWORK,
    make_batch,
    make_features,
    make_input,
    make_view,
    plain_contrast,
    random_numbers,
)

from kaf.methods.base import unit
from kaf.methods.contrast import SliceContrast, contrast, positives, supervised_contrast
from kaf.methods.contrast_settings import ContrastSettings
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.registry import method_class
from kaf.network.batch_norm import BatchNorm1d

POSITIONS = torch.tensor([1 / 10, 3 / 10, 4 / 10, 8 / 10, 1.0], dtype=torch.float64)


def near(theta):
    return lambda i, k: abs(float(POSITIONS[i % 5] - POSITIONS[k % 5])) < theta


def same_part(i, k):
    """Quarters of the volume (0, 1/4], (1/4, 1/2], ...; a slice at 1/10 is in the first, at 8/10 in the fourth."""
    parts = [1, 2, 2, 4, 4]
    return parts[i % 5] == parts[k % 5]


KINDS = {
    "position 0.35": (ContrastSettings(theta=0.35), near(0.35)),
    "position 0.15": (ContrastSettings(theta=0.15, temperature=0.5), near(0.15)),
    "partition": (ContrastSettings(positives="partition"), same_part),
    "view": (ContrastSettings(positives="view", temperature=0.07), lambda i, k: i % 5 == k % 5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_its_formula(kind):
    settings, are_positives = KINDS[kind]
    first, second = random_numbers(5, 7), random_numbers(5, 7, seed=1)
    expected = plain_contrast(torch.cat([first, second]), are_positives, settings.temperature)
    assert float(contrast(first, second, POSITIONS, settings)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_batch_and_of_the_views_does_not_matter(kind):
    settings, _ = KINDS[kind]
    first, second = random_numbers(5, 7), random_numbers(5, 7, seed=1)
    order = torch.tensor([3, 0, 4, 1, 2])
    loss = contrast(first, second, POSITIONS, settings)
    assert torch.allclose(contrast(first[order], second[order], POSITIONS[order], settings), loss)
    assert torch.allclose(contrast(second, first, POSITIONS, settings), loss)
    assert not torch.allclose(contrast(first[order], second, POSITIONS, settings), loss)


def test_the_gradient_is_that_of_the_loss():
    first, second = (random_numbers(4, 3, seed=s).requires_grad_() for s in (2, 3))
    settings = ContrastSettings(theta=0.25)
    assert torch.autograd.gradcheck(lambda a, b: contrast(a, b, POSITIONS[:4], settings), (first, second))


def test_slices_without_a_positive_say_nothing():
    embeddings = random_numbers(4, 3)
    pair = torch.zeros(4, 4, dtype=torch.bool)
    pair[0, 1] = pair[1, 0] = True
    expected = plain_contrast(embeddings, lambda i, k: {i, k} == {0, 1}, 0.1)
    assert float(supervised_contrast(embeddings, pair, 0.1)) == pytest.approx(expected)
    alone = embeddings[:1].clone().requires_grad_()
    for some in (embeddings.clone().requires_grad_(), alone):
        nothing = supervised_contrast(some, torch.eye(len(some), dtype=torch.bool), 0.1)
        nothing.backward()
        assert float(nothing.detach()) == 0
        assert torch.equal(some.grad, torch.zeros_like(some))


def test_nearness_is_less_than_theta():
    """At theta itself slices are no longer positives (equation 1), and the diagonal plays no part."""
    place = torch.tensor([0.25, 0.5, 1.0])
    found = positives(place, ContrastSettings(theta=0.25))
    assert found.shape == (6, 6)
    assert found[0].tolist() == [True, False, False] * 2
    assert positives(place, ContrastSettings(theta=0.2501))[0].tolist() == [True, True, False] * 2


def test_parts_are_quarters_of_any_number_of_slices():
    """(i + 1) / n for i = 0 .. n - 1: each quarter of 12 slices has three of them; one slice is in the last."""
    place = torch.arange(1, 13) / 12
    found = positives(place, ContrastSettings(positives="partition"))[:12, :12]
    for i in range(12):
        assert found[i].nonzero().squeeze(1).tolist() == list(range(i // 3 * 3, i // 3 * 3 + 3))
    assert positives(torch.ones(1), ContrastSettings(positives="partition")).all()


def test_half_precision_is_widened_before_the_exponential():
    first, second = (random_numbers(6, 16, seed=s).bfloat16() for s in (0, 1))
    settings = ContrastSettings(positives="view", temperature=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        found = contrast(first, second, torch.ones(6), settings)
    assert found.dtype == torch.float32
    expected = plain_contrast(torch.cat([first, second]).double(), lambda i, k: i % 6 == k % 6, 0.01)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["pcl", "simclr"])
def test_the_method_looks_at_the_mean_of_the_bottleneck(name):
    settings = ContrastSettings(positives="view" if name == "simclr" else "position", width=6, theta=0.35,
                                standardise=False)
    torch.manual_seed(0)
    method = method_class(name)(settings, NETWORK).double()
    assert isinstance(method, SliceContrast)
    image = torch.zeros(5, 1, 32, 48)
    batch = make_batch({"anchor": make_view(image), "again": make_view(image)}, POSITIONS)
    maps = [random_numbers(5, 64, 2, 3, seed=s) for s in (0, 1)]
    outcome = method(make_input(batch, {"anchor": make_features(maps[0]), "again": make_features(maps[1])}))
    one, two = (m for m in method.modules() if isinstance(m, torch.nn.Linear))
    embeddings = []
    for each in torch.cat(maps):
        mean = torch.stack([channel.sum() / 6 for channel in each])
        embeddings.append(two.weight @ (one.weight @ mean + one.bias).clamp(min=0) + two.bias)
    rule = near(0.35) if name == "pcl" else lambda i, k: i % 5 == k % 5
    expected = plain_contrast(torch.stack(embeddings), rule, 0.1)
    assert float(outcome.loss.detach()) == pytest.approx(expected, rel=1e-9)
    assert torch.allclose(outcome.embedding.flatten(0, 1), torch.stack(embeddings))
    assert outcome.embedding.shape == (2, 5, 6)
    assert not outcome.embedding.requires_grad
    assert method.trains == ("encoder",)


@pytest.mark.parametrize(("name", "head"), [("pcl", "head"), ("kaf", "image_head"), ("kaf", "token_head")])
def test_standardised_embeddings_cannot_all_be_the_same(name, head):
    """Slices that hardly differ, as an untrained network and a collapsed one see them, lie around zero all the same."""
    torch.manual_seed(0)
    kind = KafSettings if name == "kaf" else ContrastSettings
    found = {}
    for standardise in (True, False):
        method = method_class(name)(kind(width=6, standardise=standardise), NETWORK).double().train()
        part = getattr(method, head)
        width = next(module for module in part.modules() if isinstance(module, torch.nn.Linear)).in_features
        alike = 3 + 0.05 * random_numbers(10, width)
        found[standardise] = part(alike if head == "token_head" else alike[:, :, None, None])
    apart = found[True]
    assert torch.allclose(apart.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-6)
    assert float(unit(apart).std(0).mean()) > 0.3
    if head != "token_head":  # which is normalised inside, too
        assert float(unit(found[False]).std(0).mean()) < 0.05


def test_a_network_that_is_constant_pays_for_it():
    """All alike: each positive has probability 1 / (2B - 1)."""
    same = torch.ones(4, 3)
    assert float(contrast(same, same, torch.arange(4) / 4, ContrastSettings(positives="view"))
                 ) == pytest.approx(math.log(7))
    apart = torch.eye(4)
    assert float(contrast(apart, apart, torch.arange(4) / 4, ContrastSettings(positives="view"))) < 1e-2


def test_batch_normalisation_of_too_few_rows_uses_what_it_has_seen():
    norm = BatchNorm1d(3).double()
    norm(random_numbers(50, 3) * 2 + 1)
    mean, spread = norm.running_mean.clone(), norm.running_var.clone()
    for rows in (random_numbers(1, 3, seed=4), random_numbers(0, 3)):
        assert torch.allclose(norm(rows), (rows - mean) / (spread + norm.eps).sqrt())
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.running_var, spread)
