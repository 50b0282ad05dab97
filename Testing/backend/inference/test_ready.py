"""A model made ready for a scan: what it warns about, and what is kept between calls and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from made_models import run, tiny_model

from kaf.imaging.volume import Volume
from kaf.runtime.events import Message


def hounsfield() -> np.ndarray:
    """Whole Hounsfield numbers: air around soft tissue with a bone."""
    voxels = np.full((6, 64, 64), -1000, np.int16)
    voxels[:, 12:52, 12:52] = np.random.default_rng(0).integers(-80, 90, (6, 40, 40))
    voxels[:, 20:26, 20:26] = 700
    return voxels


@pytest.mark.parametrize(("voxels", "spacing", "words"), [
    (hounsfield(), (2.5, 2.5, 8), "looks like CT"),
    (None, (2.5, 2.5, 2.6), "Slices lie 2.6 mm apart"),
    (None, (2.5, 2.5, 17), "Slices lie 17.0 mm apart"),
    (np.arange(5 * 12 * 9, dtype=np.int16).reshape(5, 12, 9), (1.6, 1.6, 8), "only 12 x 9 pixels"),
    (np.zeros((4, 40, 40), np.int16), (2, 2, 8), None),
    (np.arange(4, dtype=np.int16).reshape(1, 2, 2), (1.6, 1.6, 8), "only 2 x 2 pixels"),
], ids=["CT", "thin slices", "thick slices", "tiny", "nothing in it", "four pixels"])
def test_a_scan_unlike_the_models_is_warned_about_and_segmented(model, scan, cache, voxels, spacing, words):
    volume = Volume(scan.voxels if voxels is None else voxels, np.diag([*spacing, 1]))
    reported = []
    made = run(model, volume, cache, reported.append, attention=True, uncertainty=True)
    assert made.labels.shape == volume.shape
    assert np.isfinite(made.attention.voxels).all()
    assert [event for event in reported if isinstance(event, Message)] == [
        Message(text, "warning") for text in made.warnings]
    assert len(made.warnings) == (words is not None)
    assert words is None or words in made.warnings[0]


def test_warnings_of_the_file_are_passed_on_and_a_fitting_scan_has_no_other(model, scan, cache):
    volume = Volume(scan.voxels, scan.affine, warnings=("3 voxels are NaN.",))
    assert run(model, volume, cache).warnings == ("3 voxels are NaN.",)


def test_model_and_prepared_scan_are_kept_until_they_change(scan, tmp_path):
    path, cache = tiny_model(tmp_path / "one.safetensors", name="first"), {}
    assert run(path, scan, cache).card.name == "first"
    before = dict(cache)
    run(path, scan, cache)
    assert len(before) == 2
    assert all(cache[key] is before[key] for key in before)
    brighter = Volume(scan.voxels * 2 + 5 * (scan.voxels > 300), scan.affine, scan.source)
    made = run(path, brighter, cache, uncertainty=True)
    fresh = run(path, brighter, uncertainty=True)
    np.testing.assert_array_equal(made.uncertainty.voxels, fresh.uncertainty.voxels)
    tiny_model(path, name="coarser", spacing=3)  # the same weights with other words
    made = run(path, brighter, cache)
    assert made.card.name == "coarser"
    np.testing.assert_array_equal(made.labels.voxels, run(path, brighter).labels.voxels)
    assert len(cache) == 2  # the old ones do not stay in memory


def test_a_change_of_a_few_voxels_of_a_large_scan_is_noticed(model, cache):
    voxels = np.random.default_rng(0).integers(0, 200, (2, 1024, 1024), np.int16)
    affine, other = np.diag([0.1, 0.1, 8.0, 1.0]), voxels.copy()
    other[1, 301:641:2, 301:641:2] = 900  # every fourth
    assert run(model, Volume(voxels, affine), cache).labels.shape == voxels.shape
    kept = run(model, Volume(other, affine), cache, uncertainty=True)
    fresh = run(model, Volume(other, affine), uncertainty=True)
    np.testing.assert_array_equal(kept.uncertainty.voxels, fresh.uncertainty.voxels)
