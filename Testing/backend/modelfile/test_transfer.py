"""Weights into another network: what fits is taken, what does not is listed, the share is exact."""

from __future__ import annotations

import pytest
import torch
from small_models import CARD, PLAIN, SMALL, logits_of, small_network, some_slices
from torch import nn

from kaf.modelfile.model import load_tensors, save_model
from kaf.modelfile.transfer import TransferReport, transfer
from kaf.network import build_network
from kaf.runtime.errors import ModelError


class Toy(nn.Module):
    """Three modules: 3*ins + 3 parameters in the encoder, 9 in the decoder, 2*outs in the head."""

    def __init__(self, ins: int = 2, outs: int = 2):
        super().__init__()
        self.encoder = nn.Conv2d(ins, 3, 1)
        self.decoder = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(outs, 2, bias=False)


def weights(**values: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name.replace("_", "."): value for name, value in values.items()}


def test_every_tensor_is_in_one_list_and_the_coverage_is_the_share_of_parameters():
    network = Toy()
    kept = network.head.weight.clone()
    given = weights(encoder_weight=torch.randn(3, 2, 1, 1), decoder_weight=torch.randn(3, 3, 3, 3),
                    head_weight=torch.randn(4, 2), projector_weight=torch.zeros(5))
    report = transfer(network, given, "file")
    assert report == TransferReport(
        loaded=["encoder.weight"], adapted=[], skipped=["decoder.weight", "head.weight"],
        missing=["encoder.bias"], unexpected=["projector.weight"], coverage=6 / (6 + 3 + 9 + 4))
    assert torch.equal(network.encoder.weight, given["encoder.weight"])
    assert torch.equal(network.head.weight, kept)
    assert report.text() == "27.3 % of the weights transferred (1 loaded, 2 skipped, 1 missing, 1 unexpected)"
    assert report.to_dict()["coverage"] == 6 / 22


def test_only_the_named_modules_are_taken_and_counted():
    network = Toy()
    before = network.decoder.weight.clone()
    given = Toy().state_dict()
    report = transfer(network, given, "file", modules=("encoder", "head"))
    assert report.loaded == ["encoder.weight", "encoder.bias", "head.weight"]
    assert report.skipped == ["decoder.weight"]
    assert report.coverage == 1.0
    assert torch.equal(network.decoder.weight, before)
    assert torch.equal(network.head.weight, given["head.weight"])


@pytest.mark.parametrize(("theirs", "ours"), [(1, 3), (3, 1), (2, 5)])
def test_other_input_channels_give_the_same_answer_for_equal_channels(theirs, ours):
    settings = PLAIN.model_copy(update={"in_channels": theirs})
    source = small_network(settings)
    target = build_network(PLAIN.model_copy(update={"in_channels": ours}))
    report = transfer(target, source.state_dict(), "file")
    assert report.adapted == ["encoder.stages.0.0.weight"]
    assert (report.skipped, report.missing, report.unexpected, report.coverage) == ([], [], [], 1.0)
    image = some_slices()[0]
    with torch.no_grad():
        expected = source(image.expand(-1, theirs, -1, -1)).logits
        found = target.eval()(image.expand(-1, ours, -1, -1)).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_first_convolution_is_adapted_by_the_mean():
    network = Toy(ins=3)
    given = weights(encoder_weight=torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).repeat(3, 1, 1, 1))
    transfer(network, given, "file")
    assert torch.equal(network.encoder.weight.flatten(1), torch.full((3, 3), 4 / 3))


def test_deeper_convolutions_with_other_inputs_are_skipped_and_not_averaged():
    """A plain encoder has half the inputs of a fused one at every stage: those are not equal channels."""
    source, target = small_network(PLAIN), small_network(SMALL, seed=1)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    report = transfer(target, source.state_dict(), "file")
    assert report.adapted == []
    expected = [f"encoder.stages.{n}.0.weight" for n in (1, 2, 3)] + ["encoder.centre.0.weight"]
    assert report.skipped == expected + [f"decoder.stages.{n}.0.weight" for n in range(4)]
    after = target.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in (*report.skipped, *report.missing))
    assert all(torch.equal(after[name], source.state_dict()[name]) for name in report.loaded)
    parameters = dict(target.named_parameters())
    share = sum(parameters[n].numel() for n in report.loaded if n in parameters) / sum(
        p.numel() for p in parameters.values())
    assert report.coverage == pytest.approx(share, abs=1e-12)


def test_a_model_file_covers_its_own_network_wholly(tmp_path):
    source = small_network()
    save_model(tmp_path / "a.safetensors", source, CARD, half=False)
    card, tensors = load_tensors(tmp_path / "a.safetensors")
    target = small_network(seed=1)
    report = transfer(target, tensors, "file", card.trained_modules, least=1.0)
    assert report.text() == f"100.0 % of the weights transferred ({len(tensors)} loaded)"
    assert torch.equal(logits_of(target), logits_of(source))


def test_too_little_that_fits_is_an_error_with_the_numbers():
    given = weights(encoder_weight=torch.zeros(3, 2, 1, 1))
    assert transfer(Toy(), given, "file", least=6 / 22).coverage == 6 / 22
    with pytest.raises(ModelError) as caught:
        transfer(Toy(), given, "weights.safetensors", least=0.5)
    assert str(caught.value) == (
        "weights.safetensors: fits only 27.3 % of this network (at least 50 % are needed; 27.3 % of the "
        "weights transferred (1 loaded, 3 missing)). Use the same network settings as the weights, or other "
        "weights.")
    with pytest.raises(ModelError, match=r"fits only 0\.0 %"):
        transfer(Toy(), {}, "file", least=0.01)
    with pytest.raises(ModelError, match=r"fits only 0\.0 %"):
        transfer(Toy(), Toy().state_dict(), "file", modules=("body",), least=0.5)
