"""Unlabelled scans that help fine-tuning: what is pasted where, which labels it gets, what counts how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from finetune_toys import small_run
from small_models import write_phantoms
from training_toys import CPU

from kaf.data.batches import Batch
from kaf.data.views import View
from kaf.modelfile.card import read_card
from kaf.network import Features
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.training.loss import dice_cross_entropy
from kaf.training.mixing import (
    Mixed,
    MixingTask,
    joined_keypoints,
    labelled_pixels,
    largest_parts,
    random_boxes,
    surely,
)
from kaf.verbs.finetune import finetune

LOSS = dice_cross_entropy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


@pytest.mark.parametrize("size", [(8, 9), (4, 5, 6)])
def test_with_equal_weights_the_loss_is_monais_dice_and_cross_entropy(size):
    from monai.losses import DiceCELoss

    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 4, *size, generator=generator)
    labels = torch.randint(0, 4, (3, *size), generator=generator)
    expected = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(logits, labels[:, None])
    torch.testing.assert_close(LOSS(logits, labels, torch.ones(3, *size)), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(LOSS(logits, labels), expected, atol=1e-5, rtol=1e-5)


def test_a_structure_that_the_batch_does_not_hold_counts_in_the_cross_entropy_only():
    """So that predicting none of many small structures is no way down: the rest of the loss does not see them."""
    logits = torch.zeros(1, 5, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 2
    loss = LOSS(logits, labels)
    entropy = torch.nn.functional.cross_entropy(logits, labels)
    share = 1 / 5
    dice = 2 * 8 * share / (16 * share + 8)
    assert float((loss - entropy).detach()) == pytest.approx(1 - dice, abs=1e-5)
    nothing = torch.zeros_like(labels)
    torch.testing.assert_close(LOSS(logits, nothing), torch.nn.functional.cross_entropy(logits, nothing))
    LOSS(logits, nothing).backward()
    assert torch.isfinite(logits.grad).all()


def test_a_pixel_without_weight_changes_nothing():
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 6), generator=generator)
    weight = torch.ones(2, 6, 6)
    weight[0, :3] = 0
    other_logits, other_labels = logits.clone(), labels.clone()
    other_logits[0, :, :3] = 50.0
    other_labels[0, :3] = 1
    assert torch.equal(LOSS(logits, labels, weight), LOSS(other_logits, other_labels, weight))
    assert LOSS(logits, labels, weight) != LOSS(logits, other_labels, torch.ones(2, 6, 6))


def plain_loss(logits, labels, weight):
    """Dice over the batch of every structure, plus cross-entropy; each pixel counts with its weight: one by one."""
    entropy = total = 0.0
    classes = logits.shape[1]
    both, share, truth = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for item in range(len(logits)):
        for row in range(logits.shape[2]):
            for column in range(logits.shape[3]):
                scores = logits[item, :, row, column].double()
                probability = (scores.exp() / scores.exp().sum()).numpy()
                label, counts = int(labels[item, row, column]), float(weight[item, row, column])
                entropy -= counts * np.log(probability[label])
                total += counts
                share += counts * probability
                truth[label] += counts
                both[label] += counts * probability[label]
    dice = [(2 * both[k] + 1e-5) / (share[k] + truth[k] + 1e-5) for k in range(1, classes)]
    return entropy / total + 1 - sum(dice) / len(dice)


def test_the_loss_is_the_plain_formula_for_any_weights():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    weight = torch.rand(2, 4, 5, generator=generator)
    weight[0, :, 0] = 0
    for weights in (weight, 2 * weight, torch.full((2, 4, 5), 0.5)):
        expected = plain_loss(logits, labels, weights)
        assert float(LOSS(logits, labels, weights)) == pytest.approx(expected, rel=1e-5)


def test_two_pixels_in_numbers():
    """An own pixel of label 1 with probabilities 0.8 and 0.2, a pasted one of label 0 with even ones that counts half:
    entropy (ln 5 + 0.5 ln 2) / 1.5, Dice 2 * 0.2 / (0.2 + 0.25 + 1)."""
    logits = torch.tensor([[[[0.8, 0.5]], [[0.2, 0.5]]]]).log()
    found = LOSS(logits, torch.tensor([[[1, 0]]]), torch.tensor([[[1.0, 0.5]]]))
    expected = (np.log(5) + 0.5 * np.log(2)) / 1.5 + 1 - 0.4 / 1.45
    assert float(found) == pytest.approx(expected, abs=1e-4)


class Fixed(torch.nn.Module):
    """The same logits whatever it sees; it keeps what it was shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, image, keypoints, mask):
        self.seen = image, keypoints, mask
        return Features(self.logits, [], self.logits, [])


