"""PGL: features of the same place in two crops agree, whatever the crops' flips, rotation and scale."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from method_toys import (
    NETWORK,
    about,
    cells_of,
    make_batch,
    make_features,
    make_input,
    make_view,
    random_numbers,
    turned,
)
from torch import nn

from kaf.methods.align import inside, overlap_points
from kaf.methods.pgl.method import Pgl, point_discrepancy
from kaf.methods.pgl.settings import PglSettings

SIZE, SLICE = (96, 128), (150, 160)
SETTINGS = PglSettings(hidden=8, width=6, points=5, least_overlap=0.1)
TRANSFORMS = {
    "none": turned(0), "flips": turned(0, flips=(True, False)), "rotation": turned(50),
    "scale": turned(0, 1.3), "shift": turned(0, offset=(9.3, -14.1)), "all": turned(-30, 0.8, (True, True), (4, 6)),
}


def views_of(*pairs):
    image = torch.zeros(len(pairs), 1, *SIZE)
    return {name: make_view(image, matrix=torch.stack([about(m, SIZE, SLICE) for m in each]))
            for name, each in zip(("anchor", "again"), zip(*pairs, strict=True), strict=True)}


def anatomy(matrix):
    """64 features of one view's bottleneck, linear in the place in the slice: a network that is equivariant."""
    scaled = cells_of(matrix, *SIZE, 16) / 100
    mixed = torch.cat([scaled, torch.ones(*scaled.shape[:2], 1, dtype=torch.float64)], -1)
    return (mixed @ random_numbers(3, 64, seed=3)).permute(2, 0, 1)


def plain_method(bare=False):
    torch.manual_seed(2)
    method = Pgl(SETTINGS, NETWORK).double()
    if bare:
        method.projector, method.predictor = nn.Identity(), nn.Identity()
    return method


def input_of(views, maps, theirs=None):
    features = {name: make_features(torch.stack(maps[name])) for name in views}
    teacher = {name: make_features(torch.stack((theirs or maps)[name])) for name in views}
    return make_input(make_batch(views), features, teacher=teacher)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_equivariant_features_cost_nothing(name):
    pair = (turned(15, 0.9), TRANSFORMS[name])
    views = views_of(pair)
    maps = {key: [anatomy(view.matrix[0])] for key, view in views.items()}
    # Points whose four cells are all there: near the border of a map the reading is flat.
    inner = PglSettings(points=5, least_overlap=0.0)
    for view in views.values():
        view.valid[:, :8] = view.valid[:, -8:] = view.valid[:, :, :8] = view.valid[:, :, -8:] = False
    method = plain_method(bare=True)
    method.settings = inner
    found = float(method(input_of(views, maps), method).loss.detach())
    assert 0 <= found < 1e-12
    swapped = {"anchor": maps["again"], "again": maps["anchor"]}
    assert float(method(input_of(views, swapped), method).loss.detach()) > 1e-4, "the wrong place costs"


def test_the_loss_is_the_mean_over_points_both_ways():
    """2 - 2 cos(q(p(z1)), p'(z2)) at every point of the overlap, written out."""
    views = views_of((turned(15), turned(-20, 1.2, (True, False), (5, 6))), (turned(0), turned(40)))
    maps, theirs = ({name: [random_numbers(64, 6, 8, seed=s + 10 * i) for i in (0, 1)]
                     for s, name in enumerate(("anchor", "again"), start)} for start in (0, 50))
    method, teacher = plain_method().eval(), plain_method().eval()
    outcome = method(input_of(views, maps, theirs), teacher)
    in_a, in_b, there = overlap_points(views["anchor"], views["again"], 5)
    losses = []
    for item in (0, 1):
        for point in there[item].nonzero().squeeze(1):
            pair = []
            for name, place in (("anchor", in_a[item, point]), ("again", in_b[item, point])):
                pair.append([bilinear(m[name][item], place / 16 - 15 / 32) for m in (maps, theirs)])
            for mine, other in ((pair[0][0], pair[1][1]), (pair[1][0], pair[0][1])):
                q = method.predictor(method.projector(mine[None]))[0]
                z = teacher.projector(other[None])[0]
                losses.append(2 - 2 * float((q @ z).detach() / (q.norm() * z.norm()).detach()))
    assert len(losses) > 20
    assert float(outcome.loss.detach()) == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    assert float(outcome.terms["overlap"]) == pytest.approx(len(losses) / 2 / 50)
    assert outcome.embedding.shape == (2, len(losses) // 2, 6)
    place = there[0].nonzero()[0, 0]
    for number, (name, where) in enumerate((("anchor", in_a), ("again", in_b))):
        z = teacher.projector(bilinear(theirs[name][0], where[0, place] / 16 - 15 / 32)[None])[0]
        assert torch.allclose(outcome.embedding[number, 0], z)


def bilinear(values, cell):
    """(C, h, w) read between its four nearest cells; beyond the middle of the outermost ones their value."""
    row, column = float(cell[0].clamp(0, values.shape[1] - 1)), float(cell[1].clamp(0, values.shape[2] - 1))
    r, c = min(int(row), values.shape[1] - 2), min(int(column), values.shape[2] - 2)
    a, b = row - r, column - c
    return ((1 - a) * (1 - b) * values[:, r, c] + (1 - a) * b * values[:, r, c + 1]
            + a * (1 - b) * values[:, r + 1, c] + a * b * values[:, r + 1, c + 1])


def test_the_discrepancy_and_its_gradient():
    a, b = random_numbers(4, 5), random_numbers(4, 5, seed=1)
    expected = [2 - 2 * float(x @ y / (x.norm() * y.norm())) for x, y in zip(a, b, strict=True)]
    assert point_discrepancy(a, b).tolist() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: point_discrepancy(x, b[:2]), a[:2].requires_grad_())


