"""Supervised segmentation as the loop trains it: Dice + cross-entropy on labelled patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kaf.data.batches import Batch, LabelledSlices, split_batch
from kaf.data.cache import CachedCase
from kaf.runtime.device_choice import DeviceChoice, on_device
from kaf.training.loss import balance_at, batch_loss
from kaf.training.processes import own_part
from kaf.training.validate import CaseScore, mean_scores, score_cases, slice_predictor


@dataclass
class SegmentationTask:
    """Dice + cross-entropy on labelled slices; the task that :class:`Loop` trains.

    ``scores``: of the validation cases, when they were looked at last.
    """

    network: nn.Module
    place: DeviceChoice
    slices: LabelledSlices
    batch_size: int
    validation: Sequence[CachedCase]
    context: int
    scores: list[CaseScore] = field(default_factory=list, init=False)

    def batch(self, step: int) -> Batch:
        return own_part(self.slices.batch(step, self.batch_size))

    def loss(self, batch: Batch, teacher: nn.Module, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        device = self.place.device
        image = on_device(batch.image, device, memory_format=torch.channels_last)
        features = self.network(image, on_device(batch.keypoints, device), on_device(batch.mask, device))
        return batch_loss(features.logits, batch, balance_at(progress)), {}

    def split(self, batch: Batch, parts: int) -> list[Batch]:
        return split_batch(batch, parts)

    def figures(self) -> dict[str, float]:
        return {}

    def validate(self, network: nn.Module) -> dict[str, float]:
        if not self.validation:
            return {}
        self.scores = score_cases(slice_predictor(network, self.place, self.context), self.validation)
        return mean_scores(self.scores)
