"""The networks' published sizes, their invariances, and MONAI's networks behind the same call."""

import copy
import importlib.util

import pytest
import torch
from small_models import listening

from kaf.network import build_network, count_parameters
from kaf.network.attention import token_norm
from kaf.network.kafunet import KAFUNet
from kaf.runtime.errors import ResourceError
from kaf.settings.network import NetworkSettings

UNUSED = 4 * 65793  # the published counts include a projection and a score per scale that are never used
SMALL = {"width": 4, "classes": 3, "blocks": 2, "token_width": 16, "heads": 4, "diffusion_width": 4}


@pytest.mark.parametrize(("settings", "count"), [
    ({"fusion": "none", "width": 32, "classes": 8}, 7_763_584),
    ({"fusion": "none", "width": 48, "classes": 4}, 17_462_016),
    ({"fusion": "copy", "width": 32, "classes": 8}, 27_911_328),
    ({"width": 32, "classes": 8}, 71_467_264),
    ({"width": 32, "classes": 8, "blocks": 16}, 71_730_436 - UNUSED),
    ({"width": 48, "classes": 4}, 106_546_624),
    ({"width": 32, "classes": 8, "blocks": 9}, 53_301_508 - UNUSED),
    ({"width": 32, "classes": 8, "blocks": 18}, 76_995_844 - UNUSED),
    ({"width": 48, "classes": 4, "blocks": 6}, 80_482_756 - UNUSED),
], ids=str)
def test_published_parameter_counts(settings, count):
    with torch.device("meta"):
        assert count_parameters(build_network(NetworkSettings(**settings))) == count


def make_network(**changes) -> KAFUNet:
    """A small network whose running statistics are not at their resting values."""
    torch.manual_seed(0)
    network = listening(build_network(NetworkSettings(**{**SMALL, **changes})))
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return network.eval()


