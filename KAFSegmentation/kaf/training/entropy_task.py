"""Supervised segmentation by cross-entropy alone, as PCL and KAF fine-tune."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.batches import Batch
from kaf.runtime import ranks
from kaf.runtime.device_choice import on_device
from kaf.runtime.errors import SettingsError
from kaf.settings.finetune import FinetuneSettings
from kaf.training.task import SegmentationTask


class CrossEntropyTask(SegmentationTask):
    """Cross-entropy on labelled slices, the mean over all pixels of the batch, in fp32."""

    def loss(self, batch: Batch, teacher: nn.Module, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        device = self.place.device
        image = on_device(batch.image, device, memory_format=torch.channels_last)
        features = self.network(image, on_device(batch.keypoints, device), on_device(batch.mask, device))
        if batch.known is not None or batch.ignored is not None:
            raise SettingsError("loss", "ce needs every structure to be drawn in every case", "Use loss dice_ce.")
        labels = on_device(batch.labels, device).long()
        entropy = F.cross_entropy(features.logits.float(), labels)
        return ranks.mean(entropy, torch.ones_like(entropy)) if ranks.world() > 1 else entropy, {}


def check_loss(settings: FinetuneSettings) -> None:
    """SettingsError where cross-entropy alone is asked for and something else is trained than labelled slices."""
    three = settings.network is not None and settings.network.dimensions == 3
    if settings.loss == "ce" and (three or settings.unlabelled):
        raise SettingsError("loss", "ce is for labelled slices in 2-D", "Use loss dice_ce, or leave out "
                            f"{'network.dimensions 3' if three else 'unlabelled'}.")
