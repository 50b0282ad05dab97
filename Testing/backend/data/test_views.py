"""Views of unlabelled slices: exact geometry, the right slices, and nothing that depends on batch-mates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from view_toys import ELASTIC, PATCH, SLICE, a_case, dots, numbered_case, points_at, slices_of

from kaf.data.views import View, neighbour_offsets
from kaf.imaging.keypoints import fallback_grid
from kaf.methods.align import overlap_points, to_source

NAMES = ("anchor", "neighbour", "again")
PIXELS = np.stack(np.meshgrid(np.arange(PATCH[0]), np.arange(PATCH[1]), indexing="ij"), -1).reshape(-1, 2)


def sources(view: View) -> np.ndarray:
    """(B, H, W, 2): where in the slice each pixel looks, by the matrix alone."""
    pixels = torch.from_numpy(PIXELS).double().expand(len(view.matrix), -1, -1)
    return to_source(view.matrix.double(), pixels).reshape(-1, *PATCH, 2).numpy()


@pytest.mark.parametrize("aligned", [True, False])
def test_keypoints_land_where_their_anatomy_lands(aligned):
    """A bright dot is drawn at every keypoint, far apart, and looked for around the keypoint of every view.

    The first keypoint is no worse than the others, though borders and padding abound.
    """
    places = [[(30.0, 36.0), (14.5, 20.25), (44.0, 58.0)], [(25.0, 40.0), (40.0, 15.5)], [(33.0, 30.0)]]
    case = a_case(np.stack([dots(at) for at in places]), [points_at(at) for at in places])
    views = slices_of([case], ELASTIC, aligned=aligned)
    rows, columns = np.mgrid[:PATCH[0], :PATCH[1]]
    checked = dict.fromkeys(NAMES, 0)
    first, grid = 0, torch.from_numpy(fallback_grid(*PATCH))
    for step in range(12):
        batch = views.batch(step, 3)
        for name, view in batch.views.items():
            for item in range(3):
                points = view.keypoints[item][view.mask[item]]
                if torch.equal(points, grid):  # none is in sight
                    continue
                for index, (row, column) in enumerate(points.tolist()):
                    if not (7 <= row <= PATCH[0] - 8 and 7 <= column <= PATCH[1] - 8):
                        continue
                    near = np.hypot(rows - row, columns - column) < 6
                    weight = view.image[item, 0].numpy() * near
                    found = [(weight * rows).sum() / weight.sum(), (weight * columns).sum() / weight.sum()]
                    assert np.hypot(found[0] - row, found[1] - column) < 0.35
                    checked[name] += 1
                    first += index == 0
    assert min(checked.values()) > 15
    assert first > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_says_where_every_pixel_looks(name):
    """Slices whose grey value is their row, or their column: OpenCV reads them to a 32nd of a pixel."""
    ramps = [np.broadcast_to(np.mgrid[:SLICE[0], :SLICE[1]][axis], (4, *SLICE)) for axis in (0, 1)]
    batches = [slices_of([a_case(ramp)], names=NAMES).batch(5, 4) for ramp in ramps]
    view = batches[0].views[name]
    expected = sources(view)
    inside = ((expected >= 0) & (expected <= np.array(SLICE) - 1)).all(-1)
    sure = (np.abs(expected - np.round(expected)) > 1e-4).all(-1)
    assert np.array_equal(view.valid.numpy()[sure], inside[sure])
    assert 0.3 < inside.mean() < 1
    for axis in (0, 1):
        seen = batches[axis].views[name].image[:, 0].numpy()
        assert np.abs(seen - expected[..., axis])[inside].max() < 0.04
    linear = view.matrix[:, :, :2].double()
    size = torch.linalg.svdvals(linear)
    assert torch.allclose(size[:, 0], size[:, 1], rtol=1e-5)


def test_an_aligned_view_is_not_bent_though_the_neighbour_may_be():
    ramp = np.broadcast_to(np.mgrid[:SLICE[0], :SLICE[1]][1], (4, *SLICE))
    views = slices_of([a_case(ramp)], ELASTIC).batch(0, 4).views
    bent = {}
    for name, view in views.items():
        off = np.abs(view.image[:, 0].numpy() - sources(view)[..., 1])
        bent[name] = off[view.valid.numpy()].max()
    assert max(bent["anchor"], bent["again"]) < 0.04
    assert bent["neighbour"] > 0.3


@pytest.mark.parametrize("kind", ["superpixels", "labels"])
def test_regions_follow_the_image(kind):
    blocks = np.arange(6 * 8).reshape(6, 8) % 5
    maps = np.stack([np.kron(np.roll(blocks, k, 1), np.ones((10, 10), int))[:SLICE[0], :SLICE[1]] for k in range(3)])
    case = a_case(maps, **{kind: maps.astype(np.uint16 if kind == "superpixels" else np.uint8)})
    for view in slices_of([case], regions=kind).batch(1, 3).views.values():
        image, regions = view.image[:, 0].numpy(), view.regions.numpy()
        pure = np.abs(image - np.round(image)) < 1e-3  # away from borders, which are blurred
        valid = view.valid.numpy()
        # A pixel between equal values is pure too; what is pure by accident is rare.
        assert (regions[valid & pure] == np.round(image[valid & pure]) - 1).mean() > 0.995
        source = np.floor(sources(view) + 0.5).astype(int)
        outside = ((source < 0) | (source >= np.array(SLICE))).any(-1)
        assert (regions[outside] == -1).all()
        assert (regions[valid] == -1).any(), "air, or background, is no region"
        assert regions.dtype == np.int64
    assert all(view.regions is None for view in slices_of([case]).batch(1, 3).views.values())


def test_again_overlaps_the_anchor():
    views = slices_of([numbered_case(4)])
    shares = []
    for step in range(20):
        batch = views.batch(step, 4)
        shares += overlap_points(batch.views["anchor"], batch.views["again"], 12)[2].float().mean(1).tolist()
        assert not torch.equal(batch.views["anchor"].matrix, batch.views["again"].matrix)
    assert min(shares) > 0.1
    assert np.mean(shares) > 0.4


def test_views_show_the_slices_that_they_say():
    """anchor and again the same slice, neighbour one nearby of the same volume, and the anchor's own position."""
    cases = [numbered_case(5, "a", 10), numbered_case(9, "b", 30), numbered_case(1, "c", 50)]
    views, seen = slices_of(cases), set()
    assert len(views) == 15
    for step in range(60):
        batch = views.batch(step, 6)
        shown = {name: [int(image[0][valid].median()) for image, valid in zip(view.image, view.valid, strict=True)]
                 for name, view in batch.views.items()}
        assert shown["anchor"] == shown["again"]
        assert len(set(shown["anchor"])) == 6, "no slice twice in a batch"
        for item, (own, other) in enumerate(zip(shown["anchor"], shown["neighbour"], strict=True)):
            start, count = next((s, n) for s, n in ((50, 1), (30, 9), (10, 5)) if own >= s)
            assert start <= other < start + count
            assert abs(own - other) == (1 if count > 1 else 0)
            assert float(batch.position[item]) == pytest.approx((own - start + 1) / count)
            seen.add(own)
    assert len(seen) == 15, "all slices are learned from"


