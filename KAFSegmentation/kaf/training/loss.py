"""The segmentation loss of fine-tuning and adapting: Dice plus cross-entropy, in 2-D and 3-D."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.runtime import ranks

_SMOOTH = 1e-5


class DiceCrossEntropy:
    """Dice over the whole batch, that of all processes, background left out, plus cross-entropy; in fp32.

    MONAI's DiceCELoss where every voxel counts the same.  It weighs classes, not voxels, so that with weights per voxel
    the same formula is written out here; with weights of 1 both agree.
    """

    def __init__(self) -> None:
        from monai.losses import DiceCELoss

        self._even = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def __call__(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """The scalar loss.

        Args:
            logits: (B, K, ...), of K classes, background included.
            labels: (B, ...) int64, 0..K - 1.
            weight: (B, ...), >= 0, of each voxel; None for 1 everywhere.
        """
        logits = logits.float()
        if weight is None and ranks.world() == 1:
            return self._even(logits, labels[:, None])
        return _weighted(logits, labels, torch.ones_like(logits[:, 0]) if weight is None else weight)


def _weighted(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    entropy = ranks.all_sum((F.cross_entropy(logits, labels, reduction="none") * weight).sum())
    entropy = entropy / ranks.all_sum(weight.sum()).clamp(min=1e-6)
    share = logits.softmax(1)[:, 1:] * weight[:, None]
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:].to(share.dtype)
    over = (0, *range(2, logits.ndim))
    both = ranks.all_sum((share * truth).sum(over))
    total = ranks.all_sum(share.sum(over) + (truth * weight[:, None]).sum(over))
    return entropy + (1 - (2 * both + _SMOOTH) / (total + _SMOOTH)).mean()
