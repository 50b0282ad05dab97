"""EMA (exponential moving average) of the weights: the teacher, and the network that is validated and saved.

Not ``torch.optim.swa_utils.AveragedModel``: see the table in Docs/decisions.md.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of a network's weights and buffers.

    The decay at step t is min(decay, (1 + t) / (10 + t)): it starts low, so that in short runs too the random initial
    weights are soon forgotten.  Integer buffers are copied.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights and buffers of ``network`` after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
        for name, value in mine.items():
            if not value.is_floating_point():
                value.copy_(theirs[name])
