"""What the labels of finished slices alone say: walls keep cavities, and a structure of one neighbour ends halfway."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaf.memory.finished import FinishedSlices
from kaf.memory.guesses import by_structure, nearest_guess, shape_guess
from kaf.memory.known import Trust
from kaf.memory.recall import recall_memory
from kaf.memory.shape import ending, interpolated, signed_distances
from kaf.memory.tuning import recipes_for, tune

ROWS, COLUMNS = np.mgrid[:64, :64]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius ** 2


def ring() -> np.ndarray:
    """A wall, 1, around a cavity, 2."""
    return np.where(disc(32, 32, 10), 2, np.where(disc(32, 32, 18), 1, 0)).astype(np.uint8)


def soft(*labels: np.ndarray, classes: int) -> torch.Tensor:
    values = torch.from_numpy(np.stack(labels).astype(np.int64))
    return torch.nn.functional.one_hot(values, classes).permute(0, 3, 1, 2).float()


def test_beyond_the_last_slice_a_cavity_stays_inside_its_wall_until_both_end():
    made = ending(ring(), 3, torch.tensor([3.0, 12.0, 17.0, 40.0]), 1.0, 0.0, 1.5).argmax(1).numpy()
    for labels in made[:3]:
        wall, cavity = labels == 1, labels == 2
        assert cavity.sum() > 4
        assert cavity.sum() / (wall | cavity).sum() == pytest.approx((10 / 18) ** 2, abs=0.12)
        columns = np.flatnonzero((labels > 0)[32])
        assert (labels[32, columns[0]:columns[-1] + 1] > 0).all(), "no background between the two"
    areas = (made > 0).sum((1, 2))
    assert areas[0] > areas[1] > areas[2] > 0
    assert areas[3] == 0


def test_what_does_not_touch_ends_by_itself():
    labels = np.where(disc(16, 16, 4), 1, np.where(disc(44, 44, 14), 2, 0)).astype(np.uint8)
    made = ending(labels, 3, torch.tensor([8.0]), 1.0, 0.0, 1.5).argmax(1)[0].numpy()
    assert not (made == 1).any()
    assert (made == 2)[44, 44]
    kept = ending(labels, 3, torch.tensor([8.0]), 1.0, 12.0, 1.5).argmax(1)[0].numpy()
    assert (kept == 1)[16, 16], "finished slices far apart: it may go on for some of their distance"


def test_a_structure_of_one_neighbour_only_stays_until_halfway():
    distances = torch.stack([signed_distances(np.where(disc(30, 30, 6), 1, 0).astype(np.uint8), 2),
                             signed_distances(np.zeros((64, 64), np.uint8), 2)])
    near, half, far = interpolated(distances, torch.tensor([[0.8, 0.2], [0.49, 0.51], [0.2, 0.8]])).argmax(1).numpy()
    assert near.sum() > 0.8 * disc(30, 30, 6).sum()
    assert not half.any()
    assert not far.any()


def test_the_nearer_slice_counts_for_more_where_finished_slices_are_far_apart():
    labels = soft(ring(), ring(), classes=3)

    def share(last: int, target: int) -> float:
        memory = FinishedSlices((0, last), labels)
        read, _ = recall_memory(lambda slices: torch.zeros(len(slices), 2, 64, 64), memory, [target])
        return float(read.log_weights.softmax(1)[0, 0])

    assert share(4, 1) == pytest.approx(0.75, abs=1e-4)
    assert share(40, 10) > 0.95


def test_structures_that_attention_gets_wrong_are_taken_from_the_labels():
    """Features without any meaning, and a structure that stays where it is while another moves with them."""
    still = [np.where(disc(20, 20, 6), 1, 0).astype(np.uint8)] * 5
    memory = FinishedSlices((0, 2, 4, 6, 8), soft(*still, classes=2))
    noise = torch.randn(9, 4, 64, 64, generator=torch.Generator().manual_seed(0)) * 8

    recipe, trials = tune(lambda slices: noise[list(slices)], memory, recipes_for(1, 1.0)[3:])
    assert recipe.sources[1] in ("shape", "nearest")
    wrong = [trial for trial in trials if (trial.soft.argmax(0).numpy() != still[0]).mean() > 0.01]
    assert not wrong, "and the finished slices left out are those of the source that was chosen"


def test_only_the_structures_named_come_from_the_labels():
    memory = FinishedSlices((0, 4), soft(ring(), ring(), classes=3))
    attention = torch.full((1, 3, 64, 64), 0.0)
    attention[:, 1] = 1
    made = by_structure(attention, memory, [1], ("attention", "attention", "nearest"))
    assert torch.allclose(made.sum(1), torch.ones(1, 64, 64))
    assert bool((made[0, 2].numpy()[ring() == 2] >= 0.5).all())
    assert by_structure(attention, memory, [1], ()) is attention
    assert torch.equal(nearest_guess(memory, [1]), memory.labels[:1])
    assert bool((shape_guess(memory, [1, 9]).sum(1) - 1 < 1e-5).all())


def test_the_memory_counts_for_more_between_finished_slices_and_where_one_is_all_there_is():
    between, beyond = Trust(0.8, 0.8, 0.8).share([0.0, 0.0], [True, False]).tolist()
    assert between == pytest.approx(0.8)
    assert 0.5 < beyond < between
    assert Trust(0.8, 0.8, 0.8, lone=True).share([0.0], [False]).tolist() == pytest.approx([0.8])
    near, far = Trust(0.8).share([5.0, 500.0], [False, False]).tolist()
    assert far < 0.1 < near
