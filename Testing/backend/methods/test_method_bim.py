"""BIM: regularised mutual information of clusters, and their borders on the edges of the image, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from method_toys import (
    NETWORK,
    about,
    decoder_maps,
    make_batch,
    make_features,
    make_input,
    make_view,
    random_numbers,
    turned,
)

from kaf.methods.align import carried
from kaf.methods.bim.method import (
    Bim,
    cross_correlation,
    edges,
    entropy,
    joint_distribution,
    regularised_information,
    scaled,
)
from kaf.methods.bim.settings import BimSettings

EPS = 1e-5


def posteriors(seed, batch=2, clusters=3, height=4, width=5):
    return (2 * random_numbers(batch, clusters, height, width, seed=seed)).softmax(1)


def some_known(batch=2, height=4, width=5, share=0.7):
    return random_numbers(batch, height, width, seed=77) < torch.special.ndtri(torch.tensor(share)).double()


def plain_joint(first, second, known):
    """P_ij, the mean over known pixels u of p_i(u) p'_j(u), and the mean of that and its transpose."""
    clusters = first.shape[1]
    joint, count = torch.zeros(clusters, clusters, dtype=torch.float64), 0
    for item, row, column in known.nonzero().tolist():
        count += 1
        for i in range(clusters):
            for j in range(clusters):
                joint[i, j] += first[item, i, row, column] * second[item, j, row, column]
    return (joint + joint.T) / (2 * count)


def plain_information(joint, alpha, balance):
    clusters = len(joint)
    total = 0.0
    for i in range(clusters):
        for j in range(clusters):
            target = alpha * (i == j) / clusters + (1 - alpha) * float(joint[i, j])
            total -= target * math.log(float(joint[i, j]) + EPS)
            total += balance * float(joint[i, j]) * (math.log(float(joint[i].sum()) + EPS)
                                                     + math.log(float(joint[:, j].sum()) + EPS))
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_information_is_its_formula(alpha):
    first, second, known = posteriors(0), posteriors(1), some_known()
    assert 0 < known.float().mean() < 1
    joint = joint_distribution(first, second, known)
    expected = plain_joint(first, second, known)
    assert torch.allclose(joint, expected)
    assert float(joint.sum()) == pytest.approx(1)
    assert float(regularised_information(joint, alpha, 1.5)) == pytest.approx(plain_information(expected, alpha, 1.5))


def test_alpha_zero_is_mutual_information():
    """With lambda 1: minus the mutual information of the two cluster variables (IIC)."""
    joint = joint_distribution(posteriors(0), posteriors(1), torch.ones(2, 4, 5, dtype=torch.bool))
    rows, columns = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    information = float((joint * (joint / (rows * columns)).log()).sum())
    assert float(regularised_information(joint, 0.0, 1.0)) == pytest.approx(-information, abs=1e-3)


def test_balanced_agreeing_clusters_are_best():
    clusters = 4
    best = torch.eye(clusters, dtype=torch.float64) / clusters
    uniform = torch.full((clusters, clusters), 1 / clusters ** 2, dtype=torch.float64)
    one = torch.zeros(clusters, clusters, dtype=torch.float64)
    one[1, 1] = 1
    for alpha in (0.0, 0.5, 1.0):
        losses = [float(regularised_information(joint, alpha, 1.5)) for joint in (best, uniform, one)]
        assert losses[0] < min(losses[1:]) - 0.5
        assert math.isfinite(losses[2])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_gradient_of_the_information(alpha):
    second, known = posteriors(1, 1, 2, 2, 2), torch.tensor([[[True, True], [False, True]]])
    logits = random_numbers(1, 2, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: regularised_information(
        joint_distribution(a.softmax(1), second, known), alpha, 1.5), (logits,))


def test_edges_are_one_pixel_differences_that_do_not_wrap_around():
    image = torch.zeros(1, 6, 7, dtype=torch.float64)
    image[0, :, 4:] = 2.0  # a border between columns 3 and 4; the last column differs from the first
    image[0, 3:, :] += 1.0
    found, whole = edges(image, torch.ones(1, 6, 7, dtype=torch.bool), 0.75)
    strongest = math.sqrt(5)
    for row in range(5):
        for column in range(6):
            right, down = 2.0 * (column == 3), 1.0 * (row == 2)
            assert float(found[0, row, column]) == pytest.approx(((right ** 2 + down ** 2) ** 0.5 / strongest) ** 0.75)
            assert whole[0, row, column]
    assert not whole[0, 5].any(), "below the last row there is nothing"
    assert not whole[0, :, 6].any()
    assert not found[0, 5].any()


