"""Standard intensities and prepared slices: the same tissue gives the same numbers."""

import numpy as np
import pytest
from made_models import STORAGES, stored

from kaf.imaging.grid import Grid
from kaf.imaging.keypoints import detect
from kaf.imaging.prepare import normalise, prepare, stack_context
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

TISSUE = NormalisationSettings()


def standard(voxels, settings=TISSUE):
    low, high, offset, scale = normalise(voxels, settings)
    return (np.clip(voxels, low, high) - offset) / scale


def patient(seed=0):
    """Four tissues with noise, (10, 64, 64)."""
    rng = np.random.default_rng(seed)
    tissue = rng.choice([80.0, 150.0, 300.0, 600.0], p=[0.3, 0.4, 0.2, 0.1], size=(10, 64, 64))
    return tissue * rng.normal(1, 0.1, tissue.shape)


def in_air(voxels, margin):
    return np.pad(voxels, ((0, 0), (margin, margin), (margin, margin)))


def test_tissue_has_mean_zero_and_spread_one():
    voxels = in_air(patient(), 10)
    values = standard(voxels)[:, 10:-10, 10:-10]
    assert values.mean() == pytest.approx(0, abs=0.1)
    assert values.std() == pytest.approx(1, abs=0.05)
    low, high, offset, scale = normalise(voxels, TISSUE)
    assert (low, high) == pytest.approx(tuple(np.percentile(voxels, [0.5, 99.5])))
    kept = np.clip(voxels, low, high)[voxels > low + 0.1 * (high - low)]
    assert (offset, scale) == pytest.approx((kept.mean(), kept.std()))


@pytest.mark.parametrize("margin", [4, 16, 32])
def test_more_air_around_does_not_change_the_tissue(margin):
    """From 79 % tissue in the volume down to 25 %."""
    little, much = in_air(patient(), 2), in_air(patient(), margin)
    a, b = standard(little)[:, 2:-2, 2:-2], standard(much)[:, margin:-margin, margin:-margin]
    assert np.abs(a - b).mean() < 0.04
    assert np.quantile(np.abs(a - b), 0.98) < 0.1


def test_scale_and_offset_of_the_scanner_do_not_matter():
    voxels = in_air(patient(), 10)
    assert np.allclose(standard(voxels), standard(voxels * 3.5 - 1000), atol=1e-6)


def test_a_window_is_fixed():
    window = NormalisationSettings(kind="window", low=-200, high=300)
    voxels = np.array([[[-1000, -200, 50, 300, 3000]]])
    assert standard(voxels, window).tolist() == [[[-1, -1, 0, 1, 1]]]
    assert normalise(patient(), window) == normalise(voxels, window)


@pytest.mark.parametrize("value", [0, -1024, 7.5])
def test_a_constant_volume_becomes_zero(value):
    assert not standard(np.full((2, 5, 5), value)).any()


