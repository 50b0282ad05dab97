"""Estimated time and memory of a run: from three training steps without effect, then from the second minute of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from kaf.runtime.events import Message, OnEvent
from kaf.runtime.memory import peak_memory
from kaf.runtime.message_codes import FORECAST
from kaf.training.schedule import Schedule

if TYPE_CHECKING:
    from kaf.training.loop import Loop, State

_STEPS = 3
_FIRST, _SECOND = 60.0, 120.0  # seconds of a run: the first minute warms up, the second is measured
_PROGRESS = 0.5  # of the run: by then all terms of the losses count
_STATE = {"adamw": 2, "radam": 2, "sgd": 1}  # numbers that an optimiser keeps per weight


@dataclass(frozen=True)
class Forecast:
    """seconds_per_step; steps and seconds of the whole run; memory in bytes, of the GPU or of the process; parts in
    which a batch is taken, more than one where memory was short."""

    seconds_per_step: float
    steps: int
    seconds: float
    memory: int
    parts: int = 1

    def text(self) -> str:
        return (f"Forecast: {self.steps} steps of {self.seconds_per_step:.2g} s, {_duration(self.seconds)} in all, "
                f"{self.memory / 1e9:.1f} GB of memory.")


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} seconds"


def forecast(loop: Loop) -> Forecast:
    """Time three steps whose gradients are discarded; the first one, a warm-up, is not counted.

    Raises:
        ResourceError: not even a part of a batch fits into the memory.
    """
    device, schedule = loop.place.device, loop.schedule
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    with _untouched(loop.network, device):
        loop.network.train()
        for step in range(_STEPS):
            batch = loop.task.batch(step)
            start = time.monotonic()
            loop.gradients(batch, _PROGRESS)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.monotonic() - start)
    each = sum(times[1:]) / (_STEPS - 1)
    steps = _steps(schedule, each)
    learning = sum(p.numel() * p.element_size() for p in loop.network.parameters() if p.requires_grad)
    return Forecast(each, steps, steps * each, _peak(device) + _STATE[schedule.optimiser] * learning, loop.state.parts)


class Pace:
    """Forecasts once more, in the course of a run: from the real steps of its second minute.

    Args:
        state: of the loop; where it goes on from a checkpoint, its minutes begin there.
    """

    def __init__(self, schedule: Schedule, device: torch.device, state: State, send: OnEvent):
        self._schedule, self._device, self._send = schedule, device, send
        self._begun = state.elapsed
        self._first: tuple[int, float] | None = None
        self._told = False

    def update(self, state: State) -> None:
        """After every step."""
        seconds = state.elapsed - self._begun
        if self._told or seconds < _FIRST:
            return
        if self._first is None:
            self._first = state.step, state.elapsed
        elif seconds >= _SECOND and state.step > self._first[0]:
            self._told = True
            step, elapsed = self._first
            each = (state.elapsed - elapsed) / (state.step - step)
            steps = _steps(self._schedule, each, state.step, state.elapsed)
            found = Forecast(each, steps, state.elapsed + (steps - state.step) * each, _peak(self._device),
                             state.parts)
            self._send(Message(found.text(), code=FORECAST, data=vars(found)))


def _steps(schedule: Schedule, each: float, done: int = 0, elapsed: float = 0.0) -> int:
    """How many steps of so many seconds each there will be, with those that are done in the seconds elapsed."""
    left = schedule.seconds and done + max(0.0, schedule.seconds - elapsed) / max(each, 1e-9)
    return max(1, round(min(count for count in (schedule.steps, left) if count)))


@contextmanager
def _untouched(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Weights, running statistics, mode and random numbers are afterwards what they were before."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)
        for module, mode in modes.items():
            module.training = mode


def _peak(device: torch.device) -> int:
    """The largest memory so far in bytes, of the GPU or of this process; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()
