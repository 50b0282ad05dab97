"""The same place in two views: points and maps carried over by the known transforms."""

from __future__ import annotations

import pytest
import torch
from method_toys import about, cells_of, make_view, random_numbers, turned

from kaf.methods.align import carried, from_source, inside, overlap_points, sample, to_source

VIEW, SLICE = (32, 48), (60, 70)
MATRICES = {
    "still": turned(0), "flipped": turned(0, flips=(True, False)), "both flips": turned(0, flips=(True, True)),
    "turned": turned(30), "quarter": turned(90), "zoomed": turned(0, 1.4), "moved": turned(0, offset=(3, -5)),
    "all": turned(-70, 0.8, (False, True), (2.5, 4)),
}


def matrices(*names):
    return torch.stack([about(MATRICES[name], VIEW, SLICE) for name in names])


def view_of(*names, valid=None):
    image = torch.zeros(len(names), 1, *VIEW)
    return make_view(image, matrix=matrices(*names), **({} if valid is None else {"valid": valid}))


def linear(places):
    """Three features that are linear in the place, so that bilinear reading is exact."""
    row, column = places[..., 0], places[..., 1]
    return torch.stack([0.1 * row - 0.05 * column + 1, 0.02 * row + 0.07 * column, row * 0 + 2], -1)


def linear_map(matrix, stride):
    return linear(cells_of(matrix, *VIEW, stride)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", MATRICES)
def test_points_go_to_the_slice_and_come_back(name):
    matrix = matrices(name)
    points = 40 * random_numbers(1, 9, 2)
    there = to_source(matrix, points)
    for point, moved in zip(points[0], there[0], strict=True):
        assert torch.allclose(moved, matrix[0] @ torch.cat([point, torch.ones(1, dtype=torch.float64)]))
    assert torch.allclose(from_source(matrix, there), points)


def test_places_are_never_computed_in_half_precision():
    matrix, points = matrices("all").float(), 300 * random_numbers(1, 20, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = to_source(matrix, points)
    assert torch.equal(found, to_source(matrix, points))


@pytest.mark.parametrize("stride", [1, 2, 8, 16])
def test_a_map_is_read_where_its_cells_are(stride):
    """Cell i of a map looks at the pixels i * stride .. (i + 1) * stride - 1, so its middle is half a stride on."""
    rows, columns = VIEW[0] // stride, VIEW[1] // stride
    values = random_numbers(1, 3, rows, columns)
    middles = cells_of(turned(0), *VIEW, stride).reshape(1, -1, 2)
    assert torch.allclose(sample(values, middles, stride)[0].T.reshape(3, rows, columns), values[0])
    between = (middles[:, :1] + middles[:, columns + 1:columns + 2]) / 2
    assert torch.allclose(sample(values, between, stride)[0, 0], values[0, :, :2, :2].mean((1, 2)))
    assert torch.allclose(sample(values, torch.tensor([[[-9.0, -9.0]]]).double(), stride)[0, 0], values[0, :, 0, 0])


def test_inside_is_within_the_view_and_the_slice():
    valid = torch.ones(1, *VIEW, dtype=torch.bool)
    valid[0, 4, 7] = False
    view = view_of("still", valid=valid)
    points = {(0.0, 0.0): True, (-0.5, 3.0): True, (-0.6, 3.0): False, (31.4, 47.4): True, (31.6, 0.0): False,
              (0.0, 47.6): False, (4.0, 7.0): False, (4.4, 7.4): False, (4.6, 7.0): True, (4.0, 6.4): True}
    found = inside(view, torch.tensor([list(points)], dtype=torch.float64))
    assert found[0].tolist() == list(points.values())


@pytest.mark.parametrize("second", MATRICES)
def test_points_of_the_overlap_are_one_place_in_both_views(second):
    a, b = view_of("all"), view_of(second)
    in_a, in_b, there = overlap_points(a, b, 6)
    assert in_a.shape == in_b.shape == (1, 36, 2)
    places = to_source(a.matrix, in_a)
    assert torch.allclose(places, to_source(b.matrix, in_b))
    assert there.float().mean() > 0.2
    assert torch.equal(there, inside(a, in_a) & inside(b, in_b))
    # A regular grid over the common box of the slice.
    rows, columns = places[0, ::6, 0], places[0, :6, 1]
    assert torch.allclose(rows.diff(), rows.diff()[0].expand(5))
    assert torch.allclose(columns.diff(), columns.diff()[0].expand(5))
    corners = torch.tensor([[[0.0, 0.0], [31, 0], [0, 47], [31, 47]]], dtype=torch.float64)
    furthest = [to_source(view.matrix, corners)[0].amax(0) for view in (a, b)]
    assert torch.allclose(places[0, -1], torch.minimum(*furthest))


def test_views_that_do_not_meet_have_no_points_in_common():
    a = view_of("still", "still")
    b = view_of("still", "still")
    b.matrix = b.matrix.clone()
    b.matrix[0, 0, 2] += 100
    assert overlap_points(a, b, 4)[2].any(1).tolist() == [False, True]


def test_what_lies_outside_the_slice_is_no_overlap():
    valid = torch.ones(1, *VIEW, dtype=torch.bool)
    valid[:, :16] = False
    in_a, _, there = overlap_points(view_of("still", valid=valid), view_of("still"), 8)
    assert torch.equal(there[0], in_a[0, :, 0] > 15.5)
    assert torch.equal(overlap_points(view_of("still"), view_of("still", valid=valid), 8)[2], there)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("name", MATRICES)
def test_a_map_that_follows_the_anatomy_is_carried_onto_itself(name, stride):
    """Features that are a function of the place in the slice are the same after being carried over."""
    a, b = view_of("still"), view_of(name)
    moved, known = carried(linear_map(a.matrix[0], stride), a, b, stride)
    expected = linear_map(b.matrix[0], stride)
    in_a = from_source(a.matrix, to_source(b.matrix, cells_of(turned(0), *VIEW, stride).reshape(1, -1, 2)))[0]
    low, high = (stride - 1) / 2, torch.tensor([VIEW[0], VIEW[1]]) - 1 - (stride - 1) / 2
    surrounded = ((in_a >= low) & (in_a <= high)).all(1).view(known.shape)
    assert surrounded.float().mean() > 0.2
    assert known[surrounded].all()
    assert (moved - expected).abs().amax(1)[surrounded].max() < 1e-9
    if name != "still":
        assert (moved - linear_map(a.matrix[0], stride)).abs().amax(1)[surrounded].max() > 0.02, "it moved"


def test_cells_that_the_other_view_does_not_see_are_not_known():
    a, b = view_of("still"), view_of("still")
    b.matrix = b.matrix.clone()
    b.matrix[:, 0, 2] += 10  # b looks ten rows further down
    valid = torch.ones(1, *VIEW, dtype=torch.bool)
    valid[:, :, :6] = False
    b.valid = valid
    values = random_numbers(1, 2, 2 * 16, 48)
    moved, known = carried(values, a, b, 1)
    expected = torch.zeros(32, 48, dtype=torch.bool)
    expected[:22, 6:] = True
    assert torch.equal(known[0], expected)
    assert torch.allclose(moved[0, :, :22], values[0, :, 10:])
    # A map may be larger than its view, because the network fills up to a multiple of 16: that is never known.
    larger, known = carried(random_numbers(1, 2, 48, 48), view_of("still"), view_of("still"), 1)
    assert larger.shape == (1, 2, 48, 48)
    assert known[0, :32].all()
    assert not known[0, 32:].any()
