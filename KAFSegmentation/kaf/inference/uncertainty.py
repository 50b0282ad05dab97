"""How unsure a network is of each pixel."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> (B, H, W): entropy of the class probabilities divided by log K, 0 to 1."""
    log_p = F.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum(1) / float(np.log(logits.shape[1]))