def make_inputs(batch=3, count=14, size=(48, 64), seed=1):
    """Images, keypoints and a mask with a different number of real keypoints per slice."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, 1, *size, generator=generator)
    keypoints = torch.rand(batch, count, 2, generator=generator) * torch.tensor(size)
    mask = torch.arange(count)[None] < torch.tensor([count - 4 * index for index in range(batch)])[:, None]
    return image, keypoints, mask


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def train_step(network, *inputs):
    """Logits of one forward pass in training mode, the gradients and the buffers after it, by name."""
    network = copy.deepcopy(network).train()
    logits = network(*inputs).logits
    logits.square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return logits, gradients, dict(network.named_buffers())


def test_shapes_of_features():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    features = network(image, keypoints, mask)
    assert features.logits.shape == (3, 3, 48, 64)
    assert [tuple(tokens.shape) for tokens in features.tokens] == [(3, 14, 16)] * 4
    assert features.bottleneck.shape == (3, 16 * 8, 3, 4)
    shapes = [tuple(decoded.shape[1:]) for decoded in features.decoder]
    assert shapes == [(64, 6, 8), (32, 12, 16), (16, 24, 32), (8, 48, 64)]
    assert features.attention is None


def test_the_order_of_keypoints_does_not_matter():
    network, (image, keypoints, _) = make_network(), make_inputs()
    order = torch.randperm(14, generator=torch.Generator().manual_seed(2))
    before, after = network(image, keypoints), network(image, keypoints[:, order])
    close(before.logits, after.logits)
    for tokens, permuted in zip(before.tokens, after.tokens, strict=True):
        close(tokens[:, order], permuted)
    logits, gradients, buffers = train_step(network, image, keypoints)
    same, twins, states = train_step(network, image, keypoints[:, order])
    close(logits, same, 1e-4)
    for name in gradients:
        close(gradients[name], twins[name], 1e-3)
    for name in buffers:
        close(buffers[name], states[name])


def test_keypoints_do_matter():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    base = network(image, keypoints, mask).logits
    for other in (network(image, keypoints + 9, mask), network(image, keypoints, ~mask), network(image)):
        assert (other.logits - base).abs().amax((1, 2, 3)).min() > 1e-3


def test_an_untrained_network_is_a_unet_and_learns_to_listen_to_keypoints():
    torch.manual_seed(0)
    network, (image, keypoints, mask) = build_network(NetworkSettings(**SMALL)).eval(), make_inputs()
    assert torch.equal(network(image, keypoints, mask).logits, network(image, keypoints + 9, mask).logits)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the first step reaches what carries keypoints into the map, the second the tokens behind it
        optimiser.zero_grad()
        network(image, keypoints, mask).logits[:, 0].mean().backward()
        optimiser.step()
    assert all(float(p.grad.abs().max()) > 0 for p in network.encoder.fusions["0"].blocks.parameters()
               if p.ndim > 1)
    assert not torch.equal(network(image, keypoints, mask).logits, network(image, keypoints + 9, mask).logits)


def test_padding_changes_nothing():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    more = torch.cat([torch.full((3, 5, 2), 1e6), keypoints, torch.full((3, 3, 2), -77.0)], 1)
    wider = torch.cat([torch.zeros(3, 5, dtype=torch.bool), mask, torch.zeros(3, 3, dtype=torch.bool)], 1)
    before, after = network(image, keypoints, mask), network(image, more, wider)
    close(before.logits, after.logits)
    for tokens, padded in zip(before.tokens, after.tokens, strict=True):
        close(tokens[mask], padded[wider])
    step, same = train_step(network, image, keypoints, mask), train_step(network, image, more, wider)
    close(step[0], same[0], 1e-4)
    for mine, theirs in zip(step[1:], same[1:], strict=True):
        for name in mine:
            close(mine[name], theirs[name], 1e-4)


@pytest.mark.parametrize("token_norm", [None, "layer"])
def test_under_group_normalisation_each_token_is_normalised_by_itself(token_norm):
    """In training, too, a slice, its tokens and its gradients are what they are without the rest of the batch."""
    network, (image, keypoints, mask) = make_network(norm="group", token_norm=token_norm).train(), make_inputs()
    together = network(image, keypoints, mask)
    for index in range(3):
        count = int(mask[index].sum())
        alone = network(image[index:index + 1], keypoints[index:index + 1, :count])
        close(alone.logits[0], together.logits[index], 1e-4)
        for mine, theirs in zip(alone.tokens, together.tokens, strict=True):
            close(mine[0], theirs[index, :count], 1e-4)
    assert not any("running" in name for name, _ in network.named_buffers())


def test_tokens_may_be_normalised_over_the_batch_under_group_normalisation():
    network, (image, keypoints, mask) = make_network(norm="group", token_norm="batch").train(), make_inputs()
    alone = network(image[:1], keypoints[:1], mask[:1]).tokens[0][0]
    assert (network(image, keypoints, mask).tokens[0][0] - alone).abs().max() > 1e-3


def test_a_token_normalised_by_itself_in_numbers():
    """Mean 2.5, variance 1.25, whatever its keypoints weigh; then a weight and a bias of its own per number."""
    norm = token_norm("layer", 4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 1.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.0, 0.0, 0.5, 0.0]))
    tokens = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [10.0, 10.0, 10.0, 14.0]]])
    scale = (1.25 + 1e-5) ** -0.5, (3.0 + 1e-5) ** -0.5
    expected = [[-1.5 * scale[0], -0.5 * scale[0] * 2, 0.5 * scale[0] + 0.5, 1.5 * scale[0]],
                [-1.0 * scale[1], -1.0 * scale[1] * 2, -1.0 * scale[1] + 0.5, 3.0 * scale[1]]]
    for weights in (torch.ones(1, 2), torch.tensor([[7.0, 0.0]])):
        close(norm.train()(tokens, weights)[0], torch.tensor(expected))


def test_a_slice_does_not_depend_on_its_batch():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    together = network(image, keypoints, mask).logits
    for index in range(3):
        count = int(mask[index].sum())
        alone = network(image[index:index + 1], keypoints[index:index + 1, :count])
        close(alone.logits[0], together[index])


def test_no_mask_means_that_all_keypoints_are_real():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    everything = network(image, keypoints, torch.ones_like(mask))
    assert torch.equal(network(image, keypoints).logits, everything.logits)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_captured_attention(norm):
    network, (image, keypoints, mask) = make_network(norm=norm), make_inputs(size=(32, 32))
    keypoints[0, 1] = keypoints[0, 0]  # colliding at every scale
    plain, captured = network(image, keypoints, mask), network(image, keypoints, mask, capture=True)
    close(plain.logits, captured.logits)
    for attention in captured.attention:
        assert attention.shape == (3, 2, 4, 14, 14)
        real = attention.movedim(3, 1)[mask]  # rows of real keypoints: (R, blocks, heads, 14)
        close(real.sum(-1), torch.ones(real.shape[:-1]))
        to = mask.repeat_interleave(mask.sum(1), 0)[:, None, None]
        assert (real * ~to == 0).all(), "padding is never attended"
        assert ((real > 0) | ~to).all()
        assert torch.equal(attention[0, :, :, :, 0], attention[0, :, :, :, 1])
    assert len(captured.attention) == 4


def test_without_keypoints_the_keypoint_maps_are_zero():
    network, (image, keypoints, mask) = make_network(), make_inputs()
    features = network(image, capture=True)
    assert features.tokens == features.attention == []
    muted = copy.deepcopy(network)
    for fusion in muted.encoder.fusions.values():
        torch.nn.init.zeros_(fusion.diffuse.weight)
        torch.nn.init.zeros_(fusion.diffuse.bias)
    close(features.logits, muted(image, keypoints, mask).logits)


@pytest.mark.parametrize("size", [(35, 50), (1, 1), (16, 17), (3, 80)])
@pytest.mark.parametrize("changes", [
    {}, {"fusion": "none"}, {"fusion": "copy"}, {"norm": "group", "in_channels": 3},
    {"scales": (True, False, True, False), "decoder_width": 4}], ids=str)
def test_any_size(size, changes):
    network = make_network(**changes)
    channels = changes.get("in_channels", 1)
    image, keypoints, mask = make_inputs(2, 6, size)
    image = image.expand(-1, channels, -1, -1)
    logits = network(image, keypoints, mask).logits
    assert logits.shape == (2, 3, *size)
    # Padded at the bottom and the right with zeros, as if the slice had been larger.
    framed = torch.zeros(2, channels, *(-(-n // 16) * 16 for n in size))
    framed[:, :, :size[0], :size[1]] = image
    close(network(framed, keypoints, mask).logits[:, :, :size[0], :size[1]], logits)
    trained, gradients, _ = train_step(network, image, keypoints, mask)
    assert trained.isfinite().all()
    assert all(value.isfinite().all() for value in gradients.values())


def test_scales_that_are_not_fused_have_no_keypoint_branch():
    network = make_network(scales=(False, True, False, True))
    image, keypoints, mask = make_inputs()
    features = network(image, keypoints, mask, capture=True)
    assert sorted(network.encoder.fusions) == ["1", "3"]
    assert len(features.tokens) == len(features.attention) == 2


@pytest.mark.parametrize("scale", range(4))
def test_a_keypoint_counts_at_its_cell_of_every_scale(scale):
    network, stride = make_network(scales=[index == scale for index in range(4)]), 2 ** scale
    image, _, _ = make_inputs(1)

    def logits(row, column):
        return network(image, torch.tensor([[[30.0, 50.0], [row, column]]])).logits

    base = logits(16, 24)
    assert torch.equal(logits(16 + stride - 0.51, 24 + stride - 0.51), base)
    assert torch.equal(logits(15.5, 23.5), base), "halves are rounded up"
    for row, column in ((16 + stride - 0.5, 24), (16, 24 + stride - 0.5), (15.49, 24), (16, 23.49)):
        assert (logits(row, column) - base).abs().max() > 1e-4
    assert torch.equal(logits(-9, 80), logits(0, 63)), "what lies outside counts at the border"


def test_one_keypoint_in_the_batch_trains_with_the_running_statistics():
    network, (image, keypoints, _) = make_network(), make_inputs(1, 1)
    _, gradients, buffers = train_step(network, image, keypoints)
    assert all(value.isfinite().all() for value in gradients.values())
    for name, value in network.named_buffers():
        if ".norms." in name:  # those of the tokens
            assert torch.equal(buffers[name], value)


@pytest.mark.parametrize("real", [0, 1, 2])
def test_slices_without_any_keypoint_make_no_nan(real):
    network, (image, keypoints, _) = make_network(), make_inputs(2, 5)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, :real] = True
    features = network(image, keypoints, mask, capture=True)
    assert features.logits.isfinite().all()
    assert all(attention.isfinite().all() for attention in features.attention)
    alone = network(image[:1], keypoints[:1, :real]) if real else None
    if alone is not None:
        close(alone.logits[0], features.logits[0])
    _, gradients, buffers = train_step(network, image, keypoints, mask)
    assert all(value.isfinite().all() for value in (*gradients.values(), *buffers.values()))


def test_bf16_autocast_is_close_and_finite():
    network, inputs = make_network(width=8), make_inputs()
    exact = network(*inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(*inputs).logits.float()
        _, gradients, buffers = train_step(network, *inputs)
    assert (rough - exact).abs().max() < 0.1 * exact.std()
    assert not torch.equal(rough, exact)
    assert all(value.isfinite().all() for value in (*gradients.values(), *buffers.values()))
    _, expected, _ = train_step(network, *inputs)
    a, b = (torch.cat([part[name].float().flatten() for name in expected]) for part in (expected, gradients))
    assert torch.nn.functional.cosine_similarity(a, b, 0) > 0.9


def test_starting_weights():
    torch.manual_seed(0)
    network = build_network(NetworkSettings(width=32, blocks=1, token_width=64))
    kaiming = (2 / (1 + 0.01 ** 2) / (128 * 9)) ** 0.5  # normal, a = 0.01, fan in
    assert float(network.encoder.stages[2][3].weight.detach().std()) == pytest.approx(kaiming, rel=0.02)
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    biases = [m.bias for m in network.modules() if isinstance(m, kinds) and m.bias is not None]
    assert biases
    for fusion in network.encoder.fusions.values():
        biases += [mlp.linears[-1].bias for mlp in (fusion.position, *(block.mlp for block in fusion.blocks))]
    assert not any(bias.any() for bias in biases)
    torch.manual_seed(0)
    again = build_network(NetworkSettings(width=32, blocks=1, token_width=64)).state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", ["unet", "basicunet", "dynunet", "swinunetr"])
@pytest.mark.parametrize("size", [(35, 50), (1, 1), (64, 32)])
def test_monai_networks_take_the_same_call(kind, size):
    pytest.importorskip("monai")
    if kind == "swinunetr" and importlib.util.find_spec("einops") is None:
        pytest.skip("SwinUNETR needs einops, which is not installed")
    network = build_network(NetworkSettings(kind=kind, width=8, classes=5, in_channels=3))
    _, keypoints, mask = make_inputs(2, 6, size)
    image = torch.randn(2, 3, *size)
    features = network(image, keypoints, mask, capture=True)
    assert features.logits.shape == (2, 5, *size)
    features.logits.square().mean().backward()
    network.eval()
    assert torch.equal(network(image).logits, network(image, keypoints, mask).logits)
    assert count_parameters(network) > 1000


def test_swinunetr_without_einops_says_what_to_do(monkeypatch):
    pytest.importorskip("monai")
    monkeypatch.setattr("kaf.network.build.find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip install einops"):
        build_network(NetworkSettings(kind="swinunetr"))
