"""The training loop against a plain one; budgets, early stop and damage, with a clock of our own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import CPU, Clock, Task, same, small_net

from kaf.runtime.errors import DivergedError, ResourceError
from kaf.runtime.events import Message, Metric, Progress
from kaf.runtime.message_codes import TRAINING
from kaf.training import loop as loop_module
from kaf.training.ema import EMA
from kaf.training.loop import Loop
from kaf.training.schedule import Schedule, learning_rate_at, make_optimiser

TWENTY = Schedule(learning_rate=0.05, weight_decay=0.1, clip=0.5, ema=0.9, steps=20)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop_module, "time", clock)
    return clock


def test_the_learning_rate_warms_up_and_follows_a_cosine():
    peak = 0.4
    for progress, expected in ((0, 0.02), (0.0005, 0.02), (0.0125, 0.25), (0.025, 0.5), (0.05, 1.0),
                               (0.525, 0.01 + 0.99 / 2), (1.0, 0.01), (1.2, 0.01)):
        assert learning_rate_at(progress, peak) == pytest.approx(expected * peak, rel=1e-12), progress
    rates = [learning_rate_at(n / 1000, peak) for n in range(1001)]
    assert np.argmax(rates) == 50
    assert all(np.diff(rates[:51]) >= 0)
    assert all(np.diff(rates[50:]) < 0)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_biases_and_normalisation_are_not_decayed(name, kind):
    network = small_net()
    network[0].weight.requires_grad_(False)
    optimiser = make_optimiser(network, Schedule(0.05, 0.1, 1.0, 0.9, name, 20))
    assert type(optimiser) is kind
    decayed, free = optimiser.param_groups
    assert [p is network[3].weight for p in decayed["params"]] == [True]
    assert decayed["weight_decay"] == 0.1
    names = {id(p): n for n, p in network.named_parameters()}
    assert [names[id(p)] for p in free["params"]] == ["1.weight", "1.bias", "3.bias"]
    assert free["weight_decay"] == 0.0


def plain_training(schedule: Schedule) -> tuple[nn.Module, dict[str, torch.Tensor], list[float]]:
    """The same run written out: rates, clipping, decoupled decay and the average by their formulas."""
    task = Task()
    network = task.network.train()
    average = {n: v.clone().double() for n, v in network.state_dict().items()}
    weights = [p for p in network.parameters() if p.ndim > 1]
    groups = [{"params": weights, "weight_decay": schedule.weight_decay},
              {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    optimiser = (torch.optim.AdamW(groups, lr=1) if schedule.optimiser == "adamw"
                 else torch.optim.SGD(groups, lr=1, momentum=0.9))
    norms = []
    for step in range(schedule.steps):
        part = step / schedule.steps
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * (part - 0.05) / 0.95)) / 2
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * (max(0.02, part / 0.05) if part < 0.05 else cosine)
        optimiser.zero_grad()
        task.loss(task.batch(step), network, 0.0)[0].backward()
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in network.parameters()))
        for p in network.parameters():
            p.grad *= min(1.0, schedule.clip / (norm + 1e-6))
        norms.append(norm)
        optimiser.step()
        decay = min(schedule.ema, (2 + step) / (11 + step))
        for name, value in network.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value.double()
    return network, average, norms


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_run_is_the_plain_training_written_out(tmp_path, optimiser):
    schedule = Schedule(0.05, 0.1, 2.2, 0.6, optimiser, steps=20)
    network, average, norms = plain_training(schedule)
    assert min(norms) < schedule.clip < max(norms), "some gradients are clipped and some are not"
    reported = []
    loop = Loop(Task(), schedule, CPU, tmp_path, on_event=reported.append)
    result = loop.run()
    for name, value in loop.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-4, atol=1e-6)
    for name, value in result.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), average[name], rtol=1e-4, atol=1e-6)
    assert loop.state.step == 20
    assert loop.task.seen == list(range(20))
    metrics = {event.step: event.values for event in reported if isinstance(event, Metric)}
    assert sorted(metrics) == [10, 20]
    assert metrics[10]["gradient norm"] == pytest.approx(norms[9], rel=1e-4)
    assert metrics[10]["learning rate"] == learning_rate_at(9 / 20, 0.05)
    assert metrics[20]["loss"] == metrics[20]["error"]


def test_the_average_is_its_formula_and_stays_apart():
    network = small_net().train()
    average = EMA(network, 0.5)
    expected = {n: v.clone() for n, v in network.state_dict().items()}
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (8, 0.5), (9, 0.5), (1000, 0.5)):
        with torch.no_grad():
            for value in network.parameters():
                value.add_(torch.randn_like(value))
        network(torch.randn(2, 2, 6, 6))
        average.update(network, step)
        for name, value in network.state_dict().items():
            new = decay * expected[name] + (1 - decay) * value
            expected[name] = new if value.is_floating_point() else value.clone()
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert average.network[1].num_batches_tracked == 5


@pytest.mark.parametrize(("budget", "steps"), [({"seconds": 7.5}, 8), ({"seconds": 50.0, "steps": 6}, 6),
                                               ({"seconds": 4.0, "steps": 60}, 4), ({"steps": 1}, 1)])
def test_the_budget_is_steps_or_seconds_whichever_ends_first(tmp_path, clock, budget, steps):
    loop = Loop(Task(clock=clock), Schedule(0.05, 0, 1, 0.9, **budget), CPU, tmp_path)
    loop.run()
    assert loop.state.step == loop.state.elapsed == steps
    assert loop.progress() == 1.0


def test_validations_and_checkpoints_come_at_their_times(tmp_path, clock):
    """A step takes 1 s, a validation 0.25 s of the budget."""
    task, reported = Task(scores=[0.1, 0.3, 0.2, 0.4, 0.5], clock=clock), []
    schedule = Schedule(0.05, 0, 1, 0.9, seconds=15.0, validate_every=4.0, checkpoint_every=5.0)
    loop = Loop(task, schedule, CPU, tmp_path, on_event=reported.append)
    loop.run()
    assert [(event.step, event.values["validation Dice"]) for event in reported
            if isinstance(event, Metric) and "validation Dice" in event.values] == [
                (4, 0.1), (8, 0.3), (12, 0.2), (15, 0.4)]
    assert loop.state.validations == [{"step": 4, "Dice": 0.1}, {"step": 8, "Dice": 0.3},
                                      {"step": 12, "Dice": 0.2}, {"step": 15, "Dice": 0.4}]
    assert loop.state.best == 0.4
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "checkpoint-00000010.safetensors", "checkpoint-00000015.safetensors"]


def test_progress_tells_the_time_left(tmp_path, clock):
    reported = []
    Loop(Task(clock=clock), Schedule(0.05, 0, 1, 0.9, steps=40), CPU, tmp_path, on_event=reported.append).run()
    assert [event for event in reported if isinstance(event, Progress)] == [
        Progress("training", done / 40, 1.0, pytest.approx(40.0 - done), TRAINING) for done in (10, 20, 30, 40)]
    assert reported[0].values["seconds per step"] == 1.0
    assert reported[0].values["share waiting for data"] == 0.0


def test_no_gain_for_some_validations_ends_the_run(tmp_path, clock):
    task, reported = Task(scores=[0.5, 0.6, 0.6, 0.3, 0.9], clock=clock), []
    schedule = Schedule(0.05, 0, 1, 0.9, steps=500, patience=2, validate_every=3.0)
    loop = Loop(task, schedule, CPU, tmp_path, on_event=reported.append)
    loop.run()
    assert loop.state.step == 12
    assert task.validated == 4
    assert loop.state.best == 0.6
    assert [event.text for event in reported if isinstance(event, Message)] == [
        "Early stopping: no gain in 2 validations."]
    assert (tmp_path / "checkpoint-00000012.safetensors").is_file()


def test_a_step_without_a_number_is_left_out(tmp_path):
    """Its weights, its optimiser and the running means of its normalisation are as if it had not been."""
    task = Task(bad=[0])
    loop = Loop(task, Schedule(0.05, 0.1, 1, 0.9, steps=1), CPU, tmp_path)
    with pytest.raises(DivergedError, match=r"^training step 1: the loss became NaN or infinite\. Lower the "):
        loop.run()
    assert list(tmp_path.iterdir()) == [], "nothing was learned, so that there is nothing to keep"
    assert same(loop.ema.network, small_net())
    mine, before = list(task.network.parameters()), list(small_net().parameters())
    assert all(torch.equal(a, b) for a, b in zip(mine, before, strict=True))
    assert loop._optimiser.state_dict()["state"] == {}


def test_two_bad_steps_in_a_row_are_survived(tmp_path):
    task = Task(bad=[3, 4, 6, 11, 12])
    loop = Loop(task, TWENTY, CPU, tmp_path)
    result = loop.run()
    assert loop.state.step == 20
    assert {int(state["step"]) for state in loop._optimiser.state_dict()["state"].values()} == {15}
    for network in (result, loop.network):
        assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def test_three_bad_steps_in_a_row_are_an_error_and_the_last_good_checkpoint_is_kept(tmp_path, clock):
    schedule = Schedule(0.05, 0, 1, 0.9, steps=20, checkpoint_every=3.0)
    loop = Loop(Task(bad=[7, 8, 9], clock=clock), schedule, CPU, tmp_path)
    with pytest.raises(ResourceError) as caught:
        loop.run()
    assert caught.value.reason == "the loss was NaN or infinite 3 times in a row (batches 8 to 10)"
    assert caught.value.remedy == (
        f"Lower the learning rate (now 0.05) and resume: the last good checkpoint is kept in {tmp_path}.")
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "checkpoint-00000003.safetensors", "checkpoint-00000006.safetensors"]
    again = Loop(Task(clock=clock), schedule, CPU, tmp_path, resume=True)
    assert again.state.step == 6
    straight = Loop(Task(clock=clock), schedule, CPU, tmp_path / "straight")
    assert same(again.run(), straight.run())


def test_without_a_checkpoint_none_is_promised(tmp_path):
    for folder in (tmp_path, None):
        with pytest.raises(ResourceError, match=r"\(batches 1 to 3\)\. Lower .*0\.05\) and start again\."):
            Loop(Task(bad=range(3)), TWENTY, CPU, folder).run()


def test_a_short_run_needs_no_folder_and_may_keep_the_norms_as_they_are(tmp_path):
    expected = Loop(Task(), TWENTY, CPU, tmp_path).run()
    assert same(Loop(Task(), TWENTY, CPU, None, resume=True).run(), expected)
    result = Loop(Task(), replace(TWENTY, freeze_norms=True), CPU, None).run()
    assert torch.equal(result[1].running_mean, small_net()[1].running_mean)
    assert result[1].num_batches_tracked == 0
    assert not torch.equal(result[1].weight, small_net()[1].weight)


@pytest.mark.parametrize("full", [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to "
                 "allocate 9 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, max allowed: 6.80 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError()], ids=["cuda", "windows", "mps", "cublas", "python"])
def test_when_memory_runs_out_the_batch_is_taken_in_parts_with_the_same_gradient(full):
    """Without normalisation over the batch, two halves give the whole batch's mean gradient."""
    class Tight(Task):
        def __init__(self, room):
            super().__init__()
            torch.manual_seed(3)
            self.network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3))
            self.room = room

        def batch(self, step):
            return step, torch.cat([Task.batch(self, step)[1], Task.batch(self, step + 100)[1]])

        def loss(self, batch, average, progress):
            if len(batch[1]) > self.room:
                raise full
            return super().loss(batch, average, progress)

    schedule = Schedule(0.05, 0.1, 0.5, 0.9, steps=6)
    reported = []
    tight = Loop(Tight(3), schedule, CPU, None, on_event=reported.append)
    tight.run()
    whole = Loop(Tight(6), schedule, CPU, None)
    whole.run()
    for a, b in zip(tight.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    words = [event.text for event in reported if isinstance(event, Message)]
    assert words == ["Out of memory: each batch is now processed in 2 parts, whose gradients are accumulated, so that "
                     "the batch size stays the same."]
    with pytest.raises(ResourceError, match=r"ran out of memory .*the batch cannot be split into more than 2 parts"):
        Loop(Tight(1), schedule, CPU, None).run()
