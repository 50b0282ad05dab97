"""A scan that is handed over in memory is checked as one that is read from a file."""

from __future__ import annotations

import numpy as np
import pytest
from made_models import RUN

from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.explain import explain
from kaf.verbs.segment import segment

VERBS = {
    "segment": lambda volume, model, scan: segment(volume, SegmentSettings(model=model, **RUN)),
    "explain": lambda volume, model, scan: explain(volume, ExplainSettings(model=model, **RUN)),
    "adapt": lambda volume, model, scan: adapt(volume, scan, AdaptSettings(model=model, **RUN)),
}


@pytest.mark.parametrize(("voxels", "words"), [
    (np.zeros((4, 5)), "with 4 x 5"), (np.zeros((1, 2, 3, 4)), "with 1 x 2 x 3 x 4"), (np.array(7.0), "with no axes"),
    (np.zeros((0, 4, 5)), "with 0 x 4 x 5"), (np.zeros((2, 4, 5), np.complex64), "array of complex64"),
    (np.zeros((2, 4, 5), "M8[s]"), r"array of datetime64\[s\]"), (np.array([[["a"]]]), "array of <U1"),
], ids=["two axes", "four axes", "no axes", "no voxel", "complex", "dates", "text"])
@pytest.mark.parametrize("verb", ["segment", "explain", "adapt"])
def test_an_array_that_is_no_volume_is_refused(model, scan, verb, voxels, words):
    with pytest.raises(InputError, match=rf"scan 7: is no volume of real numbers .*{words}"):
        VERBS[verb](Volume(voxels, scan.affine, "scan 7"), str(model), scan)


@pytest.mark.parametrize(("place", "value", "words"), [
    ((0, 1), 2.0, "axes are sheared"), ((slice(0, 3), 0), 0.0, "no length"), ((1, 3), np.nan, "not finite")])
def test_axes_that_form_no_grid_are_refused_for_a_volume_in_memory_too(model, scan, place, value, words):
    affine = scan.affine.copy()
    affine[place] = value
    with pytest.raises(InputError, match=f"scan 7: .*{words}"):
        VERBS["segment"](Volume(scan.voxels, affine, "scan 7"), str(model), scan)


def test_drawn_labels_that_are_no_volume_are_refused(model, scan):
    with pytest.raises(InputError, match="do not lie on the grid"):
        adapt(scan, Volume(scan.voxels[0] * 0, scan.affine), AdaptSettings(model=str(model), **RUN))
