"""How right a slice is likely to be."""

from __future__ import annotations

import pytest

from kaf.memory.review import confidence, review_order


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


def test_slices_that_hold_much_of_a_structure_are_checked_before_those_beyond_its_end():
    """After the middle and both ends the next slices were those beyond the ends, which have nothing to correct."""
    areas = {1: 0, 2: 0, 4: 300, 5: 800, 6: 900, 8: 900, 9: 700, 12: 0, 13: 0}
    sure = {number: 0.5 if area == 0 else 0.75 for number, area in areas.items()}
    first, second, *_ = review_order(sure, (3, 7, 11), areas)
    assert {first, second} == {5, 9}


def test_where_nothing_is_labelled_doubt_and_distance_decide():
    assert review_order({0: 0.9, 4: 0.6, 5: 0.6, 9: 0.3}, (1, 8), dict.fromkeys((0, 4, 5, 9), 0.0)) == (9, 4, 5, 0)
