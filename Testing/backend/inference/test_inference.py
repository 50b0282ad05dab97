"""Inference over slices: folding changes nothing, batches and mirrors agree, memory runs out with words."""

import copy

import numpy as np
import pytest
import torch
from small_models import listening
from torch import nn

from kaf.imaging.keypoints import Keypoints
from kaf.imaging.prepare import stack_context
from kaf.inference.slices import SlicePredictor, fold_norms, labels_of
from kaf.network import Features, build_network
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.errors import ResourceError
from kaf.runtime.events import Message
from kaf.settings.network import NetworkSettings

CPU = DeviceChoice(torch.device("cpu"), False, "cpu (as asked)")
SMALL = {"width": 4, "classes": 3, "blocks": 2, "token_width": 16, "heads": 4, "diffusion_width": 4}


def make_network(**changes):
    """A network as after training: running statistics, scales and shifts of all norms are drawn at random."""
    torch.manual_seed(0)
    network = listening(build_network(NetworkSettings(**{**SMALL, **changes})))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 3)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return network.eval()


def make_slices(count=7, size=(40, 52), seed=0):
    """(S, H, W) and keypoints at whole pixels, a different number in every slice."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(count, *size)).astype(np.float32)
    positions = [np.float32(rng.integers(0, size, (3 + 2 * index, 2))) for index in range(count)]
    return image, [Keypoints(points, np.ones(len(points), np.float32)) for points in positions]


def predict(network, image, keypoints, slices=None, place=CPU, **options):
    """Logits (S, K, H, W) of all slices, and the batches as they came."""
    parts, logits = [], []
    for part, features in SlicePredictor(network, place, **options)(image, keypoints, slices):
        parts.append(part)
        logits.append(features.logits)
    return torch.cat(logits), parts


def one_by_one(network, image, keypoints, context=0):
    """The plain way: every slice alone, in fp32, without any padding of keypoints."""
    with torch.no_grad():
        return torch.cat([network(torch.from_numpy(stack_context(image, index, context))[None],
                                  torch.from_numpy(points.positions)[None]).logits
                          for index, points in enumerate(keypoints)])


@pytest.mark.parametrize("changes", [{}, {"fusion": "copy"}, {"fusion": "none"}, {"norm": "group"},
                                     {"scales": (True, False, False, True)}], ids=str)
def test_folded_norms_change_nothing(changes):
    network, (image, keypoints) = make_network(**changes), make_slices(3)
    before = copy.deepcopy(network.state_dict())
    folded = fold_norms(network)
    torch.testing.assert_close(one_by_one(folded, image, keypoints), one_by_one(network, image, keypoints),
                               rtol=1e-5, atol=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), "the network itself is left alone"
    stages = [module for part in (folded.encoder, folded.decoder) for module in part.stages.modules()]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in stages)
    assert not folded.training


def test_folding_takes_a_network_in_training_to_inference():
    network, (image, keypoints) = make_network().train(), make_slices(2)
    folded = fold_norms(network)
    assert network.training
    expected = one_by_one(network.eval(), image, keypoints)
    torch.testing.assert_close(one_by_one(folded, image, keypoints), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
@pytest.mark.parametrize("context", [0, 2])
def test_every_slice_gets_its_own_logits(batch, context):
    network, (image, keypoints) = make_network(in_channels=2 * context + 1), make_slices()
    logits, parts = predict(network, image, keypoints, batch=batch, context=context)
    assert [index for part in parts for index in part] == list(range(7))
    assert [len(part) for part in parts][:-1] == [batch] * (len(parts) - 1)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, one_by_one(network, image, keypoints, context), rtol=1e-5, atol=1e-5)


def test_only_the_slices_asked_for():
    network, (image, keypoints) = make_network(), make_slices()
    logits, parts = predict(network, image, keypoints, [5, 0, 2], batch=2)
    assert parts == [[5, 0], [2]]
    expected = one_by_one(network, image, keypoints)[[5, 0, 2]]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert list(SlicePredictor(network, CPU)(image, keypoints, range(0))) == []


def mirrored(keypoints, size, dims):
    moved = [points.positions.copy() for points in keypoints]
    for positions in moved:
        for dim in dims:
            positions[:, dim - 1] = size[dim - 1] - 1 - positions[:, dim - 1]
    return [Keypoints(positions, np.ones(len(positions), np.float32)) for positions in moved]


@pytest.mark.parametrize("size", [(32, 48), (21, 30)])
@pytest.mark.parametrize("dims", [(1,), (2,), (1, 2)])
def test_with_flips_a_mirrored_slice_gives_the_mirrored_result(dims, size):
    network, (image, keypoints) = make_network(), make_slices(2, size)
    turned = np.flip(image, dims).copy()
    other = mirrored(keypoints, size, dims)
    here, _ = predict(network, image, keypoints, flips=True)
    there, _ = predict(network, turned, other, flips=True)
    flat = [dim + 1 for dim in dims]
    torch.testing.assert_close(there.flip(flat), here, rtol=1e-4, atol=1e-4)
    plain, _ = predict(network, turned, other)
    assert not torch.allclose(plain.flip(flat), predict(network, image, keypoints)[0], atol=1e-2)


def test_flips_average_the_probabilities_of_four_mirrored_copies():
    network, (image, keypoints) = make_network(), make_slices(2)
    total = 0
    for dims in ((), (1,), (2,), (1, 2)):
        copy_ = one_by_one(network, np.flip(image, dims).copy(), mirrored(keypoints, image.shape[1:], dims))
        total = total + copy_.softmax(1).flip([dim + 1 for dim in dims]) / 4
    found, _ = predict(network, image, keypoints, flips=True)
    torch.testing.assert_close(found.exp(), total, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2, *image.shape[1:]))


@pytest.mark.parametrize("flips", [False, True])
def test_captured_attention_is_that_of_the_slice_as_it_is(flips):
    network, (image, keypoints) = make_network(), make_slices(3)
    predictor = SlicePredictor(network, CPU, batch=2, flips=flips)
    for part, features in predictor(image, keypoints, capture=True):
        for row, index in enumerate(part):
            with torch.no_grad():
                alone = network(torch.from_numpy(image[index][None, None]),
                                torch.from_numpy(keypoints[index].positions)[None], capture=True)
            count = len(keypoints[index])
            for many, one in zip(features.attention, alone.attention, strict=True):
                torch.testing.assert_close(many[row, :, :, :count, :count], one[0], rtol=1e-4, atol=1e-5)
    assert next(iter(predictor(image, keypoints)))[1].attention is None


def test_bf16_gives_float_logits_close_to_fp32():
    network, (image, keypoints) = make_network(width=8), make_slices(2)
    exact = one_by_one(network, image, keypoints)
    rough, _ = predict(network, image, keypoints, place=DeviceChoice(torch.device("cpu"), True, "bf16"))
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.1 * exact.std()


def test_labels_are_the_best_class():
    logits = torch.randn(2, 5, 6, 7)
    labels = labels_of(logits)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, logits.numpy().argmax(1))


class Failing(nn.Module):
    """Answers with the slice's mean, after as many failures as asked."""

    def __init__(self, *errors):
        super().__init__()
        self.errors, self.seen = list(errors), []

    def forward(self, image, keypoints, mask, capture=False):
        self.seen.append(len(image))
        if self.errors:
            raise self.errors.pop(0)
        mean = image.mean((1, 2, 3), keepdim=True)
        return Features(torch.cat([mean, -mean], 1).expand(-1, -1, *image.shape[2:]), [], mean, [])


