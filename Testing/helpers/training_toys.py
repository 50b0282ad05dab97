"""A task so small that a training run takes a moment, and a clock that only the task moves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from kaf.runtime.device_choice import DeviceChoice

CPU = DeviceChoice(torch.device("cpu"), False, "test")


class Clock(SimpleNamespace):
    """Stands still but for what a task spends."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def small_net() -> nn.Module:
    """Without a bias before the normalisation: its gradient is only rounding, which Adam makes large."""
    torch.manual_seed(3)
    first = nn.Conv2d(2, 4, 3, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Conv2d(4, 1, 3))


class Task:
    """Regression on numbers drawn by step; steps in ``bad`` hold no number; validations give ``scores``."""

    def __init__(self, bad=(), scores=(), clock=None):
        self.network, self.bad, self.scores, self.clock = small_net(), set(bad), list(scores), clock
        self.seen, self.validated = [], 0

    def batch(self, step):
        random = np.random.default_rng([7, step])
        image = random.normal(size=(3, 2, 6, 6)).astype(np.float32)
        if step in self.bad:
            image[0, 0, 0, 0] = np.nan
        return step, torch.from_numpy(image)

    def loss(self, batch, average, progress):
        step, image = batch
        self.seen.append(step)
        if self.clock:
            self.clock.now += 1
        error = (self.network(image) - image[:, :1, 1:-1, 1:-1][..., :2, :2]).square().mean()
        return error, {"error": error.detach()}

    def split(self, batch, parts):
        step, image = batch
        return [(step, part) for part in image.chunk(parts)] if len(image) % parts == 0 else []

    def figures(self):
        return {}

    def validate(self, network):
        self.validated += 1
        if self.clock:
            self.clock.now += 0.25
        return {"Dice": self.scores.pop(0)} if self.scores else {}


def same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())