def test_a_volume_of_two_values():
    voxels = np.zeros((4, 10, 10))
    voxels[:, 5:] = 30
    assert np.unique(standard(voxels)).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_any_number_type(dtype):
    voxels = np.clip(in_air(patient(), 5) / 3, 0, 255).astype(dtype)
    assert np.allclose(standard(voxels), standard(voxels.astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("slices", [97, 98, 147])
def test_a_large_volume_is_sampled_from_everywhere(slices):
    """Tissue gets brighter from left to right; one in 64 voxels of 98 slices are the same few columns."""
    voxels = np.zeros((slices, 512, 512), np.uint8)
    voxels[:, 100:400, 120:400] = np.arange(60, 200, 0.5).astype(np.uint8)
    inside = voxels[0, 100:400, 120:400].astype(float)
    low, high, offset, scale = normalise(voxels, TISSUE)
    assert low == 0
    assert high == pytest.approx(np.percentile(voxels[0], 99.5), abs=1)
    assert offset == pytest.approx(inside.mean(), rel=0.01)
    assert scale == pytest.approx(inside.std(), rel=0.02)


@pytest.fixture(scope="module")
def large():
    """A scan of which only some voxels are looked at for its intensities, and its prepared image."""
    voxels = np.random.default_rng(0).integers(0, 900, (7, 1000, 900)).astype(np.int16)
    scan = Volume(voxels, np.diag([-1.0, -1.0, 8.0, 1.0]))
    return scan, prepare(scan, None, "largest-spacing", TISSUE, KeypointSettings(limit=4)).image


@pytest.mark.parametrize(("order", "flips"), STORAGES)
def test_a_large_scan_is_prepared_alike_however_it_is_stored(large, order, flips):
    scan, image = large
    other = prepare(stored(scan, order, flips), None, "largest-spacing", TISSUE, KeypointSettings(limit=4))
    assert np.array_equal(image, other.image)


def test_prepared_slices():
    voxels = in_air(patient(), 10).astype(np.int16)
    affine = np.diag([-1.25, -1.5, 8.0, 1.0])  # left, posterior, superior: as canonical axial slices
    points = KeypointSettings(limit=15)
    prepared = prepare(Volume(voxels, affine), None, "axial", TISSUE, points, describe=True, threads=1)
    assert prepared.image.dtype == np.float32
    assert np.allclose(prepared.image, standard(voxels), atol=1e-5)
    assert prepared.grid.spacing == pytest.approx((8.0, 1.5, 1.25))
    for image, found in zip(prepared.image, prepared.keypoints, strict=True):
        assert np.array_equal(found.positions, detect(image, points).positions)
        assert found.descriptors is not None
        assert len(found) <= 15
    coarse = prepare(Volume(voxels, affine), 3.0, "axial", TISSUE, points)
    assert coarse.image.shape == (10, 42, 35)
    assert coarse.image.mean() == pytest.approx(prepared.image.mean(), abs=0.02), "the same intensities"
    assert voxels.max() > 500, "the scan itself is left alone"


@pytest.mark.parametrize(("index", "expected"),
                         [(0, [0, 0, 0, 1, 2]), (2, [0, 1, 2, 3, 4]), (4, [2, 3, 4, 4, 4])])
def test_context_repeats_the_ends(index, expected):
    image = np.arange(5)[:, None, None] * np.ones((5, 2, 3), np.float32)
    stack = stack_context(image, index, 2)
    assert stack.shape == (5, 2, 3)
    assert stack[:, 0, 0].tolist() == expected
    assert stack_context(image, index, 0)[:, 1, 1].tolist() == [index]


@pytest.mark.parametrize(("measures", "wanted", "words"), [
    ((1e6, 1e6, 8.0), 1.25, r"51200000 x 51200000 pixels, which would take"),
    ((1e6, 1.0, 8.0), 1.25, "which would take"),
    ((1.0, 1.0, 8.0), 1e-3, "64000 x 64000 pixels, which would take"),
    ((1e-3, 1e-3, 8.0), 1.25, "1 x 1 pixels, and nothing is left to see"),
    ((1.0, 1.0, 8.0), 1e6, "nothing is left"),
], ids=["metres", "one side", "fine pixels", "micrometres", "coarse pixels"])
def test_a_spacing_that_would_fill_the_memory_or_leave_nothing_is_refused_before(measures, wanted, words, monkeypatch):
    monkeypatch.setattr(Grid, "to_canonical", lambda *_: pytest.fail("memory was taken"))
    scan = Volume(patient().astype(np.float32), np.diag([*measures, 1.0]), "odd.nii.gz")
    with pytest.raises(InputError, match=rf"odd\.nii\.gz: its voxels measure .*{words}.* Fix its spacing"):
        prepare(scan, wanted, "axial", TISSUE, None)


def test_spacings_of_real_scans_and_models_are_not_refused():
    for measures, wanted in (((0.02, 0.02, 0.05), 0.1), ((8.0, 8.0, 8.0), 1.0), ((0.5, 4.0, 4.0), 0.5),
                             ((1.0, 1.0, 1000.0), 1.0)):
        scan = Volume(patient().astype(np.float32), np.diag([*measures, 1.0]))
        prepared = prepare(scan, wanted, "axial", TISSUE, None)
        assert min(prepared.grid.size) >= 13
