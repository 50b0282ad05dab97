"""Several networks of one kind as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from kaf.network.kafunet import Features
from kaf.settings.network import NetworkSettings

PREFIX = "members."
"""What the names of its tensors begin with; then comes the member's number."""


class Ensemble(nn.Module):
    """``settings.members`` networks behind the call of one.

    The logits are the logarithm of the mean of the members' probabilities; all else (tokens, maps, attention) is that
    of the first member.

    Args:
        make: a network from the settings of a single one.
    """

    def __init__(self, settings: NetworkSettings, make: Callable[[NetworkSettings], nn.Module]):
        super().__init__()
        self.settings = settings
        single = settings.model_copy(update={"members": 1})
        self.members = nn.ModuleList(make(single) for _ in range(settings.members))

    def forward(self, *inputs: Any, **more: Any) -> Features:
        first: Features | None = None
        total: Any = 0.0
        for member in self.members:
            found = member(*inputs, **more)
            first = found if first is None else first
            total = total + found.logits.float().softmax(1)
        assert first is not None
        return replace(first, logits=(total / len(self.members)).clamp_min(torch.finfo(torch.float32).tiny).log())
