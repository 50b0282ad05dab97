"""Keypoints: found where they were drawn, strongest first, apart, never none; matched as by brute force."""

import cv2
import numpy as np
import pytest

from kaf.imaging.keypoints import (
    DESCRIPTOR_WIDTH,
    Keypoints,
    by_chance,
    detect,
    detect_slices,
    fallback_grid,
    match,
    pad_keypoints,
    space_apart,
    to_uint8,
)
from kaf.settings.preparation import KeypointSettings

CENTRES = np.array([[20, 30], [40.25, 80.5], [70.5, 25.75], [90, 95]], np.float32)


def blobs(centres, heights, sigma=3.0, shape=(120, 130)):
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    image = np.zeros(shape, np.float32)
    for (row, column), height in zip(centres, heights, strict=True):
        image += height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma ** 2))
    return image


def texture(seed, shape=(110, 90), sigma=1.5):
    return cv2.GaussianBlur(np.random.default_rng(seed).random(shape).astype(np.float32), (0, 0), sigma)


def same(a, b):
    return (np.array_equal(a.positions, b.positions) and np.array_equal(a.response, b.response)
            and np.array_equal(a.descriptors, b.descriptors))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_blobs_are_found_strongest_first(order):
    heights = np.empty(4)
    heights[list(order)] = 1, 0.8, 0.6, 0.4
    found = detect(blobs(CENTRES, heights), KeypointSettings(limit=4))
    assert len(found) == 4
    # SIFT puts a keypoint a quarter of a pixel too far along both axes.
    assert np.abs(found.positions - CENTRES[list(order)]).max() < 0.5
    assert (np.diff(found.response) < 0).all()
    assert found.positions.dtype == found.response.dtype == np.float32
    assert found.descriptors is None


def test_detection_is_deterministic_and_does_not_depend_on_threads():
    slices = np.stack([texture(seed) for seed in range(6)])
    settings = KeypointSettings(limit=60)
    once = [detect(image, settings, describe=True) for image in slices]
    for threads in (1, 4):
        again = detect_slices(slices, settings, describe=True, threads=threads)
        assert all(same(a, b) for a, b in zip(once, again, strict=True))


def test_intensity_scale_does_not_matter():
    image = np.round(texture(3) * 2048)
    assert same(detect(image, KeypointSettings(), True), detect(4 * image - 1024, KeypointSettings(), True))


