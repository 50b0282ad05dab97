"""Budget, optimiser and learning-rate schedule of a training run."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kaf.runtime.no_compiler import plain_optimiser
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings

_OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adamw": (torch.optim.AdamW, {}), "adam": (torch.optim.Adam, {}), "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    "radam": (torch.optim.RAdam, {"decoupled_weight_decay": True})}


@dataclass(frozen=True)
class Schedule:
    """Optimiser, budget and intervals of a run.

    clip: largest norm of the gradient, 0 for any; ema: decay of the EMA of the weights; steps, seconds: the budget, of
    which what is used up first counts; patience: validations without a gain until early stopping, 0 for never;
    validate_every, checkpoint_every: in seconds; freeze_norms: keep the running statistics of batch normalisation,
    which a few slices would spoil; warm_up, last_rate: see :func:`learning_rate_at`; validate_steps: steps between
    validations, in place of ``validate_every``; workers: see :func:`kaf.data.loader.resolved_workers`.
    """

    learning_rate: float
    weight_decay: float
    clip: float
    ema: float
    optimiser: str = "adamw"
    steps: int | None = None
    seconds: float | None = None
    patience: int = 0
    validate_every: float = 60.0
    checkpoint_every: float = 120.0
    freeze_norms: bool = False
    warm_up: float = 0.05
    last_rate: float = 0.01
    validate_steps: int | None = None
    workers: int | None = None


def finetune_schedule(settings: FinetuneSettings, slices: int) -> Schedule:
    """Of a fine-tuning on so many slices (in 3-D: scans); 20 minutes where no budget was given."""
    steps, seconds = _budget(settings, slices, 20.0)
    each = settings.validate_epochs and max(1, round(settings.validate_epochs * slices / settings.batch))
    return Schedule(settings.learning_rate, settings.weight_decay, settings.clip, settings.ema, settings.optimiser,
                    steps, seconds, settings.patience, settings.validate_every, settings.checkpoint_every,
                    warm_up=settings.warm_up, last_rate=settings.last_rate, validate_steps=each or None,
                    workers=settings.workers)


def pretrain_schedule(settings: PretrainSettings, slices: int) -> Schedule:
    """Of a pretraining on so many slices (in 3-D: scans); 30 minutes where no budget was given."""
    steps, seconds = _budget(settings, slices, 30.0)
    return Schedule(settings.learning_rate, settings.weight_decay, settings.clip, settings.ema, settings.optimiser,
                    steps, seconds, validate_every=60 * settings.probe_every,
                    checkpoint_every=settings.checkpoint_every, warm_up=settings.warm_up,
                    last_rate=settings.last_rate, workers=settings.workers)


def _budget(settings: FinetuneSettings | PretrainSettings, slices: int, default: float
            ) -> tuple[int | None, float | None]:
    """Optimiser steps and seconds, of which the first that is reached counts; ``default``: minutes."""
    steps = settings.steps
    if settings.epochs:
        steps = min(steps or sys.maxsize, max(1, round(settings.epochs * slices / settings.batch)))
    minutes = settings.minutes or (None if steps else default)
    return steps, minutes and 60 * minutes


def learning_rate_at(progress: float, peak: float, warm_up: float = 0.05, last: float = 0.01) -> float:
    """Linear warm-up over the first ``warm_up`` of the run, then cosine annealing to ``last`` of the peak.

    ``progress`` (0..1) is that of a budget which may be time: a schedule in steps, as LambdaLR has, cannot say it.
    """
    if progress < warm_up:
        return peak * max(0.02, progress / warm_up)
    along = min(1.0, (progress - warm_up) / (1 - warm_up))
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * along)))


def make_optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW, Adam, RAdam, or SGD with momentum 0.9; no weight decay of biases and normalisation layers."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    free = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
    kind, more = _OPTIMISERS[schedule.optimiser]
    return plain_optimiser(kind, groups, lr=schedule.learning_rate, **more)
