"""How long a run will take and how much memory it needs, from three steps on a copy of the network."""

from __future__ import annotations

import copy
import resource
import sys
import time
from dataclasses import dataclass

import torch

from kaf.device import Place
from kaf.training.loop import Schedule, Task

_STEPS = 3


@dataclass(frozen=True)
class Forecast:
    """seconds_per_step; steps and seconds of the whole run; memory in bytes, of the GPU or of the process."""

    seconds_per_step: float
    steps: int
    seconds: float
    memory: int

    def text(self) -> str:
        minutes = self.seconds / 60
        length = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
        return (f"Forecast: {self.steps} steps of {self.seconds_per_step:.2g} s, {length} in all, "
                f"{self.memory / 1e9:.1f} GB of memory.")


def forecast(task: Task, schedule: Schedule, place: Place) -> Forecast:
    """Take three steps that leave no trace in the network; the first one, which warms up, is not counted."""
    device = place.device
    before = copy.deepcopy(task.network.state_dict())
    training = task.network.training
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    task.network.train()
    times = []
    try:
        for step in range(_STEPS):
            start = time.monotonic()
            with place.autocast():
                loss, _ = task.loss(task.batch(step), task.network, 0.0)
            loss.backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.monotonic() - start)
    finally:
        task.network.load_state_dict(before)
        task.network.train(training)
        task.network.zero_grad(set_to_none=True)
    each = sum(times[1:]) / (_STEPS - 1)
    limits = [count for count in (schedule.steps, schedule.seconds and schedule.seconds / each) if count]
    steps = max(1, round(min(limits)))
    return Forecast(each, steps, steps * each, _peak(device))


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
