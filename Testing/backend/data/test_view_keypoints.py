"""Keypoints of views: kept or replaced by a grid, matched between slices, hidden with what is hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from view_toys import MOVING, PATCH, SLICE, a_case, points_at, slices_of

from kaf.data.views import View, hide_squares
from kaf.imaging.keypoints import Keypoints, fallback_grid
from kaf.methods.align import to_source

NAMES = ("anchor", "neighbour")


def test_slices_without_keypoints_are_kept_and_get_a_grid():
    """Nothing found, or nothing left inside the patch."""
    nothing = Keypoints(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 128), np.uint8))
    corner = points_at([(0, 0)])
    numbers = np.broadcast_to(np.arange(1, 4)[:, None, None], (3, *SLICE)).copy()
    still = MOVING.model_copy(update={"rotation": 0, "scale": 1, "flips": (False, False)})
    views = slices_of([a_case(numbers, [nothing, corner, points_at([(30, 36)])])], still, radius=10.0)
    grid = torch.from_numpy(fallback_grid(*PATCH))
    seen = set()
    for step in range(6):
        batch = views.batch(step, 3)
        for view in batch.views.values():
            assert view.mask.any(1).all()
            for image, keypoints, mask in zip(view.image, view.keypoints, view.mask, strict=True):
                number = int(image.max())
                seen.add(number)
                if number < 3:
                    assert torch.equal(keypoints[mask], grid)
                else:
                    assert len(keypoints[mask]) == 1
        assert (batch.matches == -1).all()
    assert seen == {1, 2, 3}


def test_matches_join_the_same_anatomy():
    """Every keypoint with a match in both views names the right one there, however it was moved; all others -1."""
    rng = np.random.default_rng(5)
    places = np.stack(np.meshgrid(6 + 11.5 * np.arange(5), 7 + 14.5 * np.arange(5)), -1).reshape(-1, 2)
    order = rng.permutation(25)
    first = points_at(places)
    # The same 25 places a little further down, in another order; the last five elsewhere.
    moved = np.where(np.arange(25)[:, None] < 20, [1.5, -1.0], [-5.0, 6.0])
    other = points_at(places[order] + moved, seed=9)
    assert first.descriptors is not None
    assert other.descriptors is not None
    other.descriptors[:20] = first.descriptors[order[:20]]
    pairs = {int(order[k]): k for k in range(20)}
    numbers = np.broadcast_to(np.arange(1, 3)[:, None, None], (2, *SLICE)).copy()
    views = slices_of([a_case(numbers, [first, other])], names=("neighbour",), radius=3.0)
    matched = free = 0
    for step in range(15):
        batch = views.batch(step, 2)
        a, b = (batch.views[name] for name in NAMES)
        for item in range(2):
            known = [first, other] if int(a.image[item].max()) == 1 else [other, first]
            at = [which(view, item, points) for view, points in zip((a, b), known, strict=True)]
            assert int(a.mask[item].sum()) == len(at[0])
            for index, source in enumerate(at[0]):
                partner = pairs.get(source, -1) if known[0] is first else next(
                    (f for f, o in pairs.items() if o == source), -1)
                expected = at[1].index(partner) if partner in at[1] else -1
                assert int(batch.matches[item, index]) == expected
                matched, free = matched + (expected >= 0), free + (expected < 0)
            assert (batch.matches[item, len(at[0]):] == -1).all()
    assert matched > 100
    assert free > 100


def which(view: View, item: int, points: Keypoints) -> list[int]:
    """The number of the source keypoint behind every real keypoint of a view."""
    own = view.keypoints[item][view.mask[item]].double()[None]
    back = to_source(view.matrix[item:item + 1].double(), own)[0].numpy()
    apart = np.linalg.norm(back[:, None] - points.positions[None], axis=-1)
    assert (apart.min(1) < 1e-3).all()
    return apart.argmin(1).tolist()


def test_a_fallback_grid_matches_nothing():
    """It has no descriptors; zeros are near to anything."""
    grid = Keypoints(fallback_grid(*SLICE), np.zeros(2, np.float32), np.zeros((2, 128), np.uint8))
    real = points_at(grid.positions + 1)
    numbers = np.broadcast_to(np.arange(1, 3)[:, None, None], (2, *SLICE)).copy()
    for points, some in (([grid, real], False), ([grid, grid], False), ([real, real], True)):
        views = slices_of([a_case(numbers, points)], radius=30.0, augmentation=MOVING.model_copy(update={"scale": 1.0}))
        assert any((views.batch(step, 2).matches >= 0).any() for step in range(3)) == some


def a_view(keypoints):
    image = 3 + torch.rand(len(keypoints), 2, 40, 50, generator=torch.Generator().manual_seed(0))
    points = torch.tensor(keypoints)
    return View(image, points, torch.ones(points.shape[:2], dtype=torch.bool),
                torch.ones(len(keypoints), 40, 50, dtype=torch.bool), torch.eye(2, 3).expand(len(keypoints), 2, 3))


def test_about_the_asked_share_is_hidden_in_squares():
    view = a_view([[[0.0, 0.0]]] * 30)
    before = view.image.clone()
    for share in (0.3, 0.6):
        found = hide_squares(view, share, 8, torch.arange(30))
        assert found.hidden is not None
        assert float(found.hidden.float().mean()) == pytest.approx(share, abs=0.05)
        whole = found.hidden[:, :, :48].unfold(1, 8, 8).unfold(2, 8, 8)  # blocks of 8 x 8
        assert ((whole.float().mean((3, 4)) == 0) | (whole.float().mean((3, 4)) == 1)).all()
        hidden = found.hidden[:, None].expand_as(found.image)
        assert not found.image[hidden].any()
        assert torch.equal(found.image[~hidden], before[~hidden])
        assert not torch.equal(found.hidden[0], found.hidden[1])
        again = hide_squares(view.take(slice(7, 9)), share, 8, torch.arange(30)[7:9])
        assert again.hidden is not None
        assert torch.equal(again.hidden, found.hidden[7:9]), "a slice's own seed decides"
    assert torch.equal(view.image, before)
    assert view.hidden is None


def test_keypoints_in_hidden_squares_are_hidden():
    """The pixel of a keypoint is the one in which the network sees it: 7.5 and 8.4 lie in pixel 8."""
    places = [[r, c] for r in (0.0, 7.4, 7.5, 8.4, 15.5, 16.5, 39.4) for c in (-0.4, 8.5, 23.5, 31.6, 49.4)]
    view = a_view([places] * 6)
    found = hide_squares(view, 0.5, 8, torch.arange(6))
    assert found.hidden is not None
    for item in range(6):
        for (row, column), seen in zip(places, found.mask[item].tolist(), strict=True):
            assert seen != bool(found.hidden[item, int(row + 0.5), max(0, int(column + 0.5))])
    assert 0.3 < found.mask.float().mean() < 0.7
    view.mask[:, 3] = False
    assert not hide_squares(view, 0.5, 8, torch.arange(6)).mask[:, 3].any(), "padding stays padding"


def test_the_radius_may_be_in_mm_and_chance_is_counted():
    rng = np.random.default_rng(1)
    places = rng.uniform(5, 55, (20, 2))
    first, other = points_at(places), points_at(places + np.array([4.0, 0.0]))
    case = a_case(np.broadcast_to(np.arange(1, 3)[:, None, None], (2, *SLICE)).copy(), [first, other])
    assert first.descriptors is not None
    assert other.descriptors is not None
    other.descriptors[:] = first.descriptors
    pixel = max(case.spacing[1:])
    found = {}
    for name, more in {"near": {"radius_mm": 3.0 * pixel}, "right": {"radius_mm": 6.0 * pixel},
                       "ratio": {"radius_mm": 60.0 * pixel, "ratio": 0.8}}.items():
        views = slices_of([case], names=("neighbour",), radius=30.0, **more)
        found[name] = views.batch(0, 2).found
    assert found["near"][:, 0].max() < 20
    assert (found["right"][:, 0] == 20).all()
    assert found["right"][:, 1].max() < 20, "shuffled, most have their partner elsewhere"
    assert (found["ratio"][:, 0] == 20).all()
    assert slices_of([case], names=("neighbour",)).batch(0, 2).found is None
