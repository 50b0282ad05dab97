"""A run that was stopped or broke goes on with the same numbers, bit for bit."""

from __future__ import annotations

import json
import signal

import pytest
from training_toys import CPU, Clock, Task, same

from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import RESUMED
from kaf.training import loop as loop_module
from kaf.training.checkpoint import load_checkpoint
from kaf.training.loop import Loop
from kaf.training.schedule import Schedule


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop_module, "time", clock)
    return clock


class Stops(Task):
    """The user's Ctrl-C before a step."""

    def __init__(self, step):
        super().__init__()
        self.stop = step

    def loss(self, batch, *rest):
        if batch[0] == self.stop:
            raise KeyboardInterrupt
        return super().loss(batch, *rest)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("stops", [(1,), (7,), (3, 4, 19)])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(tmp_path, optimiser, stops):
    schedule = Schedule(0.05, 0.1, 0.5, 0.9, optimiser, steps=20)
    straight = Loop(Task(), schedule, CPU, tmp_path / "straight")
    expected = straight.run()
    seen = []
    for stop in stops:
        loop = Loop(Stops(stop), schedule, CPU, tmp_path / "stopped", resume=bool(seen))
        with pytest.raises(KeyboardInterrupt):
            loop.run()
        loop.save()
        seen += loop.task.seen
    reported = []
    loop = Loop(Task(), schedule, CPU, tmp_path / "stopped", True, reported.append)
    assert reported == [Message(f"Resuming from step {stops[-1]}.", code=RESUMED, data={"step": stops[-1]})]
    assert same(loop.run(), expected)
    assert seen + loop.task.seen == list(range(20))
    assert same(loop.network, straight.network)
    assert loop.state.step == straight.state.step


def test_a_run_that_broke_goes_on_from_its_last_checkpoint(tmp_path, clock):
    class Breaks(Task):
        def batch(self, step):
            if step == 9:
                raise InputError("scan.nii", "is gone", "Get it back.")
            return super().batch(step)

    schedule = Schedule(0.05, 0.1, 0.5, 0.9, steps=20, checkpoint_every=2.0)
    expected = Loop(Task(clock=clock), schedule, CPU, tmp_path / "straight").run()
    with pytest.raises(InputError, match=r"scan\.nii: is gone"):
        Loop(Breaks(clock=clock), schedule, CPU, tmp_path / "broken").run()
    loop = Loop(Task(clock=clock), schedule, CPU, tmp_path / "broken", resume=True)
    assert (loop.state.step, loop.state.elapsed) == (8, 8.0)
    assert same(loop.run(), expected)
    assert loop.task.seen == list(range(8, 20))
    with pytest.raises(ModelError, match="its optimiser is AdamW, not SGD"):
        Loop(Task(), Schedule(0.05, 0.1, 0.5, 0.9, "sgd", 20), CPU, tmp_path / "broken", resume=True)


def test_the_state_comes_back_whole(tmp_path, clock):
    schedule = Schedule(0.05, 0, 1, 0.9, steps=9, validate_every=4.0)
    loop = Loop(Task(scores=[0.5, 0.25], clock=clock), schedule, CPU, tmp_path)
    loop.run()
    again = Loop(Task(), schedule, CPU, tmp_path, resume=True)
    assert vars(again.state) | {"waited": 0.0} == {
        "step": 9, "elapsed": 9.5, "best": 0.5, "without_gain": 1, "waited": 0.0, "parts": 1,
        "left_out": 0,
        "validations": [{"step": 4, "Dice": 0.5}, {"step": 8, "Dice": 0.25}]}
    state = load_checkpoint(tmp_path, {"network": again.network, "average": again.ema.network},
                            again._optimiser)
    assert json.loads(json.dumps(state)) == state


class Interrupted(Task):
    """Ctrl-C when the network has already seen the batch of a step."""

    def loss(self, batch, *rest):
        outcome = super().loss(batch, *rest)
        if batch[0] == 5:
            raise KeyboardInterrupt
        return outcome


def test_a_step_that_was_stopped_on_its_way_leaves_no_trace(tmp_path):
    schedule = Schedule(0.05, 0.1, 0.5, 0.9, steps=12)
    expected = Loop(Task(), schedule, CPU, tmp_path / "straight").run()
    loop = Loop(Interrupted(), schedule, CPU, tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    loop.save()
    assert same(Loop(Task(), schedule, CPU, tmp_path / "stopped", resume=True).run(), expected)


def test_ctrl_c_between_weights_and_average_waits_for_both(tmp_path, monkeypatch):
    schedule = Schedule(0.05, 0.1, 0.5, 0.9, steps=12)
    expected = Loop(Task(), schedule, CPU, tmp_path / "straight").run()
    loop = Loop(Task(), schedule, CPU, tmp_path / "stopped")
    step = loop._optimiser.step

    def interrupted_step():
        step()
        if loop.state.step == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop._optimiser, "step", interrupted_step)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert loop.state.step == 5
    loop.save()
    assert same(Loop(Task(), schedule, CPU, tmp_path / "stopped", resume=True).run(), expected)
