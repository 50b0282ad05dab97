"""Unlabelled scans that help fine-tuning: what is pasted where, which labels it gets, what counts how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from finetune_toys import small_run
from small_models import write_phantoms

from kaf.card import read_card
from kaf.errors import InputError
from kaf.events import Message
from kaf.finetune import finetune
from kaf.training.mixing import (
    joined_keypoints,
    labelled_pixels,
    largest_parts,
    random_boxes,
    surely,
    weighted_dice_ce,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


def test_with_equal_weights_the_loss_is_monais_dice_and_cross_entropy():
    from monai.losses import DiceCELoss

    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 4, 8, 9, generator=generator)
    labels = torch.randint(0, 4, (3, 8, 9), generator=generator)
    criterion = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    mine = weighted_dice_ce(logits, labels, torch.ones(3, 8, 9))
    torch.testing.assert_close(mine, criterion(logits, labels[:, None]), atol=1e-5, rtol=1e-5)


def test_a_pixel_without_weight_changes_nothing():
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 6), generator=generator)
    weight = torch.ones(2, 6, 6)
    weight[0, :3] = 0
    other_logits, other_labels = logits.clone(), labels.clone()
    other_logits[0, :, :3] = 50.0
    other_labels[0, :3] = 1
    assert torch.equal(weighted_dice_ce(logits, labels, weight), weighted_dice_ce(other_logits, other_labels, weight))
    assert weighted_dice_ce(logits, labels, weight) != weighted_dice_ce(logits, other_labels, torch.ones(2, 6, 6))


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
    heard = []
    settings = small_run(folder, folder / "scans", "mixed", cases=("anna",), unlabelled=str(folder / "scans"),
                         unlabelled_after=0.5, epochs=3)
    path = finetune(settings, heard.append)
    assert "2 unlabelled scans help." in [event.text for event in heard if isinstance(event, Message)]
    plain = finetune(small_run(folder, folder / "scans", "plain", cases=("anna",), epochs=3))
    assert read_card(path).digest != read_card(plain).digest
    assert read_card(path).recipe["unlabelled"] == "scans", "no private path travels"
    again = finetune(settings.model_copy(update={"output": str(folder / "again")}))
    assert read_card(again).digest == read_card(path).digest


def test_patients_with_labels_or_left_out_are_no_unlabelled_scans(folder):
    settings = small_run(folder, folder / "scans", "nobody", cases=("anna",), unlabelled=str(folder / "scans"),
                         leave_out=("bert", "carl"))
    with pytest.raises(InputError, match="holds no scan of a patient who is not already used or left out"):
        finetune(settings)


def test_who_is_left_out_does_not_train(folder):
    heard = []
    finetune(small_run(folder, folder / "scans", "less", leave_out=("carl",), epochs=0.5), heard.append)
    assert any(isinstance(e, Message) and e.text.startswith("2 patients for training") for e in heard)
