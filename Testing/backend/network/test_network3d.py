"""The 3-D network: strides by spacing, MONAI's DynUNet taken apart, what a cell looks at, and its model file."""

from dataclasses import replace

import pytest
import torch
from small_models import CARD
from torch import nn

from kaf.data.plan3d import fit_network, fit_patch
from kaf.modelfile.model import load_model, save_model
from kaf.network import build_network
from kaf.runtime.errors import SettingsError
from kaf.settings.dimensions import small_batches
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.settings.stages import design, total_stride, widths

TINY = {"dimensions": 3, "width": 4, "classes": 3}


def tiny(patch=(8, 16, 16), spacing=(1, 1, 1), seed=0, **more):
    strides, kernels = design(patch, spacing)
    torch.manual_seed(seed)
    return build_network(NetworkSettings(**TINY, patch=patch, strides=strides, kernels=kernels, **more)).eval()


def test_a_ct_gets_the_published_network():
    """PGL-RE's encoder: 32-64-128-256-320, strides 8x16x16, first kernel 1x3x3, the first step in the plane only."""
    strides, kernels = design((16, 96, 96), (2.5, 0.8, 0.8))
    network = NetworkSettings(dimensions=3, width=32, patch=(16, 96, 96), strides=strides, kernels=kernels)
    assert widths(network) == [32, 64, 128, 256, 320]
    assert total_stride(network) == (8, 16, 16)
    assert strides[:2] == ((1, 1, 1), (1, 2, 2))
    assert kernels == ((1, 3, 3), *[(3, 3, 3)] * 4)


@pytest.mark.parametrize(("patch", "spacing", "total", "flat"), [
    ((64, 64, 64), (1, 1, 1), (16, 16, 16), 0), ((12, 96, 96), (10, 1.5, 1.5), (4, 16, 16), 2),
    ((64, 64, 64), (5, 0.6, 0.6), (2, 16, 16), 3), ((40, 20, 40), (1, 1, 1), (16, 8, 16), 0),
    ((64, 16, 16), (0.5, 2, 2), (16, 8, 8), 0), ((4, 4, 4), (1, 1, 1), (2, 2, 2), 0)])
def test_axes_are_halved_once_they_are_about_as_sharp(patch, spacing, total, flat):
    strides, kernels = design(patch, spacing)
    network = NetworkSettings(dimensions=3, strides=strides, kernels=kernels)
    assert total_stride(network) == total
    assert [kernel[0] for kernel in kernels] == [1] * flat + [3] * (len(kernels) - flat)
    assert all(size >= 2 * cell for size, cell in zip(patch, total, strict=True))
    assert 3 <= len(strides) <= 5


def test_it_is_dynunet():
    from monai.networks.nets import DynUNet

    ours = tiny(spacing=(3, 1, 1))
    strides, kernels = ours.settings.strides, ours.settings.kernels
    assert strides[1] == (1, 2, 2)
    theirs = DynUNet(3, 1, 3, kernels, strides, strides[1:], filters=widths(ours.settings),
                     norm_name=("INSTANCE", {"affine": True})).eval()
    last = len(theirs.downsamples) + 1
    names = {"input_block": "encoder.0", "bottleneck": f"encoder.{last}", "upsamples": "decoder",
             "output_block": "head"}
    names |= {f"downsamples.{i}": f"encoder.{i + 1}" for i in range(last - 1)}
    own, mapped = ours.state_dict(), {}
    for key in theirs.state_dict():
        for old, new in names.items():
            if key.startswith(f"{old}."):
                mapped[key] = own[new + key[len(old):]]
    theirs.load_state_dict(mapped, strict=False)  # skip_layers names the same tensors once more
    assert len(mapped) == len(own)
    image = torch.randn(2, 1, 8, 16, 16)
    with torch.no_grad():
        assert torch.allclose(ours(image).logits, theirs(image), atol=1e-5)


def test_any_size_and_any_depth():
    network = tiny()
    image = torch.randn(1, 1, 5, 19, 7)
    with torch.no_grad():
        whole, short = network(image), network(image, until="bottleneck")
        padded = network(nn.functional.pad(image, (0, 9, 0, 5, 0, 3)))
    assert whole.logits.shape == (1, 3, 5, 19, 7)
    assert torch.allclose(whole.logits, padded.logits[:, :, :5, :19, :7], atol=1e-6)
    assert torch.equal(short.bottleneck, whole.bottleneck)
    assert short.logits.numel() == 0
    assert short.decoder == []
    assert [m.shape[2] for m in whole.encoder] == [8, 4, 2]
    assert [m.shape[2] for m in whole.decoder] == [2, 4, 8]


def test_a_cell_at_the_bottom_looks_at_the_voxel_of_its_number_times_the_stride():
    """The middle of what a cell sees, by the gradient of a network of ones without normalisation."""
    network = tiny((4, 8, 8), (3, 1, 1))
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm3d):
                setattr(module, name, nn.Identity())
    for p in network.parameters():
        nn.init.constant_(p, 0.05)
    total = torch.tensor(total_stride(network.settings), dtype=torch.float64)
    network.double()
    size = [10 * int(n) for n in total]
    image = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
    assert total.tolist() == [2, 4, 4]
    cell = (4, 4, 5)
    network(image, until="bottleneck").bottleneck[0, 0][cell].backward()
    weight = image.grad[0, 0]
    places = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in size], indexing="ij")
    seen = torch.stack([(weight * place).sum() / weight.sum() for place in places])
    assert torch.allclose(seen, total * torch.tensor(cell), atol=1e-6)


