"""How right a slice is likely to be."""

from __future__ import annotations

import pytest

from kaf.memory.review import confidence


def test_confidence_falls_with_doubt_and_with_the_distance_beyond_what_is_finished():
    sure, unsure = confidence(0.95, 0.9, 0.0), confidence(0.7, 0.9, 0.0)
    near, far = confidence(0.95, 0.9, 5.0), confidence(0.95, 0.9, 60.0)
    assert 1 > sure > near > far > 0
    assert sure > unsure
    assert sure > confidence(0.95, 0.5, 0.0), "finished slices left out were read less well"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_confidence_is_a_share_whatever_it_is_given(value):
    assert 0 < confidence(value, value, 0.0) < 1
    assert confidence(value, value, float("inf")) == 0
