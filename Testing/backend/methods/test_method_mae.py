"""MAE: only what was hidden, and lies in the slice, counts."""

from __future__ import annotations

import pytest
import torch
from method_toys import NETWORK, decoder_maps, make_batch, make_features, make_input, make_view, random_numbers

from kaf.methods.mae.method import Mae
from kaf.methods.mae.settings import MaeSettings

SIZE = (12, 20)  # the network's maps are 16 x 32


def input_of(items=(0, 1, 2), nonsense=0.0):
    image = torch.stack([random_numbers(2, *SIZE, seed=i) for i in items])
    valid = torch.ones(3, *SIZE, dtype=torch.bool)
    valid[0, :, 15:] = False
    hidden = torch.stack([random_numbers(*SIZE, seed=40 + i) > 0.2 for i in range(3)])
    hidden[2] = False  # nothing of it was hidden
    valid, hidden = valid[list(items)], hidden[list(items)]
    asked = (valid & hidden)[:, None]
    anchor = make_view(torch.where(asked, image, image + nonsense), valid=valid)
    masked = make_view(image * ~hidden[:, None], valid=valid, hidden=hidden)
    maps = torch.cat([random_numbers(1, 4, 16, 32, seed=80 + i) for i in items])
    return make_input(make_batch({"anchor": anchor, "masked": masked}),
                      {"masked": make_features(decoder=decoder_maps(0, maps))})


def make_mae():
    torch.manual_seed(0)
    return Mae(MaeSettings(), NETWORK.model_copy(update={"in_channels": 2})).double()


def loss_of(*arguments, **more):
    return float(make_mae()(input_of(*arguments, **more)).loss.detach())


def plain_loss(mae, given):
    """Per slice the mean over hidden pixels inside it of the mean over channels of (drawn - image)^2."""
    losses = []
    weight, bias = mae.head.weight[:, :, 0, 0], mae.head.bias
    for item in range(3):
        errors = []
        for row in range(SIZE[0]):
            for column in range(SIZE[1]):
                masked = given.batch.views["masked"]
                if masked.hidden[item, row, column] and masked.valid[item, row, column]:
                    drawn = weight @ given.features["masked"].decoder[3][item, :, row, column] + bias
                    difference = drawn - given.batch.views["anchor"].image[item, :, row, column]
                    errors.append(float(difference.detach().square().mean()))
        losses.append(sum(errors) / max(1, len(errors)))
    return sum(losses) / 3


def test_the_loss_is_its_formula():
    mae, given = make_mae(), input_of()
    outcome = mae(given)
    assert float(outcome.loss.detach()) == pytest.approx(plain_loss(mae, given))
    assert float(outcome.terms["reconstruction"]) == float(outcome.loss.detach())
    assert mae.trains == ("encoder", "decoder")
    assert outcome.embedding is None


def test_what_is_seen_or_outside_the_slice_does_not_count():
    assert loss_of(nonsense=1e3) == pytest.approx(loss_of())


def test_the_order_of_the_batch_does_not_matter():
    assert loss_of((2, 0, 1)) == pytest.approx(loss_of())


def test_the_gradient_is_zero_where_nothing_was_asked():
    mae, given = make_mae(), input_of()
    maps = given.features["masked"].decoder[3].requires_grad_()
    mae(given).loss.backward()
    masked = given.batch.views["masked"]
    asked = torch.zeros(3, 16, 32, dtype=torch.bool)
    asked[:, :12, :20] = masked.hidden & masked.valid
    learned = maps.grad.abs().sum(1) > 0
    assert torch.equal(learned, asked)


def test_a_batch_in_parts_has_the_loss_of_the_whole():
    """Parts of equal size hide other numbers of pixels; the mean of their losses is that of the batch all the same."""
    mae, given = make_mae(), input_of()
    parts = []
    for part in given.batch.split(3):
        item = int(part.seeds[0]) - 40
        features = {"masked": make_features(decoder=decoder_maps(0, given.features["masked"].decoder[3][[item]]))}
        parts.append(float(mae(make_input(part, features)).loss.detach()))
    assert sum(parts) / 3 == pytest.approx(float(mae(given).loss.detach()))
    assert given.batch.split(2) == []
    assert Mae.splits
