"""Semi-supervised fine-tuning: labelled and unlabelled slices are pasted into each other (BCP, mean teacher).

Bai et al., Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation, CVPR 2023: a box of a labelled
slice is pasted onto an unlabelled one and the other way round; unlabelled pixels get pseudo-labels from the EMA of the
network (the mean teacher), of which the largest connected component of each structure counts.  Unlike there, half of
every batch stays labelled slices as they are, and pixels of which the teacher is uncertain do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from kaf.data.batches import Batch
from kaf.data.views import UnlabelledSlices, View
from kaf.imaging.pixels import nearest_pixel
from kaf.training.loss import dice_cross_entropy
from kaf.training.task import SegmentationTask

_CONFIDENT = 0.9  # probability from which on a pseudo-label counts
_BOX = 2 / 3  # of each side of the patch, as published for ACDC


@dataclass
class Mixed:
    """A labelled batch, and half as many unlabelled slices."""

    labelled: Batch
    unlabelled: View
    boxes: Tensor  # (B / 2, H, W) bool, the pasted part


@dataclass
class MixingTask(SegmentationTask):
    """Supervised for the first share ``after`` of the run, then on slices mixed with unlabelled ones.

    ``weight`` is that of a pixel with a pseudo-label; a labelled one has 1.
    """

    unlabelled: UnlabelledSlices
    weight: float
    after: float

    def batch(self, step: int) -> Mixed:  # type: ignore[override]
        half = max(1, self.batch_size // 2)
        view = self.unlabelled.batch(step, half).views["anchor"]
        return Mixed(self.slices.batch(step, 2 * half), view, random_boxes(step, half, view.image.shape[2:]))

    def split(self, batch: Mixed, parts: int) -> list[Mixed]:  # type: ignore[override]
        return []

    def loss(self, batch: Mixed, teacher: nn.Module, progress: float  # type: ignore[override]
             ) -> tuple[Tensor, dict[str, Tensor]]:
        if progress < self.after:
            return super().loss(batch.labelled, teacher, progress)
        device = self.place.device
        unlabelled, boxes = batch.unlabelled.to(device), batch.boxes.to(device)
        given = batch.labelled
        image, keypoints, mask, labels = (torch.from_numpy(values).to(device) for values in (
            given.image, given.keypoints, given.mask, given.labels.astype(np.int64)))
        with torch.no_grad():
            logits = teacher(unlabelled.image, unlabelled.keypoints, unlabelled.mask).logits.float()
        guess, sure = largest_parts(logits), surely(logits)
        own = labelled_pixels(boxes)
        picture = torch.where(own[:, None], image, unlabelled.image.repeat(2, 1, 1, 1))
        truth = torch.where(own, labels, guess.repeat(2, 1, 1))
        weight = torch.where(own, 1.0, self.weight * sure.repeat(2, 1, 1))
        points, there = joined_keypoints((keypoints, mask), (unlabelled.keypoints.repeat(2, 1, 1),
                                                             unlabelled.mask.repeat(2, 1)), own)
        logits = self.network(picture.contiguous(memory_format=torch.channels_last), points, there).logits
        return dice_cross_entropy(logits, truth, weight), {}


def random_boxes(step: int, count: int, size: Sequence[int]) -> Tensor:
    """(count, H, W) bool, a box of two thirds of each side at a random place; a function of the step."""
    rng = np.random.default_rng([step, 11])
    boxes = torch.zeros(count, *size, dtype=torch.bool)
    sides = [max(1, round(_BOX * n)) for n in size]
    for box in boxes:
        top, left = (int(rng.integers(n - side + 1)) for n, side in zip(size, sides, strict=True))
        box[top:top + sides[0], left:left + sides[1]] = True
    return boxes


def labelled_pixels(boxes: Tensor) -> Tensor:
    """(n, H, W) boxes -> (2n, H, W) bool, where the labelled slice is seen: everywhere in the first half of a batch,
    in the second by turns around the box and inside it."""
    around = torch.arange(len(boxes), device=boxes.device)[:, None, None] % 2 == 0
    return torch.cat([torch.ones_like(boxes), boxes ^ around])


def surely(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> (B, H, W) bool: the best class has a probability of 0.9 or more."""
    return logits.softmax(1).amax(1) >= _CONFIDENT


def largest_parts(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> (B, H, W) int64 labels, of every structure in every slice its largest connected part."""
    labels = logits.max(1).indices.to(torch.uint8).cpu().numpy()
    kept = np.zeros_like(labels)
    for source, target in zip(labels, kept, strict=True):
        for value in np.unique(source[source > 0]):
            _, parts, figures, _ = cv2.connectedComponentsWithStats((source == value).astype(np.uint8))
            target[parts == 1 + figures[1:, cv2.CC_STAT_AREA].argmax()] = value
    return torch.from_numpy(kept).to(logits.device, torch.int64)


def joined_keypoints(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], own: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints (B, N, 2) with masks (B, N) of two slices that were mixed: each counts where its slice is seen.

    ``own`` (B, H, W) bool is where the first is seen.
    """
    masks = []
    for (points, mask), seen in ((first, own), (second, ~own)):
        row, column = nearest_pixel(points, own.shape[1:]).unbind(-1)
        masks.append(mask & seen.flatten(1).gather(1, row * own.shape[2] + column))
    return torch.cat([first[0], second[0]], 1), torch.cat(masks, 1)
