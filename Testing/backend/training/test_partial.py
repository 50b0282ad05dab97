"""Partial labels: what was not drawn teaches nothing, neither that a structure is there nor that it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finetune_toys import small_run
from made_folders import save_volume

from kaf.data.batches import Batch, LabelledSlices, split_batch
from kaf.data.cache import CachedCase
from kaf.data.patches3d import LabelledVolumes
from kaf.evaluation.dice import dice
from kaf.imaging.keypoints import Keypoints
from kaf.modelfile.card import read_card
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.training.constant_guess import constant_dice
from kaf.training.loss import batch_loss
from kaf.training.partial import drawn_overlap
from kaf.verbs.finetune import finetune

SIZE = (16, 16)


def batch(labels: np.ndarray, known: list[set[int]] | None = None, ignored: np.ndarray | None = None) -> Batch:
    rows = None
    if known is not None:
        rows = np.zeros((len(labels), 256), bool)
        for row, values in zip(rows, known, strict=True):
            row[[0, *values]] = True
    points, mask = np.zeros((len(labels), 1, 2), np.float32), np.ones((len(labels), 1), bool)
    return Batch(np.zeros((len(labels), 1, *SIZE), np.float32), labels, points, mask, rows, ignored)


def drawn(*values: int) -> np.ndarray:
    """(2, 16, 16): in each patch a square of each value."""
    labels = np.zeros((2, *SIZE), np.uint8)
    for number, value in enumerate(values):
        labels[:, 4 * number: 4 * number + 3, 2:9] = value
    return labels


def sure_of(labels: np.ndarray, classes: int = 4) -> torch.Tensor:
    """Logits of a network that is sure of these labels."""
    return 20 * torch.nn.functional.one_hot(torch.from_numpy(labels).long(), classes).movedim(-1, 1).float()


def noise(classes: int = 4) -> torch.Tensor:
    return torch.randn(2, classes, *SIZE, generator=torch.Generator().manual_seed(0), requires_grad=True)


def formula(logits: torch.Tensor, labels: np.ndarray, weight: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and 1 - Dice, written out."""
    truth = torch.from_numpy(labels).long()
    entropy = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
    share, parts = logits.softmax(1) * weight[:, None], []
    for value in range(1, logits.shape[1]):
        there = (truth == value) * weight
        parts.append(1 - 2 * (share[:, value] * there).sum() / (share[:, value].sum() + there.sum()))
    return (entropy * weight).sum() / weight.sum() + torch.stack(parts).mean()


