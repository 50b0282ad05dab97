"""The segmentation loss of fine-tuning and adapting: Dice plus cross-entropy, in 2-D and 3-D.

Shi et al., Marginal loss and exclusion loss for partially supervised multi-organ segmentation, Medical Image Analysis
70:101979, 2021: where not every structure was drawn, a voxel that is not labelled as one of the drawn ones is
background or any structure that was not drawn, so that their probabilities are added.  Dice counts the drawn structures
only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.data.batches import Batch
from kaf.runtime import ranks
from kaf.runtime.device_choice import on_device

_SMOOTH = 1e-5
_BALANCED = 0.8  # of a run, in which the class weights become equal


def balance_at(progress: float) -> float:
    """The exponent of the class weights of the cross-entropy after this share (0..1) of a run: square roots of the
    inverse frequencies at first, equal weights over the last fifth.

    With equal weights from the start, a network of many small structures first learns to predict none of them, where
    it stays for hundreds of steps; with weights to the end, it would predict too much of them.
    """
    return 0.5 * max(0.0, 1 - progress / _BALANCED)


def batch_loss(logits: Tensor, batch: Batch, balance: float = 0.0) -> Tensor:
    """:func:`dice_cross_entropy` of what was drawn in a batch.

    Args:
        logits: (B, K, ...), of K classes, background included.
        batch: its labels (B, ...), the values that were drawn (``known``) and the pixels that nobody has labelled
            (``ignored``).
        balance: of the classes in the cross-entropy.
    """
    device = logits.device
    labels = on_device(batch.labels, device).long()
    known = None if batch.known is None else torch.from_numpy(batch.known[:, :logits.shape[1]]).to(device)
    weight = None if batch.ignored is None else 1 - torch.from_numpy(batch.ignored).to(device, torch.float32)
    return dice_cross_entropy(logits, labels, weight, known, balance)


def dice_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None, known: Tensor | None = None,
                       balance: float = 0.0) -> Tensor:
    """Dice over the whole batch, that of all processes, of the structures that it holds, plus cross-entropy; a scalar,
    in fp32.

    MONAI's DiceCELoss (``include_background=False, batch=True``) where the batch holds every structure.  It also counts
    a structure that the batch does not hold, by 1 whatever is predicted unless that is nearly nothing: with many small
    structures the quickest way down is then to predict none of them, where training stays.

    Args:
        logits: (B, K, ...), of K classes, background included.
        labels: (B, ...) int64, 0..K - 1.
        weight: (B, ...), >= 0, of each voxel; None for 1 everywhere.
        known: (B, K) bool, the classes that were drawn in each item; None for all.
        balance: 0..1, the cross-entropy of a class counts by its inverse frequency in the batch to this power, the mean
            over voxels being 1; 0: every voxel alike.
    """
    chances = logits.float().log_softmax(1)
    if known is not None:
        chances, labels = _merged(chances, labels, known)
    over = (0, *range(2, logits.ndim))
    weight = torch.ones_like(chances[:, 0]) if weight is None else weight
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1) * weight[:, None]
    counts = ranks.all_sum(truth.sum(over))
    entropy = F.nll_loss(chances, labels, _class_weights(counts, balance) if balance else None, reduction="none")
    where = weight[:, None] if known is None else weight[:, None] * _spread(known[:, 1:], logits.ndim)
    share = chances[:, 1:].exp()
    both, found = ranks.all_sum((share * truth[:, 1:]).sum(over)), ranks.all_sum((share * where).sum(over))
    held = counts[1:]
    missing = 1 - (2 * both + _SMOOTH) / (found + held + _SMOOTH)
    there = (held > 0).to(missing.dtype)
    dice = (missing * there).sum() / there.sum().clamp(min=1)
    return ranks.all_sum((entropy * weight).sum()) / ranks.all_sum(weight.sum()).clamp(min=1e-6) + dice


def _class_weights(counts: Tensor, power: float) -> Tensor:
    """(K,) weights of classes with so many voxels (K,); their mean over the voxels is 1."""
    each = counts.clamp(min=1).pow(-power)
    return each * counts.sum() / (each * counts).sum().clamp(min=1e-6)


def _spread(values: Tensor, dimensions: int) -> Tensor:
    """(B, C) values, with as many dimensions as the logits."""
    return values.reshape(*values.shape, *([1] * (dimensions - 2)))


def _merged(chances: Tensor, labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the probabilities, those of structures that were not drawn added to the background's; and the
    labels, 0 where they are of such a structure (so that what is labelled was drawn)."""
    one_of = ~known
    one_of[:, 0] = True
    background = chances.masked_fill(~_spread(one_of, chances.ndim), -torch.inf).logsumexp(1, keepdim=True)
    drawn = known.gather(1, labels.flatten(1)).reshape(labels.shape)
    return torch.cat([background, chances[:, 1:]], 1), torch.where(drawn, labels, 0)