def test_the_border_of_the_slice_is_no_edge():
    """The black wedge that turning leaves, and the step at its rim, count for nothing."""
    image = 5 + random_numbers(1, 8, 8)
    known = torch.ones(1, 8, 8, dtype=torch.bool).tril()
    black = torch.where(known, image, -100.0)
    found, whole = edges(black, known, 1.0)
    other, _ = edges(torch.where(known, image, 1e4), known, 1.0)
    assert torch.equal(found, other)
    assert not found[~whole].any()
    for row, column in whole[0].nonzero().tolist():
        assert known[0, row, column]
        assert known[0, row, column + 1]
        assert known[0, row + 1, column]
    assert found.max() == 1


def test_maps_are_scaled_over_what_is_known_slice_by_slice():
    values, known = random_numbers(3, 4, 5), some_known(3)
    known[1] = False
    found = scaled(values, known)
    for item in (0, 2):
        inner = values[item][known[item]]
        assert torch.allclose(found[item][known[item]], (inner - inner.min()) / (inner.max() - inner.min()))
    assert not found[~known].any()
    assert torch.isfinite(scaled(torch.ones(1, 3, 3), torch.ones(1, 3, 3, dtype=torch.bool))).all(), "a flat map"


def plain_correlation(first, second, known, window):
    """Mean of max(cov, eps)^2 / (var var) over the pixels whose window, cut at the border, is all known."""
    half, values = window // 2, []
    for item, row, column in known.nonzero().tolist():
        rows = slice(max(0, row - half), row + half + 1)
        columns = slice(max(0, column - half), column + half + 1)
        if not known[item, rows, columns].all():
            continue
        a, b = first[item, rows, columns], second[item, rows, columns]
        covariance = float((a * b).mean() - a.mean() * b.mean())
        variances = [max(EPS, float((m * m).mean() - m.mean() ** 2)) for m in (a, b)]
        values.append(max(covariance, EPS) ** 2 / (variances[0] * variances[1]))
    return sum(values) / len(values)


@pytest.mark.parametrize("window", [3, 5])
def test_the_cross_correlation_is_its_formula(window):
    first, second = random_numbers(2, 9, 10), random_numbers(2, 9, 10, seed=1)
    second = second + first
    known = torch.ones(2, 9, 10, dtype=torch.bool)
    known[0, :3, :4] = known[1, :, 9:] = False
    expected = plain_correlation(first, second, known, window)
    assert float(cross_correlation(first, second, known, window)) == pytest.approx(expected)
    hidden = torch.where(known, second, 1e3)
    assert float(cross_correlation(first, hidden, known, window)) == pytest.approx(expected), "masked really"
    assert float(cross_correlation(first, first, known, window)) == pytest.approx(1, abs=1e-3)
    assert float(cross_correlation(first, second, torch.zeros_like(known), window)) == 0


def test_the_gradient_of_the_cross_correlation():
    first = random_numbers(1, 4, 4)
    second = (first + 0.3 * random_numbers(1, 4, 4, seed=2)).requires_grad_()
    known = torch.ones(1, 4, 4, dtype=torch.bool)
    known[0, 0, 0] = False
    assert torch.autograd.gradcheck(lambda b: cross_correlation(first, b, known, 3), (second,))


def test_entropy_is_in_nats():
    found = entropy(torch.tensor([[0.5, 1.0, 0.25], [0.5, 0.0, 0.75]]).view(1, 2, 1, 3))
    expected = [-sum(p * math.log(p) for p in pair if p) for pair in ((0.5, 0.5), (1.0, 0.0), (0.25, 0.75))]
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-4)


SIZE, SLICE = (16, 24), (40, 44)
MATRICES = [(turned(0), turned(25, 1.1, (True, False), (2, -3))), (turned(40, 0.9), turned(-80))]


