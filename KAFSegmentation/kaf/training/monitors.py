"""Is a representation alive?  Figures of embeddings, and what they mean in words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS_BEFORE_ALARM = 50
_LEAST_SPREAD = 0.1  # of 1 / sqrt(width), which is that of directions drawn at random
_LEAST_RANK = 2.0
_SLICES_FOR_RANK = 8  # fewer have a low rank whatever they are
_LEAST_USE = 0.6  # of the entropy of evenly used clusters
_LEAST_TOLD = 0.002  # of the same: what a pixel tells about its cluster; 0.02 in a network that has just begun
_REMEDY = "Lower the learning rate, take a larger batch, or add another method."
_CLUSTER_REMEDY = "Raise bim.balance or set bim.alpha to 0.5, or lower the learning rate."


def embedding_figures(embedding: Tensor) -> dict[str, float]:
    """Figures of (V, B, D) embeddings, V views of B slices (for PGL places); none of fewer than two or of no numbers.

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


def collapse(figures: dict[str, float], step: int) -> str:
    """A sentence when the network has stopped telling slices apart; empty when all is well."""
    if step < _STEPS_BEFORE_ALARM:
        return ""
    if figures.get("spread", 1.0) < _LEAST_SPREAD:
        return ("Collapse: all slices, or places, get nearly the same embedding (spread "
                f"{figures['spread']:.3f} of that of random directions). {_REMEDY}")
    if figures.get("effective rank", _LEAST_RANK) < _LEAST_RANK:
        return (f"Collapse: the embeddings vary along one direction only (effective rank "
                f"{figures['effective rank']:.1f}). {_REMEDY}")
    if figures.get("cluster use", 1.0) < _LEAST_USE:
        return (f"Collapse: few clusters are used (entropy {100 * figures['cluster use']:.0f} % of evenly used ones). "
                f"{_CLUSTER_REMEDY}")
    if figures.get("cluster information", 1.0) < _LEAST_TOLD:
        return f"Collapse: all pixels get the same clusters, in equal shares. {_CLUSTER_REMEDY}"
    return ""
