"""PGL in 3-D: the loss against the formula written out, exact undoing of flips and scale, and its alarm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from volume_toys import trilinear

from kaf.data.views import View, ViewBatch
from kaf.methods.align import from_source, inside, overlap_points, overlap_share, sample, to_source
from kaf.methods.base import MethodInput
from kaf.methods.pgl.method import Pgl
from kaf.methods.pgl.settings import PglSettings
from kaf.network import Features
from kaf.settings.network import NetworkSettings
from kaf.settings.stages import total_stride, widths
from kaf.training.monitors import embedding_figures

SIZE = (8, 24, 16)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
NETWORK = NetworkSettings(dimensions=3, width=4, strides=STRIDES, kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
CELLS = (4, 6, 4)
SETTINGS = PglSettings(hidden=7, width=5, points=4, least_overlap=0.1)


def matrix(scale=(1.0, 1.0, 1.0), offset=(0.0, 0.0, 0.0), angle=0.0):
    turn = torch.eye(3, dtype=torch.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn[1:, 1:] = torch.tensor([[cosine, -sine], [sine, cosine]])
    linear = turn * torch.tensor(scale, dtype=torch.float64)
    return torch.cat([linear, torch.tensor(offset, dtype=torch.float64)[:, None]], 1)


STILL = matrix()
MIRRORED = matrix((-1.0, -1.0, 1.0), (7.0, 23.0, 0.0))
OTHERS = {"none": matrix(offset=(1, 2, -1)), "flips": MIRRORED, "scale": matrix((1.3, 1.2, 1.2), (-1, -3, -2)),
          "turned": matrix((1, 1.1, -1.1), (0.5, 2, 13), 0.3)}


def view(*matrices, valid=None):
    count = len(matrices)
    there = torch.ones(count, *SIZE, dtype=torch.bool) if valid is None else valid
    return View(torch.zeros(count, 1, *SIZE), torch.zeros(count, 0, 2), torch.zeros(count, 0, dtype=torch.bool), there,
                torch.stack(matrices))


def given(anchor, again, maps, theirs=None):
    count = len(anchor.valid)
    batch = ViewBatch({"anchor": anchor, "again": again}, torch.zeros(count), torch.zeros(count, 0, dtype=torch.long),
                      torch.arange(count))
    features, teacher = ({name: Features(torch.zeros(0), [], values, []) for name, values in given.items()}
                         for given in (maps, theirs or maps))
    return MethodInput(batch, features, 0.5, teacher)


def random_maps(count, channels, seed):
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, channels, *CELLS, generator=random, dtype=torch.float64)
            for name in ("anchor", "again")}


def method(seed=0):
    torch.manual_seed(seed)
    return Pgl(SETTINGS, NETWORK).double()


def equivariant(affine):
    """Three features of a view's cells, linear in the place in the scan that a cell looks at."""
    cells = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in CELLS], indexing="ij"), -1)
    voxels = cells.reshape(1, -1, 3) * torch.tensor(total_stride(NETWORK))
    places = to_source(affine[None], voxels)[0] / 10
    mixed = torch.cat([places, torch.ones(len(places), 1, dtype=torch.float64)], 1) @ torch.tensor(
        [[1.0, 0.2, -0.4], [0.3, -1.0, 0.1], [-0.5, 0.6, 1.0], [0.4, -0.7, 0.9]], dtype=torch.float64)
    return mixed.T.reshape(1, 3, *CELLS)


@pytest.mark.parametrize("name", OTHERS)
def test_equivariant_features_cost_nothing(name):
    """Flips, scale and rotation are undone exactly, where a place has cells all around it in both views."""
    last = [cell * (n - 1) for cell, n in zip(total_stride(NETWORK), CELLS, strict=True)]
    valid = torch.zeros(1, *SIZE, dtype=torch.bool)
    valid[:, :last[0] + 1, :last[1] + 1, :last[2] + 1] = True
    first, second = view(STILL, valid=valid), view(OTHERS[name], valid=valid)
    maps = {"anchor": equivariant(STILL), "again": equivariant(OTHERS[name])}
    head = method()
    head.projector, head.predictor = nn.Identity(), nn.Identity()
    head.settings = SETTINGS.model_copy(update={"points": 7, "least_overlap": 0.0})
    # A point may round into the last valid voxel and lie up to half of one behind the last cell.
    in_a, in_b, there = overlap_points(first, second, 7)
    for places in (in_a, in_b):
        there &= (places <= torch.tensor(last)).all(-1) & (places >= 0).all(-1)
    assert there.sum() > 30
    a, b = (sample(maps[n], p, total_stride(NETWORK), 0.0)[there] for n, p in (("anchor", in_a), ("again", in_b)))
    assert torch.allclose(a, b, atol=1e-9)
    assert float(head(given(first, second, maps), head).loss) < 2e-3
    wrong = {"anchor": maps["anchor"], "again": equivariant(STILL)}
    assert float(head(given(first, second, wrong), head).loss) > 5e-3, "the wrong place costs"