def test_only_the_student_learns():
    views = views_of((turned(0), turned(30)))
    maps, theirs = ({name: [random_numbers(64, 6, 8, seed=s)] for s, name in enumerate(("anchor", "again"), start)}
                    for start in (0, 5))
    method, teacher = plain_method(), plain_method()
    given = input_of(views, maps, theirs)
    for features in (*given.features.values(), *given.teacher.values()):
        features.bottleneck.requires_grad_()
    method(given, teacher).loss.backward()
    assert all(f.bottleneck.grad.abs().sum() > 0 for f in given.features.values()), "both views"
    assert all(f.bottleneck.grad is None for f in given.teacher.values())
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in method.parameters())


def test_a_pair_with_too_little_overlap_is_left_out():
    near, far = (turned(0), turned(20)), (turned(0), turned(0, offset=(88, 0)))
    maps = {name: [random_numbers(64, 6, 8, seed=s + i) for i in (0, 7)] for s, name in enumerate(("anchor", "again"))}
    method, teacher = plain_method().eval(), plain_method().eval()
    method.settings = SETTINGS.model_copy(update={"least_overlap": 0.5})
    only = float(method(input_of(views_of(near), {n: m[:1] for n, m in maps.items()}), teacher).loss.detach())
    views = views_of(near, far)
    views["again"].valid[1, 1:] = False  # all but a row of it lies outside the slice
    assert float(method(input_of(views, maps), teacher).loss.detach()) == pytest.approx(only)
    share = [float(inside(views["again"], overlap_points(*views.values(), 5)[1])[i].float().mean()) for i in (0, 1)]
    assert share[1] < 0.5 < share[0]


@pytest.mark.parametrize("rows", [0, 1])
def test_no_point_or_one_point_in_common_is_no_error(rows):
    """A training step goes on without a loss (or with that of one point) and learns nothing that is no number."""
    views = views_of((turned(0), turned(0)))
    views["again"].valid[:] = False
    if rows:
        views["again"].valid[:, 0, 0] = True  # the first point of the grid alone
    maps = {name: [random_numbers(64, 6, 8, seed=s).requires_grad_()] for s, name in enumerate(("anchor", "again"))}
    method, teacher = plain_method().train(), plain_method().eval()
    method.settings = SETTINGS.model_copy(update={"least_overlap": 0.0})
    outcome = method(input_of(views, maps), teacher)
    assert torch.isfinite(outcome.loss)
    assert (float(outcome.loss.detach()) > 0) == bool(rows)
    outcome.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
    assert all(torch.isfinite(values).all() for values in outcome.terms.values())


def test_the_order_of_the_batch_does_not_matter():
    pairs = ((turned(0), turned(30)), (turned(10), turned(0, flips=(True, True))), (turned(90), turned(60)))
    maps = {name: [random_numbers(64, 6, 8, seed=s + 10 * i) for i in range(3)]
            for s, name in enumerate(("anchor", "again"))}
    method, teacher = plain_method().train(), plain_method().eval()
    losses = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        given = input_of(views_of(*(pairs[i] for i in order)),
                         {name: [each[i] for i in order] for name, each in maps.items()})
        losses.append(float(method(given, teacher).loss.detach()))
    assert all(a == pytest.approx(b, rel=1e-9) for a, b in pairwise(losses))
