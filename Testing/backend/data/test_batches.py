"""Batches: a function of seed and step alone, with keypoints and labels on the anatomy of the image."""


import numpy as np
import pytest

from kaf.data.batches import Batch, LabelledSlices, patch_keypoints
from kaf.data.cache import CachedCase
from kaf.imaging.keypoints import Keypoints, fallback_grid
from kaf.settings.augmentation import AugmentationSettings

SHAPE, SIZE = (80, 90), (64, 64)
LEVELS = 6
PLAIN = AugmentationSettings(intensity=0, keypoint_dropout=0, elastic=0.5)


def spotted_slice(seed):
    """Blobs of height 2, 4, ... 64 with discs of label 1..6 around them, and keypoints at their centres."""
    rng = np.random.default_rng(seed)
    cells = np.array([(row, column) for row in (12, 40, 68) for column in (14, 44, 74)])
    centres = (rng.permutation(cells)[:LEVELS] + rng.uniform(-3, 3, (LEVELS, 2))).astype(np.float32)
    rows, columns = np.mgrid[:SHAPE[0], :SHAPE[1]]
    image, labels = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    for level, (row, column) in enumerate(centres, 1):
        squared = (rows - row) ** 2 + (columns - column) ** 2
        image += 2 ** level * np.exp(-squared / (2 * 1.8 ** 2))
        labels[squared <= 5 ** 2] = level
    return image, labels, Keypoints(centres, np.ones(LEVELS, np.float32))


def make_case(slices=4, empty=(), name="a"):
    """A case whose slices ``empty`` hold neither label nor keypoint."""
    parts = [spotted_slice(100 * ord(name[0]) + index) for index in range(slices)]
    image, labels = (np.stack([part[index] for part in parts]) for index in (0, 1))
    points = [part[2] for part in parts]
    for index in empty:
        labels[index] = 0
        points[index] = Keypoints(np.full((1, 2), -500, np.float32), np.ones(1, np.float32))  # in no patch
    return CachedCase(name, name, image, labels, points, (8.0, 1.0, 1.0))


def make_source(seed=0, augmentation=PLAIN, context=0, **more):
    cases = [make_case(name="a"), make_case(3, name="b")]
    return LabelledSlices(cases, SIZE, context, augmentation, seed, **more)


def equal(a: Batch, b: Batch):
    names = ("image", "labels", "keypoints", "mask")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_a_batch_depends_on_seed_and_step_alone():
    source = make_source(5, AugmentationSettings())
    forwards = [source.batch(step, 4) for step in range(4)]
    backwards = [source.batch(step, 4) for step in reversed(range(4))][::-1]
    fresh = [make_source(5, AugmentationSettings()).batch(step, 4) for step in range(4)]
    for a, b, c in zip(forwards, backwards, fresh, strict=True):
        assert equal(a, b)
        assert equal(a, c)
    assert not equal(forwards[0], forwards[1])
    assert not equal(forwards[0], make_source(6, AugmentationSettings()).batch(0, 4))


def test_shapes_and_types():
    batch = make_source(augmentation=AugmentationSettings(), context=2).batch(0, 5)
    assert batch.image.shape == (5, 5, *SIZE)
    assert batch.labels.shape == (5, *SIZE)
    assert batch.keypoints.shape == (*batch.mask.shape, 2)
    types = [batch.image.dtype, batch.labels.dtype, batch.keypoints.dtype, batch.mask.dtype]
    assert types == [np.float32, np.uint8, np.float32, bool]
    assert batch.mask.any(1).all()
    inside = (batch.keypoints >= -0.5) & (batch.keypoints < np.array(SIZE) - 0.5)
    assert inside.all(-1)[batch.mask].all()


def centre_of_mass(window):
    rows, columns = np.mgrid[:window.shape[0], :window.shape[1]]
    weight = window ** 2
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


def test_keypoints_and_labels_stay_on_their_anatomy():
    source, checked = make_source(), 0
    for step in range(12):
        batch = source.batch(step, 4)
        for index in range(4):
            image, labels = batch.image[index, 0], batch.labels[index]
            for position in batch.keypoints[index][batch.mask[index]]:
                row, column = np.floor(position + 0.5).astype(int)
                if not (8 <= row < SIZE[0] - 8 and 8 <= column < SIZE[1] - 8):
                    continue
                window = image[row - 6:row + 7, column - 6:column + 7]
                found = centre_of_mass(window) + np.array([row - 6, column - 6])
                assert np.abs(found - position).max() < 0.2
                assert labels[row, column] == round(np.log2(window.max())), "the blob is the one of the label"
                checked += 1
    assert checked > 60


def test_every_keypoint_in_the_patch_is_kept_without_dropout():
    """A plain crop of a slice: the same keypoints, moved by whole pixels."""
    case = make_case(1)
    batch = LabelledSlices([case], (80, 60), 0, None, 0).batch(0, 1)
    expected = case.keypoints[0].positions - [0, 15]
    expected = expected[(expected[:, 1] >= -0.5) & (expected[:, 1] < 59.5)]
    assert 0 < len(expected) < LEVELS
    assert np.array_equal(batch.keypoints[0][batch.mask[0]], expected)
    assert np.array_equal(batch.image[0, 0], case.image[0][:, 15:75])
    assert np.array_equal(batch.labels[0], case.labels[0][:, 15:75])


