"""A GPU is never asked for a value in the forward pass or a loss, and the results are those of a CPU."""

from __future__ import annotations

import pytest
import torch
from pretrain_toys import one_step, small_pretrainer, some_cases, some_views
from small_models import SMALL, listening, some_slices
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kaf.data.views import View, ViewBatch
from kaf.network import build_network, host_waits
from kaf.network.batch_norm import BatchNorm1d, TokenNorm
from kaf.runtime.device_choice import DeviceChoice
from kaf.training.loop import Loop
from kaf.training.pretraining import PretrainingTask
from kaf.training.schedule import Schedule


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(host_waits, "has_static_shapes", lambda values: True)


class Waits(TorchDispatchMode):
    """Counts what makes a CPU wait for a GPU: a number taken from a tensor, and shapes that depend on values."""

    WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten._unique2", "aten.equal")

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        chosen = name.startswith("aten.index.Tensor") and any(
            isinstance(index, Tensor) and index.dtype is torch.bool for index in args[1])
        if name.startswith(self.WAITING) or chosen:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def settings_of(norm: str):
    return SMALL.model_copy(update={"token_norm": norm})


def test_on_a_cpu_shapes_follow_the_data():
    """Which is what makes a wait on a GPU: this network asks once per scale and normalisation."""
    network = build_network(SMALL).train()
    with Waits() as waits:
        network(*some_slices())
    assert len(waits.found) > 4


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_forward_pass_and_its_gradient_ask_for_nothing(as_on_a_gpu, norm):
    """Fake tensors hold no values: whoever asks for one fails."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = build_network(settings_of(norm)).train()
        network(*some_slices()).logits.sum().backward()
        network.eval()(*some_slices())


def test_fake_tensors_notice_who_asks():
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(DataDependentOutputException):
        build_network(SMALL).train()(*some_slices())


def faked(mode: FakeTensorMode, batch: ViewBatch) -> ViewBatch:
    views = {name: View(**{part: values if values is None else mode.from_tensor(values)
                           for part, values in vars(view).items()}) for name, view in batch.views.items()}
    return ViewBatch(views, mode.from_tensor(batch.position), mode.from_tensor(batch.matches), batch.seeds)


def test_a_pretraining_step_of_kaf_asks_for_nothing(as_on_a_gpu):
    batch = some_views(some_cases(1)).batch(0, 3)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        pretrainer = small_pretrainer("kaf").train()
        method = pretrainer.methods["kaf"]
        method.settings = method.settings.model_copy(update={"sinkhorn": 10})
        loss, terms, _ = pretrainer(faked(mode, batch), 0.5, None)
        loss.backward()
        assert "kaf: matching" in terms


def test_a_step_of_the_loop_asks_once(as_on_a_gpu):
    """Whether loss and gradient are numbers: 78 such questions were counted at the published size."""
    views, pretrainer = some_views(some_cases(1)), small_pretrainer("kaf")
    cpu = DeviceChoice(torch.device("cpu"), False, "")
    loop = Loop(PretrainingTask(pretrainer, cpu, views, 3), Schedule(1e-3, 0.0, 5.0, 0.9, steps=3), cpu, None)
    batch = loop.task.batch(0)
    loop._step(batch)  # the optimiser makes its state
    with Waits() as waits:
        loop._step(batch)
    own = [name for name in waits.found if name.startswith("aten._local_scalar_dense")]
    assert len(own) <= 1 + steps_of_optimiser(loop), waits.found
    assert len(own) == len(waits.found)


def steps_of_optimiser(loop: Loop) -> int:
    """AdamW keeps its count of steps on the CPU, one tensor per parameter, which a GPU need not be asked for."""
    return sum(parameter.requires_grad and parameter.grad is not None for parameter in loop.network.parameters())


@pytest.mark.parametrize("method", ["kaf", "pcl"])
def test_the_results_are_the_same(monkeypatch, method):
    """Losses, gradients and running statistics, in float64."""
    cases = some_cases()
    expected = one_step(method, cases)
    monkeypatch.setattr(host_waits, "has_static_shapes", lambda values: True)
    found = one_step(method, cases)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_the_same(monkeypatch, training):
    network = listening(build_network(SMALL)).double().train(training)
    image, points, mask = some_slices()
    mask[1] = False  # a slice without any keypoint
    given = image.double(), points.double(), mask
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    expected = network(*given, capture=True)
    after = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    monkeypatch.setattr(host_waits, "has_static_shapes", lambda values: True)
    found = network(*given, capture=True)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(found.tokens, expected.tokens, strict=True):
        torch.testing.assert_close(mine[mask], theirs[mask], rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(found.attention, expected.attention, strict=True):
        torch.testing.assert_close(mine[0], theirs[0], rtol=1e-10, atol=1e-10)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, after[name], rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_tokens_keep_the_running_statistics(monkeypatch, count):
    tokens, weights = torch.randn(1, 5, 3, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64)
    weights[:, :count] = 1
    results = []
    for static in (False, True):
        monkeypatch.setattr(host_waits, "has_static_shapes", lambda values, static=static: static)
        norm = TokenNorm(3).double().train()
        norm.running_mean += 0.5
        results.append((norm(tokens, weights), norm.running_mean, norm.running_var, norm.num_batches_tracked))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert int(results[1][3]) == (count >= 2)


def test_a_single_row_keeps_the_running_statistics():
    norm = BatchNorm1d(4).train()
    with Waits() as waits:
        norm(torch.randn(1, 4))
        norm(torch.randn(3, 4))
    assert not waits.found
    assert int(norm.num_batches_tracked) == 1


class Logits(torch.nn.Module):
    """What is exported: tensors in, a tensor out."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, keypoints: Tensor, mask: Tensor) -> Tensor:
        return self.network(image, keypoints, mask).logits


def test_the_network_can_be_exported():
    """torch.export refuses a shape that depends on values; tracing takes some seconds."""
    network, given = listening(build_network(SMALL)).eval(), some_slices()
    exported = torch.export.export(Logits(network), given)
    torch.testing.assert_close(exported.module()(*given), network(*given).logits)
