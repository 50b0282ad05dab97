"""Warps: keypoints land where their anatomy lands, labels and images agree, and no fold is ever made."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from kaf.data.geometry import Warp, elastic_field, sample_warp
from kaf.data.intensity import change_intensity
from kaf.settings.augmentation import AugmentationSettings

STILL = {"rotation": 0, "scale": 1, "flips": (False, False), "elastic": 0}
KINDS = {
    "translation": STILL,
    "rotation": {**STILL, "rotation": 180},
    "flips": {**STILL, "flips": (True, True)},
    "one flip": {**STILL, "flips": (False, True)},
    "scale": {**STILL, "scale": 1.5},
    "elastic": {**STILL, "elastic": 1},
    "everything": {"rotation": 180, "scale": 1.3, "elastic": 1},
    "the utmost": {"rotation": 180, "scale": 3, "elastic": 1, "elastic_pixels": 30},
}
SOURCE, PATCH = (90, 110), (72, 64)


def warp_of(kind, seed, source=SOURCE, size=PATCH, **more):
    settings = AugmentationSettings(**KINDS[kind])
    return sample_warp(np.random.default_rng(seed), source, size, settings, **more)


def blob(shape, centre, sigma=1.3):
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    distance = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    return np.exp(-distance / (2 * sigma ** 2)).astype(np.float32)


def centroid(image):
    rows, columns = np.mgrid[:image.shape[0], :image.shape[1]]
    return np.array([(image * rows).sum(), (image * columns).sum()]) / image.sum()


def smooth(seed, shape=SOURCE):
    return cv2.GaussianBlur(np.random.default_rng(seed).random(shape).astype(np.float32), (0, 0), 3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "the utmost"])
def test_keypoints_land_where_the_anatomy_lands(kind):
    checked = 0
    for seed in range(12):
        warp, rng = warp_of(kind, seed), np.random.default_rng(seed + 100)
        for position in rng.uniform(0, np.array(SOURCE) - 1, (4, 2)):
            (moved,) = warp.keypoints(position[None])
            near_source = (position > 7).all() and (position < np.array(SOURCE) - 8).all()
            near_patch = (moved > 9).all() and (moved < np.array(PATCH) - 10).all()
            if near_source and near_patch:
                found = centroid(warp.image(blob(SOURCE, position)[None], 0.0)[0])
                assert np.abs(found - moved).max() < 0.1
                checked += 1
    assert checked >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_of_a_moved_keypoint_is_the_keypoint(kind):
    checked = 0
    for seed in range(20):
        warp = warp_of(kind, seed)
        points = np.random.default_rng(seed).uniform(0, np.array(SOURCE) - 1, (60, 2)).astype(np.float32)
        moved = warp.keypoints(points)
        inside = ((moved >= 0) & (moved <= np.array(PATCH) - 1)).all(1)
        back = [map_coordinates(part, moved[inside].T.astype(float), order=1) for part in warp.source_map()]
        assert np.abs(np.transpose(back) - points[inside]).max(initial=0) < 0.02
        checked += inside.sum()
    assert checked > 100


@pytest.mark.parametrize("kind", KINDS)
def test_no_warp_folds(kind):
    """The Jacobian keeps one sign, between all neighbouring pixels, and that of the flips."""
    for seed in range(150):
        warp = warp_of(kind, seed)
        source = warp.source_map().astype(float)
        (aa, ab), (ba, bb) = (np.diff(source, axis=1)[:, :, :-1], np.diff(source, axis=2)[:, :-1])
        jacobian = (aa * bb - ab * ba) * np.sign(np.linalg.det(warp.matrix[:, :2]))
        assert jacobian.min() > 0


@pytest.mark.parametrize("largest", [1.0, 6.0, 30.0])
def test_the_elastic_field_is_bounded_and_smooth(largest):
    for seed in range(30):
        field = elastic_field(np.random.default_rng(seed), (80, 60), largest)
        assert field.shape == (2, 80, 60)
        assert field.dtype == np.float32
        assert 0.1 < np.abs(field).max() <= largest * 1.0001
        for axis in (1, 2):
            assert np.abs(np.diff(field, axis=axis)).max() <= 0.2501
    small = elastic_field(np.random.default_rng(0), (1, 1), largest)
    assert np.isfinite(small).all()


def test_an_identity_copies_exactly():
    image, labels = smooth(0)[None], np.random.default_rng(0).integers(0, 5, SOURCE).astype(np.uint8)
    warp = Warp(np.eye(2, 3), SOURCE)
    assert np.array_equal(warp.image(image), image)
    assert np.array_equal(warp.labels(labels), labels)
    assert warp.valid(SOURCE).all()
    points = np.array([[0, 0], [3.25, 7.5], [89, 109], [-4, 300]], np.float32)
    assert np.array_equal(warp.keypoints(points), points)
    assert warp.keypoints(np.zeros((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(("size", "corner"), [((40, 50), (25, 30)), ((41, 51), (24, 29)), ((90, 110), (0, 0)),
                                              ((100, 117), (-5, -4))])
def test_without_settings_a_centred_crop_or_pad_copies_whole_pixels(size, corner):
    image = smooth(1) + 3
    warp = sample_warp(np.random.default_rng(0), SOURCE, size, None)
    expected = np.full(size, image.min())
    for row in range(size[0]):
        for column in range(size[1]):
            r, c = row + corner[0], column + corner[1]
            if 0 <= r < SOURCE[0] and 0 <= c < SOURCE[1]:
                expected[row, column] = image[r, c]
    assert np.array_equal(warp.image(image[None])[0], expected)
    assert np.array_equal(warp.keypoints(np.array([[20.0, 30.0]]))[0], np.array([20, 30]) - corner)


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_read_at_the_source_map(kind):
    stack = np.stack([smooth(1), smooth(2), smooth(3), smooth(4), smooth(5)])
    for seed in range(3):
        warp = warp_of(kind, seed)
        expected = [map_coordinates(channel, warp.source_map(), order=1, cval=0.25, mode="grid-constant")
                    for channel in stack]
        # OpenCV rounds positions to 1/32 pixel: a step of 0.75 over the border may be off by 0.75/64.
        assert np.abs(warp.image(stack, 0.25) - expected).max() < 0.02
    assert np.array_equal(warp.image(stack), warp.image(stack, float(stack.min())))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_follow_the_image(kind):
    labels = cv2.resize(np.random.default_rng(0).integers(0, 4, (9, 11)).astype(np.uint8), SOURCE[::-1],
                        interpolation=cv2.INTER_NEAREST)
    for seed in range(5):
        warp = warp_of(kind, seed)
        moved = warp.labels(labels)
        shares = [warp.image(np.float32(labels == value)[None], float(value == 0))[0] for value in range(4)]
        sure = np.max(shares, 0) > 0.8  # the nearest of four pixels has a quarter of the weight at least
        assert sure.mean() > 0.7
        assert np.array_equal(moved[sure], np.argmax(shares, 0)[sure])
        source = warp.source_map().astype(float)
        expected = map_coordinates(labels, np.floor(source + 0.5), order=0, cval=0)
        near = (np.abs(source - np.floor(source) - 0.5) > 0.02).all(0)
        assert np.array_equal(moved[near], expected[near])
        assert moved.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
def test_valid_pixels_see_only_the_slice(kind):
    for seed in range(5):
        warp = warp_of(kind, seed, size=(120, 130))
        seen = warp.image(np.ones((1, *SOURCE), np.float32), 0.0)[0]
        valid = warp.valid(SOURCE)
        assert np.allclose(seen[valid], 1)
        assert 0 < valid.mean() < 1 or kind == "the utmost"
        assert ((seen < 1) | valid)[seen < 0.96].all()
        assert valid[seen > 0.999].mean() > 0.98, "all but a rim of a thirty-second pixel"


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_its_warp(kind):
    a, b, other = warp_of(kind, 7), warp_of(kind, 7), warp_of(kind, 8)
    assert np.array_equal(a.source_map(), b.source_map())
    assert not np.array_equal(a.source_map(), other.source_map())


def test_warps_stay_in_the_range_of_the_settings():
    zooms, angles, mirrored = [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        settings = AugmentationSettings(rotation=30, scale=1.5, flips=(True, False))
        warp = sample_warp(rng, SOURCE, PATCH, settings)
        linear = warp.matrix[:, :2]
        values = np.linalg.svd(linear, compute_uv=False)
        assert values[0] == pytest.approx(values[1])
        zooms.append(1 / values[0])
        mirrored.append(np.linalg.det(linear) < 0)
        upright = linear * np.array([-1.0 if mirrored[-1] else 1.0, 1.0])
        angles.append(np.rad2deg(np.arctan2(upright[1, 0], upright[1, 1])))
        middle = warp.matrix @ [(PATCH[0] - 1) / 2, (PATCH[1] - 1) / 2, 1]
        off = np.abs(middle - (np.array(SOURCE) - 1) / 2)
        assert (off <= np.array([9, 23]) + 1e-9).all(), "the patch fits into the slice"
    assert 1 / 1.5 <= min(zooms) < 0.75
    assert 1.4 < max(zooms) <= 1.5
    assert -30 <= min(angles) < -25
    assert 25 < max(angles) <= 30
    assert 0.4 < np.mean(mirrored) < 0.6


def test_a_patch_looks_at_the_centre_it_is_given():
    for kind in ("rotation", "flips", "scale"):
        warp = warp_of(kind, 3, size=(41, 31), centre=(33.5, 70.25))
        assert warp.keypoints(np.array([[33.5, 70.25]]))[0] == pytest.approx([20, 15], abs=1e-4)


def test_intensity_changes():
    image = np.stack([smooth(seed, (48, 40)) for seed in range(3)]) * 6
    image[:, 20:23, 30:33] += 20
    before = image.copy()
    for seed in range(60):
        assert np.array_equal(change_intensity(np.random.default_rng(seed), image, 0), before), "strength 0"
        changed = change_intensity(np.random.default_rng(seed), image)
        assert changed.shape == image.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert not np.array_equal(changed, image)
        assert np.array_equal(changed, change_intensity(np.random.default_rng(seed), image))
        brightest = np.unravel_index(changed[1].argmax(), changed[1].shape)
        assert np.abs(np.array(brightest) - [21, 31]).max() <= 2, "nothing moves"
    assert np.array_equal(image, before), "the input is left alone"
    assert np.isfinite(change_intensity(np.random.default_rng(1), np.zeros((1, 1, 1), np.float32))).all()