def test_a_patch_without_keypoints_gets_the_grid():
    source = LabelledSlices([make_case(2, empty=(0, 1))], SIZE, 0, PLAIN, 0)
    batch = source.batch(0, 3)
    for keypoints, mask in zip(batch.keypoints, batch.mask, strict=True):
        assert np.array_equal(keypoints[mask], fallback_grid(*SIZE))


def test_dropout_leaves_out_a_share_of_the_keypoints():
    positions = np.random.default_rng(0).uniform(0, 63, (400, 2)).astype(np.float32)
    shares = []
    for seed in range(40):
        kept = patch_keypoints(positions, SIZE, np.random.default_rng(seed), 0.5)
        shares.append(len(kept) / 400)
        assert {tuple(p) for p in kept} <= {tuple(p) for p in positions}
    assert 0.4 < min(shares) < 0.6
    assert 0.95 < max(shares) <= 1
    assert np.mean(shares) == pytest.approx(0.75, abs=0.07)
    last = patch_keypoints(positions[:1], SIZE, np.random.default_rng(0), 0.99)
    assert np.array_equal(last, positions[:1])


def test_the_rim_belongs_to_the_patch():
    positions = np.array([[-0.5, 0], [-0.51, 0], [63.49, 63.49], [63.5, 0], [0, 63.5]], np.float32)
    assert np.array_equal(patch_keypoints(positions, SIZE), positions[[0, 2]])


@pytest.mark.parametrize("augmentation", [None, PLAIN])
def test_neighbouring_slices_are_the_context(augmentation):
    image = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, *SIZE), np.float32)
    points = [Keypoints(fallback_grid(*SIZE), np.ones(4, np.float32))] * 5
    case = CachedCase("a", "a", image, np.ones((5, *SIZE), np.uint8), points, (8.0, 1.0, 1.0))
    source = LabelledSlices([case], (16, 16), 1, augmentation, 0)
    stacks = {tuple(stack[:, 8, 8]) for step in range(20) for stack in source.batch(step, 4).image}
    forwards = {(0, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 4)}
    assert stacks == (forwards if augmentation is None else forwards | {stack[::-1] for stack in forwards})


def test_small_structures_are_seen_as_often_as_large_ones():
    """One structure fills every slice, another is 3 x 3 pixels of one slice: half of the patches drawn for structures
    look at it."""
    labels = np.ones((20, 64, 64), np.uint8)
    labels[7, 40:43, 50:53] = 2
    points = [Keypoints(fallback_grid(64, 64), np.zeros(16, np.float32))] * 20
    case = CachedCase("a", "a", np.zeros(labels.shape, np.float32), labels, points, (5.0, 1.0, 1.0))
    still = AugmentationSettings(rotation=0, scale=1, elastic=0, intensity=0, keypoint_dropout=0)
    source = LabelledSlices([case], (16, 16), 0, still, 0, foreground=1.0)
    shown = [(patch == 2).any() for step in range(50) for patch in source.batch(step, 8).labels]
    assert 0.4 < np.mean(shown) < 0.6
    some = LabelledSlices([case], (16, 16), 0, still, 0)
    assert 0.2 < np.mean([(patch == 2).any() for step in range(50) for patch in some.batch(step, 8).labels]) < 0.5


def test_a_patch_for_a_structure_stays_within_the_slice():
    labels = np.zeros((3, 40, 200), np.uint8)
    labels[:, :3, :3] = 1  # in a corner
    image = np.ones(labels.shape, np.float32)  # outside the slice a patch is filled up with the least value
    image[:, 20, 100] = 0
    points = [Keypoints(fallback_grid(40, 200), np.zeros(16, np.float32))] * 3
    case = CachedCase("a", "a", image, labels, points, (5.0, 1.0, 1.0))
    still = AugmentationSettings(rotation=0, scale=1, elastic=0, intensity=0, keypoint_dropout=0)
    batch = LabelledSlices([case], (32, 32), 0, still, 0, foreground=1.0).batch(0, 16)
    assert (batch.image == 1).all()
    assert (batch.labels == 1).any(axis=(1, 2)).all()


@pytest.mark.parametrize(("foreground", "low", "high"), [(0.0, 0.15, 0.35), (0.5, 0.5, 0.75), (1.0, 1, 1)])
def test_slices_with_a_structure_are_drawn_more_often(foreground, low, high):
    source = LabelledSlices([make_case(4, empty=(0, 1, 2))], SIZE, 0, None, 0, foreground)
    share = np.mean([source.batch(step, 5).labels.any((1, 2)).mean() for step in range(40)])
    assert low <= share <= high
    assert len(source) == 4


def test_only_the_slices_asked_for_are_drawn():
    cases = [make_case(name="a"), make_case(name="b")]
    source = LabelledSlices(cases, SHAPE, 0, None, 0, slices=[(0, 2), (1, 3)])
    assert len(source) == 2
    drawn = source.batch(0, 20).image[:, 0]
    wanted = (cases[0].image[2], cases[1].image[3])
    hits = [[np.array_equal(image, slice_) for image in drawn] for slice_ in wanted]
    assert np.sum(hits, 0).tolist() == [1] * 20
    assert np.any(hits, 1).all()


def test_a_case_without_any_label_can_be_drawn_from():
    source = LabelledSlices([make_case(2, empty=(0, 1))], SIZE, 0, None, 0, foreground=1.0)
    assert not source.batch(0, 2).labels.any()
