"""Monitors of pretraining: figures of the embeddings, which show a collapse (see ``kaf.runs.collapse``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SLICES_FOR_RANK = 8  # fewer have a low rank whatever they are


def embedding_figures(embedding: Tensor) -> dict[str, float]:
    """Figures of (V, B, D) embeddings, V views of B slices (PGL: locations); none where B < 2 or one is not finite.

    spread: standard deviation of the normalised embeddings over slices, relative to 1 / sqrt(D), that of random
    directions: 0 when all are the same.  effective rank: exp of the entropy of the singular values (Roy and
    Vetterli, 2007), 1..min(B - 1, D), of eight slices or more.  alignment, uniformity: Wang and Isola, ICML 2020:
    mean squared distance of the views of a slice, and log of the mean of exp(-2 d^2) over pairs of slices; lower is
    better.
    """
    if embedding.shape[1] < 2 or not bool(torch.isfinite(embedding).all()):
        return {}
    z = F.normalize(embedding.float(), dim=-1)
    first = z[0]
    figures = {"spread": float(first.std(0).mean() * z.shape[2] ** 0.5)}
    if len(first) >= _SLICES_FOR_RANK:
        values = torch.linalg.svdvals(first - first.mean(0))
        share = values / values.sum().clamp(min=1e-12)
        figures["effective rank"] = float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))
    if len(z) > 1:
        figures["alignment"] = float((z[0] - z[1]).square().sum(-1).mean())
    apart = torch.pdist(first).square()
    figures["uniformity"] = float(torch.exp(-2 * apart).mean().clamp(min=1e-12).log())
    return figures