def test_the_loss_is_the_mean_over_points_both_ways():
    """2 - 2 cos(q(p(z1)), p'(z2)) at every point of the overlap of every pair, one by one in fp64."""
    anchors, agains = (STILL, MIRRORED), (OTHERS["scale"], OTHERS["turned"])
    first, second = view(*anchors), view(*agains)
    first.valid[1, :2] = False
    maps, theirs = random_maps(2, widths(NETWORK)[-1], 1), random_maps(2, widths(NETWORK)[-1], 2)
    head, teacher = method().eval(), method(5).eval()
    outcome = head(given(first, second, maps, theirs), teacher)
    cells, losses = np.array(total_stride(NETWORK)), []
    for item in (0, 1):
        affines = [m.numpy() for m in (anchors[item], agains[item])]
        corners = [np.array([m @ [*corner, 1] for corner in np.ndindex(2, 2, 2) for corner in
                             [np.array(corner) * (np.array(SIZE) - 1)]]) for m in affines]
        low = np.maximum(corners[0].min(0), corners[1].min(0))
        high = np.minimum(corners[0].max(0), corners[1].max(0))
        for steps in np.ndindex(4, 4, 4):
            point = low + np.array(steps) / 3 * (high - low)
            places = [np.linalg.solve(m[:, :3], point - m[:, 3]) for m in affines]
            if not all(_in_view(place, v.valid[item]) for place, v in zip(places, (first, second), strict=True)):
                continue
            read = [[_read(values[name][item], place / cells) for values in (maps, theirs)]
                    for name, place in zip(("anchor", "again"), places, strict=True)]
            for mine, other in ((read[0][0], read[1][1]), (read[1][0], read[0][1])):
                q, z = head.predictor(head.projector(mine[None]))[0], teacher.projector(other[None])[0]
                losses.append(2 - 2 * float((q @ z / (q.norm() * z.norm())).detach()))
    assert len(losses) > 60
    assert float(outcome.loss.detach()) == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    assert float(outcome.terms["overlap"]) == pytest.approx(len(losses) / 2 / 128)


def _in_view(place, valid):
    index = np.round(place).astype(int).clip(0, np.array(SIZE) - 1)
    return bool(((place >= -0.5) & (place <= np.array(SIZE) - 0.5)).all() and valid[tuple(index)])


def _read(values, cell):
    """(C,) of a (C, 4, 6, 4) map; beyond the outermost cells their value."""
    inner = np.clip(cell, 0, np.array(CELLS) - 1)
    return torch.tensor([trilinear(channel, inner, 0.0) for channel in values.numpy()], dtype=torch.float64)


def test_points_there_and_back():
    points = 20 * torch.rand(2, 9, 3, dtype=torch.float64)
    matrices = torch.stack([OTHERS["turned"], MIRRORED])
    there = to_source(matrices, points)
    expected = torch.stack([matrices[i] @ torch.cat([points[i, 4], torch.ones(1)]) for i in (0, 1)])
    assert torch.allclose(there[:, 4], expected)
    assert torch.allclose(from_source(matrices, there), points)


def test_overlap_of_boxes():
    far = matrix(offset=(4.0, 12.0, 0.0))
    share = overlap_share(view(STILL, STILL), view(far, matrix(offset=(9, 0, 0))))
    assert share.tolist() == pytest.approx([3 / 7 * 11 / 23, 0.0])
    assert overlap_share(view(STILL), view(matrix((0.5, 0.5, 0.5), (1, 1, 1)))).tolist() == pytest.approx([1.0])
    outside = torch.tensor([[[-0.6, 0, 0], [7.4, 23.4, 15.4], [0, 23.6, 0]]], dtype=torch.float64)
    assert inside(view(STILL), outside).tolist() == [[False, True, False]]


def test_a_pair_with_too_little_overlap_is_left_out():
    near, little = OTHERS["none"], matrix(offset=(6.0, 18.0, 12.0))
    channels = widths(NETWORK)[-1]
    maps = random_maps(2, channels, 3)
    head, teacher = method().eval(), method(5).eval()
    both = head(given(view(STILL, STILL), view(near, little), maps), teacher)
    only = head(given(view(STILL), view(near), {n: m[:1] for n, m in maps.items()}), teacher)
    assert float(both.loss.detach()) == pytest.approx(float(only.loss.detach()), rel=1e-9)
    head.settings = SETTINGS.model_copy(update={"least_overlap": 0.0})
    assert float(head(given(view(STILL, STILL), view(near, little), maps), teacher).loss.detach()) != pytest.approx(
        float(only.loss.detach()), rel=1e-3), "the pair counts where any overlap will do"
    none = head(given(view(STILL), view(matrix(offset=(50, 0, 0))), {n: m[:1] for n, m in maps.items()}), teacher)
    assert float(none.loss.detach()) == 0.0


def test_gradients_reach_the_encoder_and_not_the_teacher():
    maps, theirs = random_maps(1, widths(NETWORK)[-1], 1), random_maps(1, widths(NETWORK)[-1], 2)
    for values in (*maps.values(), *theirs.values()):
        values.requires_grad_()
    head, teacher = method(), method(5)
    head(given(view(STILL), view(OTHERS["flips"]), maps, theirs), teacher).loss.backward()
    assert all(values.grad.abs().sum() > 0 for values in maps.values())
    assert all(values.grad is None for values in theirs.values())
    assert all(p.grad is None for p in teacher.parameters())


def test_collapse_shows_in_its_figures():
    channels = widths(NETWORK)[-1]
    alive, dead = random_maps(6, channels, 1), {name: torch.ones(6, channels, *CELLS, dtype=torch.float64)
                                                for name in ("anchor", "again")}
    views = view(*[STILL] * 6), view(*[OTHERS["none"]] * 6)
    spread = {name: embedding_figures(method().eval()(given(*views, maps), method(5).eval()).embedding)["spread"]
              for name, maps in (("alive", alive), ("dead", dead))}
    assert spread["alive"] > 0.3
    assert spread["dead"] == pytest.approx(0.0, abs=1e-5)
