"""Lines and margins: on made-up outcomes whose truth is known, also out of the domain they were fitted in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kaf.modelfile.quality_check import check_quality
from kaf.quality.calibration import FEWEST, Outcome, calibrate, fit
from kaf.quality.familiarity import distance, scan_features, training_statistics
from kaf.quality.prediction import CHECK, DOUBTFUL, GOOD, NOT_FOUND, UNCALIBRATED, predict, widening, worst


def outcomes(count: int, seed: int = 0, per_patient: int = 1, noise: float = 0.02) -> list[Outcome]:
    """True Dice is 1.5 raw - 0.55 and noise."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.8, 0.97, count)
    true = np.clip(1.5 * raw - 0.55 + rng.normal(0, noise, count), 0, 1)
    return [Outcome(1, f"p{index // per_patient}", float(a), float(b), 1.0)
            for index, (a, b) in enumerate(zip(raw, true, strict=True))]


def test_the_line_is_found_and_the_bound_covers_what_it_promises():
    quality = calibrate(outcomes(60), "60 made-up cases")
    check_quality("quality", quality)
    (line,) = quality["lines"]
    assert line["slope"] == pytest.approx(1.5, abs=0.15)
    assert line["level"] == 0.9
    fresh = outcomes(2000, seed=1)
    held = [one.dice >= predict(one.raw, line).low for one in fresh]
    assert 0.85 <= np.mean(held) <= 0.97
    errors = [abs(predict(one.raw, line).dice - one.dice) for one in fresh]
    assert np.mean(errors) < 0.03 < np.mean([abs(one.raw - one.dice) for one in fresh])


def test_few_patients_give_a_line_and_no_bound():
    (line,) = calibrate(outcomes(2 * (FEWEST - 1), per_patient=2), "")["lines"]
    assert (line["patients"], line["margin"], line["level"]) == (FEWEST - 1, None, None)
    found = predict(0.95, line)
    assert found.low is None
    assert found.word == CHECK, "nothing is good without a bound"
    (line,) = calibrate(outcomes(FEWEST), "")["lines"]
    assert line["margin"] > 0
    assert line["level"] == pytest.approx(FEWEST / (FEWEST + 1), abs=1e-4)


def test_cases_that_are_all_alike_shift_the_line_and_do_not_tilt_it():
    intercept, slope = fit(np.array([0.95, 0.951, 0.949]), np.array([0.90, 0.87, 0.91]))
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept + slope * 0.95 == pytest.approx(0.8933, abs=1e-3)


def test_undefined_outcomes_are_left_out():
    more = [Outcome(1, "p", math.nan, 0.0), Outcome(2, "p", 0.9, math.nan)]
    assert calibrate([*outcomes(10), *more], "")["lines"] == calibrate(outcomes(10), "")["lines"]


LINE = {"label": 1, "intercept": 0.0, "slope": 1.0, "margin": 0.05, "level": 0.9, "cases": 9, "patients": 9,
        "lowest": 0.5, "highest": 0.99}


@pytest.mark.parametrize(("raw", "wider", "word"), [
    (0.9, 1, GOOD), (0.84, 1, CHECK), (0.79, 1, DOUBTFUL), (0.9, 3, CHECK), (0.9, 7, DOUBTFUL)])
def test_words_follow_the_bound(raw, wider, word):
    assert predict(raw, LINE, wider).word == word


def test_without_a_line_the_raw_value_is_told_as_uncalibrated():
    assert (predict(0.9, None).word, predict(0.9, None).dice) == (UNCALIBRATED, 0.9)
    assert predict(math.nan, LINE).to_dict() == {"dice": None, "low": None, "word": NOT_FOUND, "raw": None}


def test_the_worst_comes_first():
    good, doubtful, missing = predict(0.95, LINE), predict(0.7, LINE), predict(math.nan, LINE)
    results = {"a": [good, good], "b": [good, doubtful], "c": [missing, good], "d": [predict(0.6, LINE)]}
    assert sorted(results, key=lambda name: worst(results[name])) == ["d", "b", "c", "a"]


def test_a_scan_unlike_the_training_scans_is_told_and_widens_the_bound():
    rng = np.random.default_rng(0)

    def scan(contrast: float = 1.0, spacing: float = 8.0) -> dict:
        image = rng.gamma(2, contrast, (6, 40, 40)).astype(np.float32)
        return scan_features(image, (spacing, 1.5, 1.5), rng.normal(0, 1, 16) + (contrast > 1) * 5)

    statistics = training_statistics([scan() for _ in range(30)])
    check_quality("quality", {"training": statistics})
    usual = [distance(statistics, scan())[0] for _ in range(10)]
    assert max(usual) < 2
    assert distance(statistics, scan(spacing=2.0))[1] == "spacing"
    far, _ = distance(statistics, scan(contrast=4.0))
    assert far > 3
    assert widening(far, 1.0) == far
    assert widening(far, 2 * far) == 1
    assert distance({}, scan()) is None
    assert widening(None, 1.0) == 1


@pytest.mark.parametrize(("change", "where"), [
    ({"lines": [{**LINE, "slope": math.nan}]}, "slope"), ({"lines": [{**LINE, "margin": None}]}, "margin"),
    ({"lines": [LINE, LINE]}, "two lines"), ({"lines": {"a": 1}}, "lines"), ({"lines": [3]}, "lines"),
    ({"source": "a\x1b[2J"}, "source"), ({"more": 1}, "more"), ({"usual_distance": 0}, "usual_distance"),
    ({"training": {"scans": 1, "groups": {"spacing": {"mean": [0, 1], "sd": [1], "usual": 1}}}}, "lengths"),
    ({"training": {"scans": 1, "groups": {"spacing": {"mean": [0], "sd": [0], "usual": 1}}}}, "sd"),
    ({"training": {"scans": 1, "groups": {"colour": {}}}}, "colour"), ([], "object")])
def test_a_calibration_of_somebody_else_passes_one_door(change, where):
    with pytest.raises(ValueError, match=where):
        check_quality("quality", change)
