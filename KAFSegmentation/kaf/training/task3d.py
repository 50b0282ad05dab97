"""Supervised segmentation in 3-D as the loop trains it: Dice + cross-entropy on patches, checked by sliding window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kaf.data.batches import Batch, split_batch
from kaf.data.cache import CachedCase
from kaf.data.patches3d import LabelledVolumes
from kaf.inference.volumes import VolumePredictor
from kaf.runtime.device_choice import DeviceChoice
from kaf.settings.network import NetworkSettings
from kaf.training.loss import balance_at, batch_loss
from kaf.training.processes import own_part
from kaf.training.validate import CaseScore, mean_scores, score_cases


@dataclass
class VolumeTask:
    """Dice + cross-entropy on labelled patches of ``network`` with its settings; the task that :class:`Loop` trains.

    ``scores``: of the validation cases, when they were looked at last.
    """

    network: nn.Module
    settings: NetworkSettings
    place: DeviceChoice
    slices: LabelledVolumes
    batch_size: int
    validation: Sequence[CachedCase]
    scores: list[CaseScore] = field(default_factory=list, init=False)

    def batch(self, step: int) -> Batch:
        return own_part(self.slices.batch(step, self.batch_size))

    def loss(self, batch: Batch, teacher: nn.Module, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        device = self.place.device
        image = torch.from_numpy(batch.image).to(device, memory_format=torch.channels_last_3d)
        return batch_loss(self.network(image).logits, batch, balance_at(progress)), {}

    def split(self, batch: Batch, parts: int) -> list[Batch]:
        return split_batch(batch, parts)

    def figures(self) -> dict[str, float]:
        return {}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Dice of the validation cases as ``kaf segment`` would find them."""
        if not self.validation:
            return {}
        assert self.settings.patch is not None
        predictor = VolumePredictor(network.eval(), self.place, patch=self.settings.patch)
        self.scores = score_cases(predictor, self.validation)
        return mean_scores(self.scores)