@pytest.mark.parametrize("weight", [0.5, 0.2])
def test_own_pixels_count_one_and_pasted_ones_the_weight_where_the_teacher_is_sure(weight):
    """A batch of two labelled slices as they are, and of two with a box pasted the one and the other way round."""
    generator = torch.Generator().manual_seed(8)
    boxes = torch.zeros(2, 6, 6, dtype=torch.bool)
    boxes[:, 1:5, 2:6] = True
    images = torch.randn(4, 1, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (4, 6, 6), generator=generator)
    others = torch.randn(2, 1, 6, 6, generator=generator)
    guesses = torch.zeros(2, 6, 6, dtype=torch.long)
    guesses[0, :, :3], guesses[1, 2:4] = 1, 2
    unsure = torch.rand(2, 6, 6, generator=generator) < 0.4
    hot = torch.nn.functional.one_hot(guesses, 3).movedim(-1, 1).float()
    teacher = Fixed(hot * torch.where(unsure, 1.0, 9.0)[:, None])
    network = Fixed(torch.randn(4, 3, 6, 6, generator=generator))
    points = torch.tensor([[2.0, 3.0], [0.0, 0.0]])
    there = torch.ones(2, 2, dtype=torch.bool)
    view = View(others, points.expand(2, 2, 2), there, torch.ones(2, 6, 6, dtype=torch.bool),
                torch.eye(2, 3).expand(2, 2, 3))
    given = Batch(images.numpy(), labels.numpy().astype(np.uint8), points.expand(4, 2, 2).numpy(),
                  np.ones((4, 2), bool))
    task = MixingTask(network, CPU, None, 4, (), 0, None, weight, 0.0)
    found, _ = task.loss(Mixed(given, view, boxes), teacher, 0.5)

    picture, truth, counts = torch.zeros(4, 1, 6, 6), torch.zeros(4, 6, 6, dtype=torch.long), torch.zeros(4, 6, 6)
    for item in range(4):
        for row in range(6):
            for column in range(6):
                inside = 1 <= row < 5 and 2 <= column < 6
                own = item < 2 or inside == (item == 3)  # around the box in the third slice, inside it in the fourth
                other = item % 2
                picture[item, 0, row, column] = (images[item] if own else others[other])[0, row, column]
                truth[item, row, column] = (labels[item] if own else guesses[other])[row, column]
                counts[item, row, column] = 1.0 if own else 0.0 if unsure[other, row, column] else weight
    torch.testing.assert_close(network.seen[0], picture)
    assert float(found) == pytest.approx(plain_loss(network.logits, truth, counts), rel=1e-5)
    assert {0.0, weight, 1.0} == {round(value, 3) for value in counts.unique().tolist()}
    # The keypoint in the box and the one at the corner, of the labelled slice, then of the unlabelled one.
    assert network.seen[2].tolist() == [[True, True, False, False]] * 2 + [[False, True, True, False],
                                                                           [True, False, False, True]]


def test_boxes_are_two_thirds_of_each_side_and_the_same_for_the_same_step():
    boxes = random_boxes(4, 5, (30, 60))
    assert boxes.sum((1, 2)).tolist() == [20 * 40] * 5
    for box in boxes:
        rows, columns = box.nonzero(as_tuple=True)
        assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (20, 40)
    assert torch.equal(boxes, random_boxes(4, 5, (30, 60)))
    assert not torch.equal(boxes, random_boxes(5, 5, (30, 60)))


def test_half_of_a_batch_stays_labelled_and_the_other_half_is_pasted_both_ways():
    boxes = random_boxes(2, 4, (12, 15))
    own = labelled_pixels(boxes)
    assert own[:4].all()
    assert torch.equal(own[4::2], ~boxes[::2])
    assert torch.equal(own[5::2], boxes[1::2])


def test_a_guess_counts_where_the_teacher_is_sure():
    share = torch.tensor([[0.89, 0.11], [0.91, 0.09], [0.2, 0.8], [0.02, 0.98]])
    assert surely(share.log().T.reshape(1, 2, 2, 2)).tolist() == [[[False, True], [False, True]]]


def test_of_a_guess_only_the_largest_part_of_each_structure_is_kept():
    labels = np.zeros((12, 12), int)
    labels[1:6, 1:6] = 1
    labels[9:11, 9:11] = 1  # a stray piece
    labels[1:3, 8:11] = 2
    logits = torch.nn.functional.one_hot(torch.from_numpy(labels), 3).movedim(-1, 0).float()[None]
    kept = largest_parts(logits)[0].numpy()
    expected = labels.copy()
    expected[9:11, 9:11] = 0
    np.testing.assert_array_equal(kept, expected)


def test_keypoints_count_where_their_own_slice_is_seen():
    own = torch.zeros(1, 10, 10, dtype=torch.bool)
    own[0, :5] = True
    first = torch.tensor([[[2.0, 2.0], [8.0, 2.0], [3.0, 3.0]]]), torch.tensor([[True, True, False]])
    second = torch.tensor([[[2.0, 2.0], [8.0, 2.0]]]), torch.tensor([[True, True]])
    points, mask = joined_keypoints(first, second, own)
    assert points.shape == (1, 5, 2)
    assert mask.tolist() == [[True, False, False, False, True]]


def test_a_run_with_unlabelled_scans_trains_and_says_so(folder):
    reported = []
    settings = small_run(folder, folder / "scans", "mixed", cases=("anna",), unlabelled=str(folder / "scans"),
                         unlabelled_after=0.5, epochs=3)
    path = finetune(settings, reported.append)
    assert "Training also uses 2 unlabelled scans." in [event.text for event in reported if isinstance(event, Message)]
    plain = finetune(small_run(folder, folder / "scans", "plain", cases=("anna",), epochs=3))
    assert read_card(path).digest != read_card(plain).digest
    assert read_card(path).recipe["unlabelled"] == "scans", "no private path travels"
    again = finetune(settings.model_copy(update={"output": str(folder / "again")}))
    assert read_card(again).digest == read_card(path).digest


def test_patients_with_labels_or_left_out_are_no_unlabelled_scans(folder):
    settings = small_run(folder, folder / "scans", "nobody", cases=("anna",), unlabelled=str(folder / "scans"),
                         leave_out=("bert", "carl"))
    with pytest.raises(InputError, match="contains no scan of a patient who is neither used already nor left out"):
        finetune(settings)


def test_who_is_left_out_does_not_train(folder):
    reported = []
    finetune(small_run(folder, folder / "scans", "less", leave_out=("carl",), epochs=0.5), reported.append)
    assert any(isinstance(e, Message) and e.text.startswith("2 patients for training") for e in reported)