def test_offsets_of_neighbours():
    """Within 18 % of the volume and two slices, at least one; never past the ends."""
    assert neighbour_offsets(0, 1, 0.18, 2) == [0]
    assert [neighbour_offsets(i, 2, 0.18, 2) for i in (0, 1)] == [[1], [-1]]
    assert [neighbour_offsets(i, 5, 0.18, 2) for i in (0, 2, 4)] == [[1], [-1, 1], [-1]]
    assert [neighbour_offsets(i, 6, 0.18, 2) for i in (0, 3, 5)] == [[1], [-1, 1], [-1]]
    assert [neighbour_offsets(i, 12, 0.18, 2) for i in (0, 1, 5, 11)] == [[1, 2], [-1, 1, 2], [-2, -1, 1, 2], [-2, -1]]
    assert neighbour_offsets(50, 100, 0.18, 2) == [-2, -1, 1, 2]
    assert neighbour_offsets(50, 100, 0.05, 100) == [o for o in range(-5, 6) if o]
    assert neighbour_offsets(50, 100, 0.29, 100) == [o for o in range(-29, 30) if o], "29 % of 100 slices are 29"
    assert neighbour_offsets(3, 10, 0.0, 100) == [-1, 1]


@pytest.mark.parametrize("slices", [1, 2, 5, 6, 12])
def test_neighbours_are_drawn_evenly(slices):
    views = slices_of([numbered_case(slices)], names=("neighbour",))
    counts: dict[int, dict[int, int]] = {}
    step = 0
    for step in range(-(-480 // slices)):
        batch = views.batch(step, slices)
        own, other = (batch.views[n].image[:, 0].flatten(1).max(1).values.int().tolist() for n in NAMES[:2])
        for a, b in zip(own, other, strict=True):
            found = counts.setdefault(a - 1, {})
            found[b - a] = found.get(b - a, 0) + 1
    statistic, freedom = 0.0, 0
    for index in range(slices):
        allowed = neighbour_offsets(index, slices, 0.18, 2)
        assert set(counts[index]) == set(allowed)
        expected = (step + 1) / len(allowed)
        statistic += sum((counts[index][o] - expected) ** 2 / expected for o in allowed)
        freedom += len(allowed) - 1
    assert statistic <= (chi2.ppf(0.999, freedom) if freedom else 0)


def a_mixed_set(**more):
    rng = np.random.default_rng(0)
    cases = []
    for number, slices in enumerate((4, 3)):
        image = rng.normal(size=(slices, *SLICE))
        points = [points_at(rng.uniform(5, 55, (int(rng.integers(1, 12)), 2)), k) for k in range(slices)]
        cases.append(a_case(image, points, str(number), superpixels=(np.abs(image) * 2).astype(np.uint16)))
    return slices_of(cases, ELASTIC.model_copy(update={"intensity": 1.0}), radius=20.0, regions="superpixels", **more)


def same_views(a, b, items=slice(None)):
    """Whether batch b is the ``items`` of batch a; what is padded may be of another length."""
    good = torch.equal(a.position[items], b.position) and torch.equal(a.seeds[items], b.seeds)
    for name, theirs in b.views.items():
        mine = a.views[name].take(items)
        good &= all(torch.equal(getattr(mine, part), getattr(theirs, part))
                    for part in ("image", "valid", "matrix", "regions"))
        most = min(mine.mask.shape[1], theirs.mask.shape[1])
        good &= torch.equal(mine.mask[:, :most], theirs.mask[:, :most]) and not mine.mask[:, most:].any()
        good &= torch.equal(mine.keypoints[:, :most], theirs.keypoints[:, :most]) and not theirs.mask[:, most:].any()
        if name == "anchor":
            good &= torch.equal(a.matches[items][:, :most], b.matches[:, :most])
    return good


def test_a_batch_is_a_function_of_seed_and_step():
    views = a_mixed_set()
    batch = views.batch(4, 5)
    views.batch(9, 5)
    assert same_views(batch, views.batch(4, 5)), "nothing is remembered"
    assert same_views(batch, a_mixed_set().batch(4, 5))
    assert not same_views(batch, views.batch(5, 5))
    assert not same_views(batch, a_mixed_set(seed=4).batch(4, 5))


def test_each_process_makes_its_part_of_the_same_batch():
    views = a_mixed_set()
    whole = views.batch(2, 6)
    for part in (slice(0, 2), slice(2, 4), slice(4, 6), slice(3, 6)):
        assert same_views(whole, views.batch(2, 6, part), part)


def test_a_batch_larger_than_the_set_draws_some_twice_with_other_views():
    batch = slices_of([numbered_case(3)]).batch(0, 8)
    assert len(batch.seeds) == len(set(batch.seeds.tolist())) == 8
    matrices = batch.views["anchor"].matrix
    assert len({tuple(m.flatten().tolist()) for m in matrices}) == 8


def test_a_batch_in_parts():
    batch = a_mixed_set().batch(0, 6)
    parts = batch.split(3)
    assert all(same_views(batch, part, slice(2 * k, 2 * k + 2)) for k, part in enumerate(parts))
    assert batch.split(4) == []


def test_neighbouring_slices_are_channels():
    batch = slices_of([numbered_case(4)], context=1).batch(0, 4)
    image, valid = batch.views["anchor"].image, batch.views["anchor"].valid
    for stack, inside in zip(image, valid, strict=True):
        below, own, above = (int(channel[inside].median()) for channel in stack)
        assert (below, above) == (max(1, own - 1), min(4, own + 1))