def test_where_all_was_drawn_it_is_the_usual_loss():
    labels, logits = drawn(1, 2, 3), noise()
    everywhere = torch.ones(labels.shape)
    expected = formula(logits, labels, everywhere)
    for known in (None, [{1, 2, 3}] * 2):
        loss = batch_loss(logits.detach(), batch(labels, known))
        assert float(loss) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_pixels_that_nobody_has_labelled_do_not_count():
    labels, logits = drawn(1, 2, 3), noise()
    ignored = np.zeros(labels.shape, bool)
    ignored[:, 10:] = True
    ignored[0, :2] = True
    loss = batch_loss(logits, batch(labels, None, ignored))
    assert float(loss.detach()) == pytest.approx(
        float(formula(logits.detach(), labels, torch.from_numpy(~ignored).float())), abs=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient.movedim(1, -1)[torch.from_numpy(ignored)].any()
    assert gradient.isfinite().all()


def test_a_structure_that_was_not_drawn_may_be_found_or_not():
    """The network is sure of a structure where the label map has background: right, if nobody has drawn it."""
    truth, map_ = drawn(1, 2), drawn(1)
    found, missed = sure_of(truth), sure_of(map_)
    assert float(batch_loss(found, batch(map_, [{1, 2, 3}] * 2))) > 1  # drawn, so that it is wrong
    for logits in (found, missed):
        assert float(batch_loss(logits, batch(map_, [{1}] * 2))) == pytest.approx(0, abs=1e-3)
    # What was drawn still has to be found.
    assert float(batch_loss(sure_of(drawn(2)), batch(map_, [{1}] * 2))) > 1


def test_background_and_what_was_not_drawn_are_one_class():
    labels, logits = drawn(1), noise()
    loss = batch_loss(logits, batch(labels, [{1}] * 2))
    joined = torch.stack([logits[:, [0, 2, 3]].logsumexp(1), logits[:, 1]], 1)
    expected = formula(joined.detach(), labels, torch.ones(labels.shape))
    assert float(loss.detach()) == pytest.approx(float(expected), abs=1e-5)


def test_patches_of_one_batch_differ_in_what_was_drawn():
    labels, logits = drawn(1, 2), noise()
    labels[1][labels[1] == 2] = 0
    (gradient,) = torch.autograd.grad(batch_loss(logits, batch(labels, [{1, 2, 3}, {1}])), logits)
    split = gradient[1, 0] / logits.softmax(1)[1, 0], gradient[1, 2] / logits.softmax(1)[1, 2]
    assert torch.allclose(*split, atol=1e-6)  # in the second patch nothing tells 2 from background
    assert not torch.allclose(gradient[0, 0], gradient[0, 2], atol=1e-4)


def test_a_batch_in_parts_keeps_its_rows():
    whole = batch(drawn(1, 2), [{1, 2}, {1}], drawn(1) > 0)
    first, second = split_batch(whole, 2)
    assert (first.known[0, 2], second.known[0, 2]) == (True, False)
    assert np.array_equal(second.ignored[0], whole.ignored[1])
    assert split_batch(batch(drawn(1)), 2)[0].known is None


# ---------------------------------------------------------------- data, validation


def case(name: str, annotated: frozenset[int] | None, ignored: bool = False) -> CachedCase:
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[:, 10:20, 10:20], labels[:, 22:30, 22:30] = 1, 2
    image = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    points = Keypoints(np.array([[15.0, 15.0]], np.float32), np.ones(1, np.float32), None)
    return CachedCase(name, name, image, labels, [points] * 3, (1.0, 1.0, 1.0), annotated=annotated,
                      ignored=(labels == 2).astype(np.uint8) if ignored else None)


def test_patches_say_what_was_drawn_in_their_cases():
    cases = [case("a", None), case("b", frozenset({1})), case("c", None, ignored=True)]
    for made in (LabelledSlices(cases, (32, 32), 0, AugmentationSettings(), 0),
                 LabelledVolumes(cases, (2, 32, 32), AugmentationSettings(), 0)):
        found = [made.batch(step, 4) for step in range(8)]
        knowing = [values for each in found if each.known is not None for values in each.known[:, :4].tolist()]
        assert [True, True, True, True] in knowing
        assert [True, True, False, False] in knowing
        for each in found:
            if each.ignored is not None:
                assert each.ignored.shape == each.labels.shape
                assert np.array_equal(each.ignored, (each.labels == 2) & each.ignored.any(
                    tuple(range(1, each.ignored.ndim)), keepdims=True))
        assert any(each.ignored is not None and each.ignored.any() for each in found)
    plain = LabelledSlices(cases[:1], (32, 32), 0, AugmentationSettings(), 0).batch(0, 4)
    assert plain.known is None


def test_validation_leaves_out_what_was_not_drawn():
    found = np.zeros((3, 40, 40), np.uint8)
    found[:, 10:20, 10:20], found[:, 22:30, 22:30], found[0, :5, :5] = 1, 2, 2
    whole = case("a", None)
    assert dice(*drawn_overlap(whole, found, 3)) == pytest.approx([1.0, 2 * 192 / (192 + 217)])
    assert dice(*drawn_overlap(case("a", frozenset({1})), found, 3)) == pytest.approx([1.0, np.nan], nan_ok=True)
    unknown = replace(case("a", None), ignored=(found != whole.labels).astype(np.uint8))
    assert dice(*drawn_overlap(unknown, found, 3)) == pytest.approx([1.0, 1.0])


def test_what_doing_nothing_is_worth_counts_what_was_drawn():
    training, whole = [case("a", None)], case("b", None)
    empty = replace(whole, labels=np.where(whole.labels == 2, 0, whole.labels))
    assert constant_dice(training, [whole], [1, 2]) == pytest.approx(1)
    assert constant_dice(training, [empty], [1, 2]) == pytest.approx(0.5)
    assert constant_dice(training, [replace(empty, annotated=frozenset({1}))], [1, 2]) == pytest.approx(1)


# ---------------------------------------------------------------- training


def learned(known: list[set[int]] | None) -> float:
    """The chance that a network of one layer gives a structure that one of eight patches has drawn, where it is."""
    torch.manual_seed(0)
    truth = np.repeat(drawn(1, 2)[:1], 8, 0)
    labels = truth.copy()
    labels[1:][truth[1:] == 2] = 0
    image = torch.nn.functional.one_hot(torch.from_numpy(truth).long(), 3).movedim(-1, 1).float()
    network = torch.nn.Conv2d(3, 3, 1)
    optimiser = torch.optim.Adam(network.parameters(), 0.1)
    given = batch(labels, known)
    for _ in range(60):
        optimiser.zero_grad()
        batch_loss(network(image), given).backward()
        optimiser.step()
    return float(network(image).detach().softmax(1)[:, 2][torch.from_numpy(truth) == 2].mean())


def test_a_structure_that_one_patch_of_eight_has_drawn_is_learned():
    assert learned([{1, 2}] + [{1}] * 7) > 0.9
    assert learned(None) < 0.5  # taken for drawn everywhere, it is background in seven of eight


def partly(root: Path) -> Path:
    """Three hearts; in one of them the second structure was not drawn."""
    for number in range(3):
        volume, labels = cardiac_phantom(number, slices=3, size=32, spacing=4.0)
        map_ = np.where(labels.voxels == 3, 2 if number else 0, labels.voxels > 0).astype(np.uint8)
        save_volume(root / "images" / f"p{number}.nii.gz", volume.voxels)
        save_volume(root / "labels" / f"p{number}.nii.gz", map_)
    (root / "labelled.csv").write_text("case,structures\np0,1\n")
    return root


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_run_trains_and_validates_on_what_was_drawn(tmp_path, monkeypatch, dimensions):
    data, seen = partly(tmp_path / "data"), []

    def watched(logits, given, balance):
        if given.known is not None:
            seen.append(given.known[:, :3].tolist())
        return batch_loss(logits, given, balance)

    for task in ("task", "task3d"):
        monkeypatch.setattr(f"kaf.training.{task}.batch_loss", watched)
    three = {"network": {"dimensions": 3, "width": 4, "patch": (2, 16, 16)}, "patch": None} if dimensions == 3 else {}
    run = small_run(tmp_path, data, epochs=None, steps=4, batch=2, validation_cases=("p0",), **three)
    validation = read_card(finetune(run)).metrics["validation"]
    assert "Dice 1" in validation
    assert "Dice 2" not in validation
    assert seen == []  # those who train have all
    (data / "labelled.csv").write_text("case,structures\np1,1\np2,1\n")
    finetune(small_run(tmp_path, data, "again", epochs=None, steps=4, batch=2, validation_cases=("p0",), **three))
    assert seen == [[[True, True, False]] * 2] * 4


def test_unlabelled_scans_do_not_go_with_partial_labels(tmp_path):
    data = partly(tmp_path / "data")
    with pytest.raises(SettingsError, match="cannot be combined with partial labels"):
        finetune(small_run(tmp_path, data, unlabelled=str(data)))
