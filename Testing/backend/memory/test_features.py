"""Features of a scan: bounded memory, the same numbers whatever is kept, a region that grows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_models import RUN, tiny_model

from kaf.inference.loaded_model import load_for_inference
from kaf.memory import features as features_module
from kaf.memory.completion import stride_of
from kaf.memory.features import Region, ScanFeatures, region_around
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.propagate import PropagateSettings

WHOLE = Region(slice(0, 64), slice(0, 64))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A prepared scan of eight slices and a predictor."""
    path = tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=2.0)
    settings = PropagateSettings(model=str(path), **RUN)
    model = load_for_inference(settings, settings.model)
    return model.predictor(settings), model.prepare(cardiac_phantom(3, slices=8, size=64, spacing=2.0)[0])


@pytest.mark.parametrize("stride", [1, 2])
def test_what_does_not_fit_is_computed_again_and_is_the_same(scan, stride, monkeypatch):
    plenty = ScanFeatures(*scan, WHOLE, stride)
    wanted = plenty(range(8))
    assert wanted.shape == (8, features_module.COMPONENTS, 64 // stride, 64 // stride)
    limit = plenty.bytes // 4
    monkeypatch.setattr(features_module, "MOST_BYTES", limit)
    tight = ScanFeatures(*scan, WHOLE, stride)
    for number in (0, 5, 2, 7, 0):
        assert torch.allclose(tight([number])[0], wanted[number], atol=2e-2)
        assert tight.bytes <= limit
    assert torch.allclose(tight.probabilities([3]), plenty.probabilities([3]), atol=1 / 200)


def test_many_slices_are_read_at_half_resolution():
    assert stride_of(20, Region(slice(0, 144), slice(0, 128))) == 1
    assert stride_of(600, Region(slice(0, 144), slice(0, 128))) == 2
    assert stride_of(20, Region(slice(0, 320), slice(0, 320))) == 2


def test_features_of_a_part_are_those_of_the_whole_up_to_their_basis(scan):
    """The distance of two places, which is all that attention looks at, hardly depends on the region."""
    part = ScanFeatures(*scan, Region(slice(16, 48), slice(0, 64)), 1)([2, 3])
    whole = ScanFeatures(*scan, WHOLE, 1)([2, 3])[:, :, 16:48]
    mine, theirs = ((maps[0] - maps[1]).square().sum(0).flatten() for maps in (part, whole))
    assert np.corrcoef(mine, theirs)[0, 1] > 0.9


def test_the_region_is_around_what_is_drawn_and_even_at_its_start():
    held = np.zeros((200, 180), bool)
    assert region_around(held) == Region(slice(0, 200), slice(0, 180))
    held[90:110, 100:130] = True
    region = region_around(held)
    assert region.holds(Region(slice(58, 142), slice(68, 162)))
    assert (region.rows.start % 2, region.columns.start % 2) == (0, 0)
    other = Region(slice(0, 32), slice(64, 80))
    assert region.joined(other).holds(other)
    assert region.joined(other).holds(region)
