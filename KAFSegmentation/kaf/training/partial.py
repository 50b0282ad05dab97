"""Learning and validating where not every structure was drawn in every case, and some voxels by nobody.

Shi et al., Marginal loss and exclusion loss for partially supervised multi-organ segmentation, Medical Image Analysis
70:101979, 2021: a voxel that is not labelled as one of the drawn structures is background or any structure that was not
drawn, so that their probabilities are added.  Dice counts the drawn structures only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaf.data.batches import Batch
from kaf.data.cache import CachedCase
from kaf.evaluation.dice import overlap

_SMOOTH = 1e-5


def is_partial(batch: Batch) -> bool:
    """Whether a batch holds anything that was not drawn."""
    return batch.known is not None or batch.ignored is not None


def marginal_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy and Dice of what was drawn in a batch; a scalar, in fp32.

    Args:
        logits: (B, K, ...), of K classes, background included.
        batch: its labels (B, ...), the values that were drawn (``known``) and the pixels that nobody has labelled
            (``ignored``).
    """
    logits = logits.float()
    device, classes = logits.device, logits.shape[1]
    labels = torch.from_numpy(batch.labels).to(device, torch.long)
    known = torch.ones(len(labels), classes, dtype=torch.bool, device=device)
    if batch.known is not None:
        known = torch.from_numpy(batch.known[:, :classes]).to(device)
    weight = torch.ones_like(labels, dtype=logits.dtype)
    if batch.ignored is not None:
        weight = 1 - torch.from_numpy(batch.ignored).to(device, logits.dtype)
    merged, target = _merged(logits, labels, known)
    entropy = -merged.gather(1, target[:, None])[:, 0]
    entropy = (entropy * weight).sum() / weight.sum().clamp(min=1e-6)
    return entropy + _dice(merged.exp(), target, known, weight)


def _merged(logits: Tensor, labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the probabilities, those of structures that were not drawn added to the background's; and the
    labels, 0 where they are of such a structure."""
    chances = logits.log_softmax(1)
    one_of = ~known
    one_of[:, 0] = True
    one_of = one_of.reshape(*one_of.shape, *([1] * (logits.ndim - 2)))
    background = chances.masked_fill(~one_of, -torch.inf).logsumexp(1, keepdim=True)
    drawn = known.gather(1, labels.flatten(1)).reshape(labels.shape)
    return torch.cat([background, chances[:, 1:]], 1), torch.where(drawn, labels, 0)


def _dice(share: Tensor, target: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of the structures that the batch holds, each over the patches in which it was drawn."""
    where = weight[:, None] * known[:, 1:].reshape(len(known), -1, *([1] * (weight.ndim - 1)))
    truth = torch.nn.functional.one_hot(target, share.shape[1]).movedim(-1, 1)[:, 1:] * where
    over = (0, *range(2, share.ndim))
    both, held = (share[:, 1:] * truth).sum(over), truth.sum(over)
    missing = 1 - (2 * both + _SMOOTH) / ((share[:, 1:] * where).sum(over) + held + _SMOOTH)
    there = (held > 0).to(missing.dtype)
    return (missing * there).sum() / there.sum().clamp(min=1)


def drawn_overlap(case: CachedCase, found: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """:func:`kaf.evaluation.dice.overlap` of a case with ``found`` (S, H, W), of what was drawn: pixels that nobody has
    labelled do not count, and structures that were not drawn have no voxel on either side."""
    assert case.labels is not None
    if case.ignored is not None:
        found = np.where(case.ignored, 0, found)
    inside, sizes = overlap(found, np.asarray(case.labels), classes)
    if case.annotated is None:
        return inside, sizes
    known = [value in case.annotated for value in range(1, classes)]
    return np.where(known, inside, 0), np.where(known, sizes, 0)
