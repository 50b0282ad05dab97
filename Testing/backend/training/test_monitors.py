"""Figures of embeddings against their definitions, and the alarm as a message."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from method_toys import NETWORK, random_numbers

from kaf.methods.bim.method import Bim
from kaf.methods.bim.settings import BimSettings
from kaf.runs.collapse import embedding_collapse
from kaf.runtime.message_codes import COLLAPSE
from kaf.training.monitors import embedding_figures


def plain_figures(embedding):
    units = [[each / each.norm() for each in view] for view in embedding]
    first, width = torch.stack(units[0]), embedding.shape[2]
    deviations = [math.sqrt(sum((float(x) - float(column.mean())) ** 2 for x in column) / (len(column) - 1))
                  for column in first.T]
    singular = torch.linalg.eigvalsh((first - first.mean(0)) @ (first - first.mean(0)).T).clamp(min=0).sqrt()
    shares = [float(s / singular.sum()) for s in singular]
    apart = [float((a - b).square().sum()) for a, b in itertools.combinations(first, 2)]
    return {
        "spread": sum(deviations) / width * math.sqrt(width),
        "effective rank": math.exp(-sum(s * math.log(s) for s in shares if s > 1e-9)),
        "alignment": sum(float((a - b).square().sum()) for a, b in zip(*units, strict=True)) / len(first),
        "uniformity": math.log(sum(math.exp(-2 * d) for d in apart) / len(apart)),
    }


def test_figures_are_their_definitions():
    embedding = random_numbers(2, 9, 5) + 0.5
    assert embedding_figures(embedding) == pytest.approx(plain_figures(embedding), abs=1e-4)


def test_directions_drawn_at_random_have_spread_one_and_full_rank():
    found = embedding_figures(random_numbers(2, 2000, 6))
    assert found["spread"] == pytest.approx(1, abs=0.03)
    assert found["effective rank"] == pytest.approx(6, abs=0.1)
    assert found["alignment"] == pytest.approx(2, abs=0.1)


def test_few_slices_say_little_and_that_alone():
    """A batch of two has rank one always: no figure, and no alarm, is made of it."""
    assert "effective rank" not in embedding_figures(random_numbers(2, 4, 16))
    assert embedding_figures(random_numbers(2, 1, 16)) == {}
    assert set(embedding_figures(random_numbers(1, 9, 16))) == {"spread", "effective rank", "uniformity"}
    for count in range(1, 12):
        for seed in range(5):
            found = embedding_figures(random_numbers(2, count, 16, seed=seed))
            assert all(math.isfinite(value) for value in found.values())
            assert embedding_collapse(found) is None, f"{count} slices"


def test_the_same_embedding_for_all_is_a_collapse():
    one = random_numbers(1, 1, 16).expand(2, 12, 16)
    warning = embedding_collapse(embedding_figures(one + 1e-3 * random_numbers(2, 12, 16)))
    assert (warning.level, warning.code, warning.data["figure"], warning.data["clusters"]) == (
        "warning", COLLAPSE, "spread", False)
    assert "all slices, or places, get nearly the same embedding" in warning.text
    assert "Lower the learning rate" in warning.text
    assert all(math.isfinite(value) for value in embedding_figures(one).values())
    assert embedding_collapse(embedding_figures(torch.zeros(2, 12, 16))), "a network that died altogether"


def test_a_line_is_a_collapse():
    line = random_numbers(1, 12, 1) * random_numbers(1, 1, 16, seed=1) + random_numbers(1, 1, 16, seed=2)
    warning = embedding_collapse(embedding_figures(line + 1e-4 * random_numbers(1, 12, 16)))
    assert (warning.data["figure"], warning.data["clusters"]) == ("effective rank", False)
    assert "one direction only" in warning.text


def test_clusters_that_are_not_used_are_a_collapse():
    method = Bim(BimSettings(clusters=5), NETWORK)
    alive = {"cluster use": 0.9, "cluster information": 0.02}
    assert method.warning(alive) is None
    unused, same = method.warning({**alive, "cluster use": 0.2}), method.warning({**alive, "cluster information": 5e-4})
    assert (unused.code, unused.data) == (COLLAPSE, {"figure": "cluster use", "value": 0.2, "clusters": True})
    assert "few clusters are used (entropy 20 %" in unused.text
    assert (same.code, same.data) == (COLLAPSE, {"figure": "cluster information", "value": 5e-4, "clusters": True})
    assert "all pixels get the same clusters" in same.text
