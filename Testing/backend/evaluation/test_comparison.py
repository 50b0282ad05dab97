"""Statistics of a few-shot experiment: units, intervals, corrected p values, the noise of one arm repeated."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from kaf.evaluation.bootstrap import bootstrap_means, holm, interval, two_sided
from kaf.evaluation.comparison import Cell, differences, noises, rows
from kaf.evaluation.comparison_page import comparison_page

PATIENTS = [f"p{number}" for number in range(16)]


def network(arm: str, rng: np.random.Generator, draw: int, seed: int, run_noise: float, gain: float = 0.0) -> Cell:
    """A network whose patients all have about Dice 0.8, moved together by the noise of its run."""
    run = 0.8 + gain + rng.normal(0, run_noise)
    cases = tuple({"case": name, "patient": name, "hd95": [4.0], "inside": [float(100 * value)], "sizes": [200.0]}
                  for name, value in zip(PATIENTS, run + rng.normal(0, 0.02, 16), strict=True))
    return Cell(arm, 6, draw, 0, cases, seed)


def experiment(number: int, seeds: int = 3, run_noise: float = 0.02, gain: float = 0.0) -> list[Cell]:
    rng = np.random.default_rng([number, 1])
    return [network(arm, rng, draw, seed, run_noise, gain if arm == "b" else 0.0)
            for arm in "ab" for draw in range(3) for seed in range(seeds)]


def test_arms_that_differ_by_chance_alone_are_rarely_told_apart():
    """Sixteen patients with the networks fixed found a "significant" difference in every second such experiment."""
    apart = {"interval": 0, "p": 0}
    for number in range(40):
        (found,) = differences(experiment(number), ["a", "b"], "a")
        apart["interval"] += not found.lower <= 0 <= found.upper
        apart["p"] += found.p < 0.05
    assert max(apart.values()) <= 5, "one in twenty is expected"


def test_a_real_difference_is_found():
    (found,) = differences(experiment(3, run_noise=0.01, gain=0.06), ["a", "b"], "a")
    assert found.lower > 0
    assert found.p < 0.05
    assert found.mean > 2 * found.standard_error
    assert (found.patients, found.seeds, found.draws, found.wins) == (16, 3, 3, 16)


def test_the_standard_error_is_not_below_that_of_repeated_experiments():
    """Noise of each run by itself counts for its seed and for its draw: the error may be larger, never smaller."""
    found = [differences(experiment(number), ["a", "b"], "a")[0] for number in range(40)]
    repeated = np.std([d.mean for d in found])
    assert 0.9 * repeated < np.mean([d.standard_error for d in found]) < 2 * repeated


def test_one_seed_or_one_draw_gives_no_p_value():
    (found,) = differences(experiment(0, seeds=1), ["a", "b"], "a")
    assert math.isnan(found.p)
    assert found.lower < found.mean < found.upper


def test_a_single_network_for_one_patient_has_no_interval():
    single = [Cell(arm, 2, 0, 0, ({"case": "p", "patient": "p", "hd95": [1.0], "inside": [4], "sizes": [10]},))
              for arm in "ab"]
    (found,) = differences(single, ["a", "b"], "a")
    assert math.isnan(found.standard_error)
    assert math.isnan(found.lower)


def test_every_unit_is_resampled():
    """With noise in one level alone, the standard error is that of the mean of so many units."""
    rng = np.random.default_rng(0)
    for level, count in enumerate((5, 4, 6, 16)):
        shape = [1, 1, 1, 1]
        shape[level] = count
        noise = rng.normal(0, 1, shape)
        expected = noise.std(ddof=1) / math.sqrt(count)
        assert np.nanstd(bootstrap_means(noise, 1)) == pytest.approx(expected, rel=0.1), level


def test_missing_cells_do_not_count():
    values = np.full((2, 2, 2, 3), 0.1)
    values[0, 1] = np.nan
    values[1, :, :, 2] = np.nan
    means = bootstrap_means(values)
    assert np.nanmax(np.abs(means - 0.1)) < 1e-12
    assert interval(means) == pytest.approx((0.1, 0.1))


def test_p_values_are_corrected_for_their_number():
    assert holm([0.01, 0.04, float("nan"), 0.03]) == pytest.approx([0.03, 0.06, float("nan"), 0.06], nan_ok=True)
    assert holm([]) == []
    assert two_sided(np.array([0.1, 0.2, -0.1, np.nan])) == 1.0
    assert two_sided(np.linspace(0.1, 1, 999)) == pytest.approx(0.002)


def test_the_noise_of_an_arm_is_that_between_its_seeds():
    cells = experiment(5, seeds=8)
    found = {noise.arm: noise for noise in noises(cells, ["a", "b"])}
    assert found["a"].networks == 24
    assert found["a"].groups == 3
    expected = math.sqrt(np.mean([np.var([c.dice for c in cells if (c.arm, c.draw) == ("a", draw)], ddof=1)
                                  for draw in range(3)]))
    assert found["a"].sd == pytest.approx(expected)
    assert found["a"].sd == pytest.approx(0.02, rel=0.4)
    assert noises(experiment(5, seeds=1), ["a", "b"]) == []


def test_the_page_says_what_was_resampled_and_prints_the_noise():
    page = comparison_page(experiment(1), ["a", "b"], "a", [], 18)
    shown = re.sub(r"<caption.*?</caption>", "", page, flags=re.DOTALL)  # captions are for screen readers
    assert "bootstrap over 3 seeds, 3 draws, 16 patients" in shown
    assert "Only one of: folds" in page
    assert "run-to-run noise" in shown
    single = comparison_page(experiment(1, seeds=1), ["a", "b"], "a", [], 6)
    assert "No p value is given with a single seed or draw" in single
    assert "Run-to-run noise was not measured" in single


def test_hd95_goes_with_the_structures_that_have_none():
    """A network that misses structures has a better mean HD95 than one that finds them badly."""
    case = {"case": "p", "patient": "p", "hd95": [None, 3.0, None], "inside": [0, 5, 0], "sizes": [10, 12, 0]}
    (row,) = rows([Cell("a", 2, 0, 0, (case, {**case, "case": "q"}))], ["a"])
    assert (row.without_hd95, row.structures) == (2, 4)
    assert "2 of 4" in comparison_page([Cell("a", 2, 0, 0, (case, {**case, "case": "q"}))], ["a"], "a", [], 1)