def input_at(level, items=(0, 1), progress=0.5, black=0.0):
    """Two slices in two views, an edge of the slice in one of them, and decoder maps at a level."""
    views, features = {}, {}
    stride = 2 ** level
    for number, name in enumerate(("anchor", "again")):
        image = torch.cat([random_numbers(1, 3, *SIZE, seed=i + 10 * number) for i in items])
        valid = torch.ones(2, *SIZE, dtype=torch.bool)
        valid[1, :4] = number == 0
        image = torch.where(valid[list(items)][:, None], image, black)
        matrix = torch.stack([about(MATRICES[i][number], SIZE, SLICE) for i in items])
        views[name] = make_view(image, valid=valid[list(items)], matrix=matrix)
        # The network fills up to 16 x 32.
        maps = torch.cat([random_numbers(1, 4 * stride, 16 // stride, 32 // stride, seed=30 + i + 10 * number)
                          for i in items])
        features[name] = make_features(decoder=decoder_maps(level, maps))
    return make_input(make_batch(views), features, progress)


def make_bim(level=0, **more):
    torch.manual_seed(0)
    settings = BimSettings(clusters=3, heads=2, level=level, window=3, **more)
    return Bim(settings, NETWORK).double()


@pytest.mark.parametrize("level", [0, 1])
def test_the_loss_is_the_mean_over_heads_plus_the_weighted_borders(level):
    bim, given = make_bim(level, boundary_weight=0.3, alpha=0.4, balance=1.2, gamma=0.6), input_at(level)
    outcome = bim(given)
    stride = 2 ** level
    information, boundary = [], []
    views = [given.batch.views[name] for name in ("anchor", "again")]
    for head in bim.heads:
        pair = []
        for name in ("anchor", "again"):
            maps = given.features[name].decoder[3 - level]
            scores = torch.einsum("oi,bihw->bohw", head.weight[:, :, 0, 0], maps) + head.bias[:, None, None]
            pair.append(scores.softmax(1))
        moved, known = carried(pair[0], views[0], views[1], stride)
        information.append(plain_information(plain_joint(moved.detach(), pair[1].detach(), known), 0.4, 1.2))
        for view, posterior in zip(views, pair, strict=True):
            filled = torch.zeros(2, 16, 32, dtype=torch.float64)
            filled[:, :, :24] = view.image[:, 1]  # the slice itself, not its neighbours
            there = torch.zeros(2, 16, 32, dtype=torch.bool)
            there[:, :, :24] = view.valid
            blocks = filled.view(2, 16 // stride, stride, 32 // stride, stride)
            wholly = there.view(2, 16 // stride, stride, 32 // stride, stride).all(4).all(2)
            edge, whole = edges(blocks.mean((2, 4)), wholly, 0.6)
            rough = scaled(-(posterior * (posterior + EPS).log()).sum(1), whole)
            boundary.append(-plain_correlation(edge, rough.detach(), whole, 3))
    assert float(outcome.terms["information"]) == pytest.approx(sum(information) / 2)
    assert float(outcome.terms["boundary"]) == pytest.approx(sum(boundary) / 4)
    assert float(outcome.loss.detach()) == pytest.approx(sum(information) / 2 + 0.3 * sum(boundary) / 4)
    assert bim.trains == ("encoder", "decoder")


def losses_of(bim, given):
    return {name: float(value) for name, value in bim(given).terms.items()}


def test_the_black_wedge_is_not_looked_at():
    assert losses_of(make_bim(), input_at(0, black=-50.0)) == pytest.approx(losses_of(make_bim(), input_at(0)))


def test_the_order_of_the_batch_does_not_matter():
    assert losses_of(make_bim(), input_at(0, (1, 0))) == pytest.approx(losses_of(make_bim(), input_at(0)))


def test_edges_count_only_after_a_while():
    bim = make_bim(boundary_after=0.2)
    assert "boundary" not in losses_of(bim, input_at(0, progress=0.19))
    assert "boundary" in losses_of(bim, input_at(0, progress=0.2))
    assert "boundary" not in losses_of(make_bim(boundary_weight=0.0), input_at(0))


def test_gradients_reach_both_views_and_all_heads():
    bim, given = make_bim(1), input_at(1)
    for features in given.features.values():
        features.decoder[2].requires_grad_()
    bim(given).loss.backward()
    for features in given.features.values():
        assert torch.isfinite(features.decoder[2].grad).all()
        assert (features.decoder[2].grad.abs().sum((1, 2, 3)) > 0).all()
    assert all(p.grad.abs().sum() > 0 for p in bim.parameters())


def test_no_pixel_in_common_is_no_error():
    given = input_at(0)
    given.batch.views["again"].valid[:] = False
    bim = make_bim()
    loss = bim(given).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in bim.parameters())


def test_figures_tell_living_clusters_from_dead_ones():
    """Clusters that follow the features say much about a pixel; those of a constant network nothing, sure or not."""
    bim, given = make_bim(), input_at(0)
    living = losses_of(bim, given)
    for features in given.features.values():
        features.decoder[3] = torch.ones_like(features.decoder[3])
    flat = losses_of(bim, given)
    with torch.no_grad():
        for head in bim.heads:
            head.bias[0] += 50
    single = losses_of(bim, given)
    assert living["cluster information"] > 0.03
    assert abs(flat["cluster information"]) < 1e-4
    assert abs(single["cluster information"]) < 1e-4
    assert single["cluster use"] < 0.01
    assert single["certainty"] > 0.99
    assert flat["cluster use"] > 0.6