def run_failing(network, batch, count=7):
    image, keypoints = make_slices(count)
    events, results = [], {}
    predictor = SlicePredictor(network, CPU, batch=batch, on_event=events.append)
    for part, features in predictor(image, keypoints):
        for row, index in enumerate(part):
            assert index not in results
            results[index] = float(features.logits[row, 0, 0, 0])
    assert [results[index] for index in range(count)] == pytest.approx(image.mean((1, 2)).tolist(), abs=1e-6)
    return predictor, events


def no_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("error", [
    no_memory(), RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, max allowed: 6.80 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")],
    ids=["cuda", "mps", "cublas"])
def test_without_memory_the_batch_is_halved_and_nothing_is_lost(error):
    network = Failing(error)
    predictor, events = run_failing(network, 4)
    assert network.seen == [4, 2, 2, 2, 1]
    assert predictor.batch == 2
    assert [(event.level, "2 slices at a time" in event.text) for event in events] == [("warning", True)]
    assert isinstance(events[0], Message)


def test_memory_that_runs_out_later_keeps_what_is_done():
    class Second(Failing):
        def forward(self, *inputs):
            if len(self.seen) == 1:
                self.errors = [no_memory()]
            return super().forward(*inputs)

    network = Second()
    run_failing(network, 3)
    assert network.seen == [3, 3, 1, 1, 1, 1]


def test_in_the_end_the_cpu_goes_on():
    network = Failing(no_memory(), no_memory(), no_memory())
    predictor, events = run_failing(network, 4)
    assert network.seen[:4] == [4, 2, 1, 1]
    assert predictor.place.device.type == "cpu"
    assert "ran out of memory" in predictor.place.reason
    words = [event.text.partition(": ")[2] for event in events]
    assert words == ["continuing with 2 slices at a time.", "continuing with 1 slice at a time.",
                     "continuing on the CPU."]


def test_the_cpu_is_the_last_resort():
    network = Failing(*[no_memory() for _ in range(9)])
    with pytest.raises(ResourceError, match="ran out on the GPU and then on the CPU"):
        run_failing(network, 4)
    assert network.seen == [4, 2, 1, 1]


def test_on_a_processor_without_memory_the_batch_is_halved_too():
    network = Failing(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."))
    predictor, events = run_failing(network, 4)
    assert network.seen == [4, 2, 2, 2, 1]
    assert predictor.place is CPU
    assert [event.text for event in events] == ["This computer ran out of memory: continuing with 2 slices at a time."]


def test_a_processor_without_memory_for_a_slice_says_what_to_do():
    class Greedy(nn.Module):
        def forward(self, *_):
            return torch.empty(1 << 60, dtype=torch.uint8)

    with pytest.raises(ResourceError, match=r"this computer ran out of memory.*Close other programs"):
        predict(Greedy(), *make_slices(2))


def test_other_errors_go_on_their_way():
    with pytest.raises(RuntimeError, match="a bug"):
        run_failing(Failing(RuntimeError("a bug")), 4)