@pytest.mark.parametrize("spacing", [0, 1, 2.5, 3, 8])
def test_limit_and_spacing(spacing):
    image = texture(1)
    everything = detect(image, KeypointSettings(limit=4096, spacing=spacing, contrast=0.001))
    some = detect(image, KeypointSettings(limit=25, spacing=spacing, contrast=0.001))
    assert len(some) == 25 < len(everything)
    assert np.array_equal(some.positions, everything.positions[:25]), "the limit keeps the strongest"
    assert (np.diff(everything.response) <= 0).all()
    pixels = np.floor(everything.positions + 0.5)
    apart = np.abs(pixels[:, None] - pixels[None]).max(-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= spacing
    assert spacing == 0 or np.linalg.norm(pixels[:, None] - pixels, axis=-1)[apart < np.inf].min() >= spacing
    assert (everything.positions >= 0).all()
    assert (everything.positions <= np.array(image.shape) - 1).all()


@pytest.mark.parametrize("minimum", [0, 1, 2, 2.5, 4])
@pytest.mark.parametrize("limit", [5, 1000])
def test_space_apart_is_the_greedy_choice(minimum, limit):
    positions = np.random.default_rng(0).uniform(-0.5, [29.49, 19.49], (300, 2)).astype(np.float32)
    pixels, kept = np.floor(positions + 0.5), []
    for index, pixel in enumerate(pixels):
        if len(kept) < limit and all(np.abs(pixel - pixels[other]).max() >= minimum for other in kept):
            kept.append(index)
    assert space_apart(positions, minimum, (30, 20), limit).tolist() == kept


def test_space_apart_of_nothing():
    assert len(space_apart(np.zeros((0, 2), np.float32), 3.0, (10, 10), 5)) == 0


@pytest.mark.parametrize("value", [0.0, -1000.0, 3.5])
def test_a_constant_slice_gets_the_grid(value):
    found = detect(np.full((70, 100), value, np.float32), KeypointSettings(), describe=True)
    assert np.array_equal(found.positions, fallback_grid(70, 100))
    assert not found.response.any()
    assert found.descriptors.shape == (6, DESCRIPTOR_WIDTH)
    assert not found.descriptors.any()


@pytest.mark.parametrize(("height", "width", "count"),
                         [(70, 100, 6), (32, 32, 1), (5, 5, 1), (1, 1, 1), (3, 200, 6)])
def test_the_grid_is_even_and_central(height, width, count):
    grid = fallback_grid(height, width)
    assert grid.shape == (count, 2)
    assert grid.mean(0) == pytest.approx([(height - 1) / 2, (width - 1) / 2])
    assert (grid >= 0).all()
    assert (grid <= np.array([height, width]) - 1).all()
    for axis, size in enumerate((height, width)):
        steps = np.diff(np.unique(grid[:, axis]))
        assert np.allclose(steps, steps[:1])
        assert (steps >= 32).all()
        assert (steps < 64).all()
        assert len(steps) or size < 64


@pytest.mark.parametrize("shape", [(8, 8), (3, 200), (200, 3), (1, 1), (1, 40), (2, 2)])
def test_tiny_slices(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    found = detect(image, KeypointSettings(), describe=True)
    assert len(found) >= 1
    assert found.descriptors.shape == (len(found), DESCRIPTOR_WIDTH)
    assert found.descriptors.dtype == np.uint8
    assert (found.positions >= -0.5).all()
    assert (found.positions < np.array(shape) - 0.5).all()


def test_uint8_spans_the_whole_range():
    image = to_uint8(np.array([[-3.0, 0, 7]], np.float32))
    assert image.dtype == np.uint8
    assert image.tolist() == [[0, 76, 255]]
    assert not to_uint8(np.full((2, 2), 5.0)).any()


def plain_match(a, b, radius):
    """One pair at a time."""
    cost = {}
    for i in range(len(a)):
        for j in range(len(b)):
            if abs(a.positions[i] - b.positions[j]).sum() <= radius:
                cost[i, j] = np.linalg.norm(a.descriptors[i].astype(float) - b.descriptors[j].astype(float))
    pairs = []
    for (i, j), value in cost.items():
        row = min(v for (first, _), v in cost.items() if first == i)
        column = min(v for (_, second), v in cost.items() if second == j)
        if value == row == column:
            pairs.append([i, j])
    return sorted(pairs)


@pytest.mark.parametrize("radius", [0.5, 6, 20, 1000])
def test_match_is_mutual_nearest_within_the_radius(radius):
    rng = np.random.default_rng(5)

    def points(count):
        return Keypoints(rng.uniform(0, 40, (count, 2)).astype(np.float32), np.ones(count, np.float32),
                         rng.integers(0, 256, (count, DESCRIPTOR_WIDTH)).astype(np.uint8))

    a, b = points(30), points(40)
    b.descriptors[:10] = a.descriptors[10:20]  # true pairs, near in one half
    b.positions[:5] = a.positions[10:15] + np.float32(0.2)
    expected = plain_match(a, b, radius)
    assert match(a, b, radius).tolist() == expected
    assert len(expected) >= 5
    assert match(a, a, radius).tolist() == [[i, i] for i in range(30)]


def some_points(rng, count, extent=40.0):
    return Keypoints(rng.uniform(0, extent, (count, 2)).astype(np.float32), np.ones(count, np.float32),
                     rng.integers(0, 256, (count, DESCRIPTOR_WIDTH)).astype(np.uint8))


def test_the_ratio_test_leaves_matches_that_stand_out():
    """Among 51 matches of a pair of slices 57 were found with shuffled descriptors."""
    rng = np.random.default_rng(2)
    a, b = some_points(rng, 60), some_points(rng, 60)
    b.descriptors[:20], b.positions[:20] = a.descriptors[:20], a.positions[:20]  # true pairs; the rest is noise
    every, sure = match(a, b, 10), match(a, b, 10, 0.8)
    assert len(every) > 25
    assert set(map(tuple, sure.tolist())) <= {(i, i) for i in range(20)}
    assert len(sure) > 15
    chance = by_chance(a, b, 10, 1.0, np.random.default_rng(0))
    assert chance > len(every) / 2
    assert by_chance(a, b, 10, 0.8, np.random.default_rng(0)) < len(sure) / 3


def test_the_ratio_test_needs_a_second_candidate():
    rng = np.random.default_rng(3)
    a, b = some_points(rng, 4, 10.0), some_points(rng, 4, 10.0)
    a.positions[:], b.positions[:] = 100 * np.arange(4)[:, None], 100 * np.arange(4)[:, None]
    assert len(match(a, b, 5)) == 4
    assert match(a, b, 5, 0.99).shape == (0, 2)


def test_match_finds_a_shift():
    image = texture(7, (140, 130), 2.0)
    settings = KeypointSettings(limit=80)
    a, b = detect(image[:-6, 4:], settings, True), detect(image[6:, :-4], settings, True)
    pairs = match(a, b, 20)
    shift = b.positions[pairs[:, 1]] - a.positions[pairs[:, 0]]
    assert len(pairs) > 30
    assert (np.abs(shift - [-6, 4]).max(1) < 1).mean() > 0.8


def test_match_of_nothing_near_and_without_descriptors():
    point = Keypoints(np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.ones((1, 128), np.uint8))
    far = Keypoints(np.full((2, 2), 9, np.float32), np.ones(2, np.float32), np.ones((2, 128), np.uint8))
    assert match(point, far, 17.9).shape == (0, 2)
    with pytest.raises(ValueError, match="describe=True"):
        match(point, Keypoints(far.positions, far.response), 20)


def test_take_keeps_the_rows_together():
    found = detect(texture(2), KeypointSettings(limit=20), True)
    index = np.array([7, 2, 11])
    taken = found.take(index)
    assert same(taken, Keypoints(found.positions[index], found.response[index], found.descriptors[index]))
    assert Keypoints(found.positions, found.response).take(index).descriptors is None


def test_pad_keypoints():
    sets = [np.array(points, np.float32).reshape(-1, 2) for points in ([[1, 2], [3, 4]], [], [[5.5, 6.5]])]
    padded, mask = pad_keypoints(sets)
    assert padded.shape == (3, 2, 2)
    assert padded.dtype == np.float32
    assert mask.tolist() == [[True, True], [False, False], [True, False]]
    for index, points in enumerate(sets):
        assert np.array_equal(padded[index][mask[index]], points)
    padded, mask = pad_keypoints([np.zeros((0, 2))])
    assert padded.shape == (1, 1, 2), "a network needs one place at least"
    assert not mask.any()
