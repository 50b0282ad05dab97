"""The canonical grid: the same anatomy always looks the same, and labels come back to their own voxels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch

from kaf.imaging import grid as grid_module
from kaf.imaging.grid import canonical_grid
from kaf.runtime.errors import InputError

ORIENTATIONS = list(product(permutations(range(3)), product((False, True), repeat=3)))  # all 48
BASE_SPACING = np.array([0.8, 1.1, 2.5])  # along R, A, S before rotation
BASE_SHAPE = (9, 12, 7)


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """A rotation about x, then y, then z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[b, a], step[a, b] = np.sin(angle), -np.sin(angle)
        result = step @ result
    return result


def affine_of(spacing=BASE_SPACING, turned=(0.0, 0.0, 0.0), origin=(-20.0, 35.0, 110.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(turned) * spacing
    affine[:3, 3] = origin
    return affine


def stored(anatomy: np.ndarray, affine: np.ndarray, order, flips) -> tuple[np.ndarray, np.ndarray]:
    """Anatomy (R, A, S indices) with its affine, as a file with another axis order and direction holds it."""
    voxels, matrix, origin = anatomy.transpose(order), affine[:3, :3][:, list(order)], affine[:3, 3].copy()
    for axis, flip in enumerate(flips):
        if flip:
            voxels = np.flip(voxels, axis)
            origin += matrix[:, axis] * (voxels.shape[axis] - 1)
            matrix[:, axis] *= -1
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = matrix, origin
    return np.ascontiguousarray(voxels.transpose(2, 1, 0)), result


def world_of_voxels(shape, affine) -> np.ndarray:
    """RAS position of every voxel, (k, j, i, 3)."""
    k, j, i = np.indices(shape)
    return np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("turned", [(0, 0, 0), (12, -8, 20)], ids=["straight", "oblique"])
@pytest.mark.parametrize("slicing_axis", ["largest-spacing", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("spacing", [None, 0.5, 1.7])
def test_same_anatomy_in_all_48_orientations_is_one_canonical_array(turned, slicing_axis, spacing):
    anatomy = np.random.default_rng(0).integers(-1000, 1000, BASE_SHAPE).astype(np.int16)
    affine = affine_of(turned=turned)
    first = None
    for order, flips in ORIENTATIONS:
        voxels, its_affine = stored(anatomy, affine, order, flips)
        grid = canonical_grid(voxels.shape, its_affine, spacing, slicing_axis)
        canonical = grid.to_canonical(voxels)
        if first is None:
            first = canonical, grid.canonical_affine
        np.testing.assert_array_equal(canonical, first[0])
        np.testing.assert_allclose(grid.canonical_affine, first[1], atol=1e-9)
    assert len(ORIENTATIONS) == 48


@pytest.mark.parametrize(
    ("plane", "directions"),
    [("axial", "LPS"), ("coronal", "LIA"), ("sagittal", "PIL")],
)
def test_columns_rows_and_slices_run_where_they_should(plane, directions):
    units = {"L": (-1, 0, 0), "P": (0, -1, 0), "A": (0, 1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    for order, flips in ORIENTATIONS:
        _, affine = stored(np.zeros(BASE_SHAPE), affine_of(turned=(10, 15, -20)), order, flips)
        grid = canonical_grid(tuple(np.array(BASE_SHAPE)[list(order)][::-1]), affine, None, plane)
        for axis, direction in enumerate(directions):
            step = grid.canonical_affine[:3, axis]
            assert step @ units[direction] > 0.8 * np.linalg.norm(step)
        assert grid.plane == plane


@pytest.mark.parametrize("slicing_axis", ["largest-spacing", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("turned", [(0, 0, 0), (25, -10, 30)], ids=["straight", "oblique"])
def test_block_at_a_known_place_comes_back_on_exactly_its_voxels(slicing_axis, turned):
    """The block is drawn in the canonical frame from RAS positions alone; its pixels divide the voxels."""
    low, high = np.array([1.5, 2.5, 0.5]), np.array([6.5, 8.5, 4.5])  # voxel edges, in R, A, S indices
    base = affine_of((1.2, 1.2, 2.4), turned)

    def inside(world):
        index = (world - base[:3, 3]) @ np.linalg.inv(base[:3, :3]).T
        return ((index > low) & (index < high)).all(-1)

    for order, flips in ORIENTATIONS:
        voxels, affine = stored(np.zeros(BASE_SHAPE), base, order, flips)
        expected = inside(world_of_voxels(voxels.shape, affine)).astype(np.uint8)
        assert expected.sum() == 5 * 6 * 4
        for spacing in (None, 0.4):
            grid = canonical_grid(voxels.shape, affine, spacing, slicing_axis)
            drawn = inside(world_of_voxels(grid.canonical_shape, grid.canonical_affine)).astype(np.uint8)
            np.testing.assert_array_equal(grid.labels_to_input(drawn), expected)
            canonical = grid.labels_to_canonical(expected)
            np.testing.assert_array_equal(grid.labels_to_input(canonical), expected)
            if spacing is None:
                np.testing.assert_array_equal(canonical, drawn)
            scores = torch.from_numpy(np.stack([1.0 - drawn, drawn * 1.0], 1)) - 0.5
            np.testing.assert_array_equal(grid.place(grid.logits_to_input_slices(scores)), expected)


def test_round_trip_without_resampling_is_exact():
    rng = np.random.default_rng(1)
    for order, flips in ORIENTATIONS:
        anatomy = rng.normal(size=BASE_SHAPE).astype(np.float32)
        voxels, affine = stored(anatomy, affine_of(turned=(5, 5, 5)), order, flips)
        grid = canonical_grid(voxels.shape, affine)
        assert not grid.pixels_resampled
        canonical = grid.to_canonical(voxels)
        for back in (grid.place(canonical), grid.map_to_input(canonical)):
            np.testing.assert_array_equal(back, voxels)
            assert back.flags.c_contiguous
            assert back.dtype == np.float32
        labels = rng.integers(0, 256, voxels.shape).astype(np.uint8)
        np.testing.assert_array_equal(grid.labels_to_input(grid.labels_to_canonical(labels)), labels)


@pytest.mark.parametrize("spacing", [None, 0.37, 1.9])
def test_points_and_canonical_affine_agree_in_the_world(spacing):
    rng = np.random.default_rng(2)
    for order, flips in ORIENTATIONS:
        voxels, affine = stored(np.zeros(BASE_SHAPE), affine_of(turned=(-30, 12, 7)), order, flips)
        grid = canonical_grid(voxels.shape, affine, spacing)
        points = rng.uniform(-3, 15, (20, 3))  # slice, row, column
        ijk = grid.points_to_input(points)
        through_input = ijk @ affine[:3, :3].T + affine[:3, 3]
        canonical_affine = grid.canonical_affine
        direct = points[:, ::-1] @ canonical_affine[:3, :3].T + canonical_affine[:3, 3]
        np.testing.assert_allclose(direct, through_input, atol=1e-6)
        np.testing.assert_allclose(grid.points_to_canonical(ijk), points, atol=1e-9)


def test_extent_is_kept_and_spacing_says_what_pixels_measure():
    affine = affine_of((0.98, 0.98, 5.0))
    grid = canonical_grid((10, 101, 90), affine, 1.4)
    assert grid.canonical_shape == (10, 71, 63)
    np.testing.assert_allclose(grid.spacing, (5.0, 0.98 * 101 / 71, 0.98 * 90 / 63))
    corner_in, corner_out = (grid.points_to_input(np.array([[s, r - 0.5, c - 0.5]])) for s, r, c in
                             ((0, 0, 0), (9, 71, 63)))
    np.testing.assert_allclose(corner_in, [[89.5, 100.5, 0]])  # this phantom's axes run toward R and A
    np.testing.assert_allclose(corner_out, [[-0.5, -0.5, 9]], atol=1e-9)


def discs(n: int, shape=(80, 90)) -> np.ndarray:
    """Discs at random places, one per slice, with an edge two pixels wide, 0..1."""
    rng = np.random.default_rng(5)
    rows, columns = np.indices(shape)
    distances = [np.hypot(rows - rng.uniform(30, 50), columns - rng.uniform(30, 60)) for _ in range(n)]
    return np.stack([1 / (1 + np.exp(2 * (distance - rng.uniform(8, 25)))) for distance in distances])


def centroids(weights: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The centre of mass of each slice in the world, (slices, 2) mm."""
    weights = weights.astype(np.float64)
    total = weights.sum((1, 2))
    column = (weights.sum(1) * np.arange(weights.shape[2])).sum(1) / total
    row = (weights.sum(2) * np.arange(weights.shape[1])).sum(1) / total
    return np.stack([column, row], 1) @ affine[:2, :2].T + affine[:2, 3]


@pytest.mark.parametrize("spacing", [0.33, 0.7, 1.3, 2.0, 2.5])
def test_no_half_pixel_shift_of_discs(spacing):
    """Each picture keeps its centroid; label maps, which round to pixels, keep it on average."""
    smooth, affine = discs(60), affine_of((1.0, 1.0, 5.0))
    grid = canonical_grid(smooth.shape, affine, spacing)
    canonical = grid.to_canonical(smooth)
    before = centroids(smooth, affine)
    np.testing.assert_allclose(centroids(canonical, grid.canonical_affine), before, atol=0.05)
    np.testing.assert_allclose(centroids(grid.map_to_input(canonical), affine), before, atol=0.05)

    labels = (smooth > 0.5).astype(np.uint8)
    before = centroids(labels, affine)
    canonical_labels = grid.labels_to_canonical(labels)
    scores = torch.from_numpy(np.stack([0.5 - canonical, canonical - 0.5], 1))
    results = [
        (canonical_labels, grid.canonical_affine),
        (grid.labels_to_input(canonical_labels), affine),
        (grid.place(grid.logits_to_input_slices(scores)), affine),
    ]
    for after, matrix in results:
        assert np.abs((centroids(after, matrix) - before).mean(0)).max() < 0.05
    area = canonical_labels.sum() * np.prod(grid.spacing[1:])
    assert area == pytest.approx(labels.sum(), rel=0.03)


def bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The plain formula: source = (target + 1/2) n / m - 1/2, clamped at the border."""
    result = np.empty(size)
    for r, c in np.ndindex(*size):
        y = np.clip((r + 0.5) * image.shape[0] / size[0] - 0.5, 0, image.shape[0] - 1)
        x = np.clip((c + 0.5) * image.shape[1] / size[1] - 0.5, 0, image.shape[1] - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
        fy, fx = y - top, x - left
        result[r, c] = ((1 - fy) * ((1 - fx) * image[top, left] + fx * image[top, right])
                        + fy * ((1 - fx) * image[bottom, left] + fx * image[bottom, right]))
    return result


def las(shape, spacing=(1.0, 1.0, 5.0)):
    """An affine for which the canonical frame is the file's own (axes toward L, P, S)."""
    return np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])


def test_growing_follows_the_plain_formula():
    voxels = np.random.default_rng(3).normal(size=(2, 7, 9)).astype(np.float32)
    grid = canonical_grid(voxels.shape, las(voxels.shape), 0.6)
    for plain, ours in zip(voxels, grid.to_canonical(voxels), strict=True):
        np.testing.assert_allclose(ours, bilinear(plain, grid.size), atol=1e-5)


def test_shrinking_averages_instead_of_skipping():
    stripes = np.tile(np.array([0.0, 100.0], np.float32), (1, 64, 32))  # columns alternate
    grid = canonical_grid(stripes.shape, las(stripes.shape), 4.0)
    inner = grid.to_canonical(stripes)[:, :, 1:-1]
    np.testing.assert_allclose(inner, 50.0, atol=2.0)


def test_scores_of_many_classes_against_all_at_once():
    torch.manual_seed(0)
    scores = torch.randn(3, 6, 10, 12)
    grid = canonical_grid((3, 16, 18), las(None), 1.55)
    assert grid.size == (10, 12)
    everything = torch.nn.functional.interpolate(scores, (16, 18), mode="bilinear", align_corners=False)
    np.testing.assert_array_equal(grid.logits_to_input_slices(scores), everything.argmax(1).numpy())
    half = grid.logits_to_input_slices(scores.bfloat16())
    assert (half == everything.argmax(1).numpy()).mean() > 0.97
    plain = canonical_grid((3, 10, 12), las(None))
    np.testing.assert_array_equal(plain.logits_to_input_slices(scores), scores.argmax(1).numpy())
    ties = torch.tensor([1.0, 3.0, 3.0, 2.0]).view(1, 4, 1, 1).expand(3, 4, 10, 12)
    assert (plain.logits_to_input_slices(ties) == 1).all()
    with pytest.raises(ValueError, match="pixels"):
        plain.logits_to_input_slices(scores[..., :-1])


def test_each_pixel_gets_the_label_with_the_largest_share():
    row = np.array([0, 3, 3, 3, 0, 0, 9, 9, 9, 0, 0, 0], np.int16)
    labels = np.broadcast_to(row, (1, 12, 12))
    grid = canonical_grid(labels.shape, las(None), 3.0)
    canonical = grid.labels_to_canonical(labels)
    assert canonical.dtype == np.uint8
    np.testing.assert_array_equal(canonical[0, 1], [3, 0, 9, 0])


def test_voxel_between_two_pixels_takes_the_lower_label():
    canonical = np.broadcast_to(np.array([0, 5, 0], np.uint8), (1, 3, 3))
    grid = canonical_grid((1, 3, 9), las(None), 3.0)
    assert grid.size == (1, 3)
    np.testing.assert_array_equal(grid.labels_to_input(canonical[:, :1])[0, 0], [0, 0, 0, 5, 5, 5, 0, 0, 0])
    coarse = canonical_grid((1, 1, 3), las(None), 0.5)  # 6 pixels for 3 voxels: every centre lies between two
    row = np.array([[[2, 0, 7, 7, 0, 9]] * 2], np.uint8)
    np.testing.assert_array_equal(coarse.labels_to_input(row)[0, 0], [0, 7, 0])


def test_chunks_of_slices_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    voxels = rng.normal(size=(11, 20, 22)).astype(np.float32)
    labels = rng.integers(0, 4, voxels.shape).astype(np.uint8)
    grid = canonical_grid(voxels.shape, las(None), 1.4)
    whole = grid.to_canonical(voxels), grid.labels_to_canonical(labels)
    back = grid.map_to_input(whole[0])
    monkeypatch.setattr(grid_module, "_CHUNK_BYTES", 4 * 3 * (20 * 22 + np.prod(grid.size)))
    np.testing.assert_array_equal(grid.to_canonical(voxels), whole[0])
    np.testing.assert_array_equal(grid.labels_to_canonical(labels), whole[1])
    np.testing.assert_array_equal(grid.labels_to_canonical(labels, [2, 7, 8]), whole[1][[2, 7, 8]])
    np.testing.assert_array_equal(grid.map_to_input(whole[0]), back)


def test_isotropic_volume_is_cut_axially_however_it_is_stored():
    for order, flips in ORIENTATIONS:
        _, affine = stored(np.zeros(BASE_SHAPE), affine_of((1.0, 1.0, 0.995)), order, flips)
        shape = tuple(np.array(BASE_SHAPE)[list(order)][::-1])
        assert canonical_grid(shape, affine).plane == "axial"
    assert canonical_grid(BASE_SHAPE, affine_of((1.0, 1.0, 0.98))).plane == "coronal"
    assert canonical_grid(BASE_SHAPE, affine_of((1.3, 1.0, 0.98))).plane == "sagittal"


def test_rounding_does_not_decide_at_45_degrees():
    chosen = {canonical_grid(BASE_SHAPE, affine_of((1, 1, 3), (0, 0, 45 + tiny))).order
              for tiny in (-1e-9, 0.0, 1e-9)}
    assert len(chosen) == 1
    assert canonical_grid(BASE_SHAPE, affine_of((1, 1, 3), (0, 0, 44))).order == (0, 1, 2)
    assert canonical_grid(BASE_SHAPE, affine_of((1, 1, 3), (0, 0, 46))).order == (0, 2, 1)


def test_input_is_neither_changed_nor_shared_and_may_be_read_only(recwarn):
    voxels = np.ones((3, 8, 8), np.float32)
    voxels.setflags(write=False)
    for spacing in (None, 1.5):
        canonical = canonical_grid(voxels.shape, las(None), spacing).to_canonical(voxels)
        canonical[:] = 7
    assert (voxels == 1).all()
    assert not recwarn.list


def test_refusals():
    with pytest.raises(InputError, match="'transverse' is unknown"):
        canonical_grid(BASE_SHAPE, np.eye(4), None, "transverse")
    for spacing in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="not a pixel size"):
            canonical_grid(BASE_SHAPE, np.eye(4), spacing)
    with pytest.raises(InputError, match="4 x 4 matrix"):
        canonical_grid(BASE_SHAPE, np.diag([1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="shape"):
        canonical_grid((3, 8, 8), las(None)).to_canonical(np.zeros((8, 8, 3)))
