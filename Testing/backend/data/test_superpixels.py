"""Superpixels: regions of even brightness, numbered from 1, and no region in the air."""

from __future__ import annotations

import numpy as np
import pytest

from kaf.data.superpixels import find_superpixels


def a_volume(noise=0.0):
    """Three slices of air with a bright square and a grey disc; the last slice is air alone."""
    rows, columns = np.mgrid[:60, :80]
    volume = np.zeros((3, 60, 80))
    volume[:2, 10:40, 10:30] = 3.0
    volume[:2, (rows - 35) ** 2 + (columns - 55) ** 2 < 15 ** 2] = 1.5
    return (volume + noise * np.random.default_rng(0).normal(size=volume.shape) - 0.4).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_every_thing_is_a_region_and_air_is_none(noise):
    found = find_superpixels(a_volume(noise), 200.0, 0.8, 80)
    assert found.shape == (3, 60, 80)
    assert found.dtype == np.uint16
    for regions in found[:2]:
        assert sorted(np.unique(regions)) == list(range(regions.max() + 1)), "0, 1, 2, ... without a gap"
        assert not regions[2:8].any()
        assert not regions[:, 74:].any()
        square, disc = regions[15:35, 15:25], regions[28:42, 48:62]
        assert (square == square[0, 0]).all()
        assert (disc == disc[0, 0]).all()
        assert square[0, 0] != disc[0, 0]
        assert square[0, 0] > 0
        assert disc[0, 0] > 0


def test_noise_in_a_dark_slice_is_no_region():
    """The window is that of the whole volume: a slice of air alone is not stretched to its own noise."""
    assert not find_superpixels(a_volume(0.01), 200.0, 0.8, 80)[2].any()


def test_the_smallest_region():
    for smallest in (20, 200):
        for regions in find_superpixels(a_volume(0.3), 20.0, 0.8, smallest)[:2]:
            assert np.bincount(regions.ravel())[1:].min() >= smallest
    few, many = (find_superpixels(a_volume(0.3), 20.0, 0.8, smallest).max() for smallest in (400, 20))
    assert few < many


def test_the_scale_and_shift_of_the_grey_values_do_not_matter():
    image = a_volume(0.1)
    assert np.array_equal(find_superpixels(8 * image + 64, 100.0, 0.8, 50), find_superpixels(image, 100.0, 0.8, 50))


def test_a_volume_of_one_value_has_no_regions():
    assert not find_superpixels(np.full((2, 20, 20), 7, np.float32), 200.0, 0.8, 20).any()


def test_more_regions_than_numbers_do_not_wrap_around(monkeypatch):
    """A slice in more than 65535 pieces: those beyond have no number, and none is mistaken for another."""
    import skimage.segmentation

    pieces = np.arange(300 * 300).reshape(300, 300)
    monkeypatch.setattr(skimage.segmentation, "felzenszwalb", lambda *_, **__: pieces)
    image = np.ones((1, 300, 300), np.float32)
    image[0, 0, 0] = 0
    found = find_superpixels(image, 1.0, 0.0, 1)[0].ravel()
    assert np.bincount(found)[1:].max() == 1
    assert found.max() == 65535