def test_gradients_in_bf16_are_those_in_fp32():
    """Memory is filled with nan before: a kernel that leaves some of it unwritten is found out."""
    network = tiny()
    image = torch.randn(2, 1, 8, 16, 16)
    weights = torch.randn(2, 3, 8, 16, 16)
    found = {}
    for bf16 in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(image).logits
        spoilt = [torch.full((size,), float("nan")) for size in (10 ** 3, 10 ** 4, 10 ** 5) for _ in range(4)]
        del spoilt
        (logits.float() * weights).sum().backward()
        found[bf16] = {name: p.grad.clone() for name, p in network.named_parameters()}
    assert network(image, until="bottleneck").bottleneck.shape[2] == 2, "two slices at the bottom"
    for name, exact in found[False].items():
        if exact.abs().max() > 1e-3:
            alike = nn.functional.cosine_similarity(found[True][name].flatten(), exact.flatten(), 0)
            assert float(alike) > 0.9, name


def test_the_model_file_makes_the_same_network_again(tmp_path):
    network = tiny(spacing=(4, 1, 1), seed=3)
    path = tmp_path / "solid.safetensors"
    save_model(path, network, replace(CARD, labels=CARD.labels[:1], network=network.settings.model_dump()), half=False)
    again, card = load_model(path)
    image = torch.randn(1, 1, 8, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(image).logits, network(image).logits)
    assert card.network["patch"] == [8, 16, 16]


@pytest.mark.parametrize(("values", "words"), [
    ({"dimensions": 3, "kind": "kaf"}, "kind kaf has no 3-D form"), ({"dimensions": 4}, "less than or equal to 3"),
    ({"patch": (8, 8, 8)}, "require dimensions 3"), ({"dimensions": 3, "patch": (1, 8, 8)}, "too small"),
    ({"dimensions": 3, "strides": ((1, 1, 1),) * 3}, "3 strides for 0 kernels"),
    ({"dimensions": 3, "strides": ((2, 2, 2),) * 3, "kernels": ((3, 3, 3),) * 3}, "the first of them"),
    ({"dimensions": 3, "strides": ((1, 1, 1), (1, 3, 3), (1, 1, 1)), "kernels": ((3, 3, 3),) * 3}, "1 or 2"),
    ({"dimensions": 3, "strides": ((1, 1, 1), (1, 2, 2), (1, 1, 1)), "kernels": ((3, 3, 2),) * 3}, "1 or 3")])
def test_settings_that_make_no_network_are_reported(values, words):
    with pytest.raises(ValueError, match=words):
        NetworkSettings(**values)
    assert NetworkSettings(dimensions=3).kind == "dynunet"


def test_what_is_open_is_fitted_to_the_scans():
    shapes = [(30, 40, 36), (34, 50, 36), (33, 47, 35)]
    network = fit_network(NetworkSettings(**TINY), shapes, (1, 1, 1))
    assert network.patch == (48, 64, 48)
    assert total_stride(network) == (16, 16, 16)
    large = fit_patch([(200, 512, 512)], (2.0, 1.0, 1.0))
    assert large[1] == pytest.approx(large[2]) == pytest.approx(2 * large[0]), "as long in mm along every axis"
    assert 0.9 * 16 * 96 * 96 < large[0] * large[1] * large[2] <= 16 * 96 * 96
    kept = fit_network(NetworkSettings(**TINY, patch=(16, 96, 96)), shapes, (2.5, 0.8, 0.8))
    assert kept.patch == (16, 96, 96)
    assert total_stride(kept) == (8, 16, 16)
    assert fit_network(kept, shapes, (1, 1, 1)) == kept, "what the weights were made for stays"
    assert fit_network(NetworkSettings(**TINY), shapes, (1, 1, 1), 32).patch == (48, 32, 32)


def test_the_presets_of_pgl():
    published = PretrainSettings(data="d", output="o", preset="pgl")
    assert published.network.patch == (16, 96, 96)
    assert (published.method, published.batch, published.epochs, published.pgl.hidden) == ("pgl", 128, 500, 4096)
    assert (published.normalisation.low, published.normalisation.high) == (-1024, 325)
    small = PretrainSettings(data="d", output="o", preset="pgl-compact", network={"width": 4})
    assert (small.network.kind, small.network.dimensions, small.network.width) == ("dynunet", 3, 4)


def test_few_patches_at_a_time_and_no_neighbouring_slices():
    def settings(**values):
        return FinetuneSettings(data="d", output="o", network=NetworkSettings(**TINY), **values)

    assert small_batches(settings()).batch == 4
    assert small_batches(settings(batch=16)).batch == 16
    flat = FinetuneSettings(data="d", output="o", slice_context=1)
    assert small_batches(flat) is flat
    for wrong in ({"slice_context": 1}, {"unlabelled": "folder"}):
        with pytest.raises(SettingsError, match="3-D network sees patches"):
            small_batches(settings(**wrong))
