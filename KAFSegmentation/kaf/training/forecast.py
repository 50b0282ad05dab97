"""Estimated time and memory of a run, from three training steps without effect."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from kaf.runtime.memory import peak_memory
from kaf.training.loop import Loop

_STEPS = 3
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
    limits = [count for count in (schedule.steps, schedule.seconds and schedule.seconds / max(each, 1e-9)) if count]
    steps = max(1, round(min(limits)))
    learning = sum(p.numel() * p.element_size() for p in loop.network.parameters() if p.requires_grad)
    return Forecast(each, steps, steps * each, _peak(device) + _STATE[schedule.optimiser] * learning, loop.state.parts)


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
