"""BIM: clusters of a decoder map, consistent under transforms, with boundaries at image edges (MedIA 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.views import View
from kaf.methods.align import carried
from kaf.methods.base import LossOutput, Method, MethodInput, decoder_width
from kaf.methods.bim.info import INFO
from kaf.methods.bim.settings import BimSettings
from kaf.methods.sheet import Sheet
from kaf.network.batch_norm import at_least_float as fp32
from kaf.network.kafunet import Depth
from kaf.runs.collapse import collapse_warning
from kaf.runtime import ranks
from kaf.runtime.events import Message
from kaf.settings.network import NetworkSettings

_EPS = 1e-5
_LEAST_USE = 0.6  # of the entropy of evenly used clusters
_LEAST_INFORMATION = 0.002  # of the same: mutual information of pixel and cluster; 0.02 in an untrained network
_REMEDY = "Raise bim.balance or set bim.alpha to 0.5, or lower the learning rate."


def joint_distribution(first: Tensor, second: Tensor, known: Tensor) -> Tensor:
    """(B, C, h, w) posteriors twice and (B, h, w) bool -> P (C, C), symmetric, over the pixels of all ranks."""
    a, b = (p.permute(0, 2, 3, 1)[known] for p in (first, second))
    joint = ranks.mean(a.T @ b, known.sum())
    return (joint + joint.T) / 2


def regularised_information(joint: Tensor, alpha: float, balance: float) -> Tensor:
    """-sum Q log(P + eps) + lambda sum P (log m_i + log m_j) with Q = alpha I / C + (1 - alpha) P."""
    clusters = len(joint)
    target = alpha * torch.eye(clusters, dtype=joint.dtype, device=joint.device) / clusters + (1 - alpha) * joint
    rows, columns = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    marginal = (joint * ((rows + _EPS).log() + (columns + _EPS).log())).sum()
    return -(target * (joint + _EPS).log()).sum() + balance * marginal


def scaled(values: Tensor, known: Tensor) -> Tensor:
    """(B, h, w) shifted and scaled to 0..1 over the known pixels of each slice; 0 elsewhere."""
    low = values.masked_fill(~known, torch.inf).amin((1, 2), keepdim=True)
    high = values.masked_fill(~known, -torch.inf).amax((1, 2), keepdim=True)
    reach = (high - low).clamp(min=_EPS)
    return torch.where(known, (values - low.masked_fill(low.isinf(), 0)) / reach.nan_to_num(posinf=1, neginf=1), 0)


def edges(image: Tensor, known: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Edge strength 0..1 of (B, h, w) slices, (|grad x| scaled to 0..1)^gamma with one-pixel differences to the right
    and down, and where it is known: not in the last row and column, since nothing wraps around."""
    right, down = F.pad(image.diff(dim=2), (0, 1)), F.pad(image.diff(dim=1), (0, 0, 0, 1))
    whole = torch.zeros_like(known)
    whole[:, :-1, :-1] = known[:, :-1, :-1] & known[:, :-1, 1:] & known[:, 1:, :-1]
    return scaled((right.square() + down.square()).sqrt(), whole).clamp(min=0) ** gamma, whole


def entropy(posterior: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h, w) in nats."""
    return -(posterior * (posterior + _EPS).log()).sum(1)


def cluster_information(posterior: Tensor) -> Tensor:
    """Mutual information of pixel and cluster of (B, C, h, w), in nats: entropy of the mean minus mean of the entropy.
    0 where all pixels have the same posterior, however certain; log C at most."""
    return entropy(posterior.mean((0, 2, 3), keepdim=True)).mean() - entropy(posterior).mean()


def cross_correlation(first: Tensor, second: Tensor, known: Tensor, window: int) -> Tensor:
    """max(cov, eps)^2 / (var var) in a window around each pixel of (B, h, w) maps, mean over the pixels whose window
    is wholly known."""
    def local(values: Tensor) -> Tensor:
        return F.avg_pool2d(values[:, None], window, 1, window // 2, count_include_pad=False)[:, 0]

    covariance = local(first * second) - local(first) * local(second)
    variances = [(local(m * m) - local(m) ** 2).clamp(min=_EPS) for m in (first, second)]
    each = covariance.clamp(min=_EPS) ** 2 / (variances[0] * variances[1])
    whole = -F.max_pool2d(-known[:, None].to(each.dtype), window, 1, window // 2)[:, 0] > 0
    return ranks.mean((each * whole).sum(), whole.sum())


class Bim(Method):
    """Regularised information between the clusters of two views of a slice, and their borders on its edges.

    The posterior of the anchor is carried onto the other view by the known transform and compared with the
    posterior computed there, where both views lie inside the slice.  Encoder and decoder learn.

    Terms, means over heads: "information", the loss L_rr in nats; "boundary", minus the cross-correlation, -1..0,
    once it counts; "cluster use", entropy of the clusters' shares, 1 where all are used evenly; "cluster information",
    mutual information of pixel and cluster, 0 where all pixels are alike; both relative to log C; "certainty", the mean
    of the largest posterior, 1/C..1.
    """

    views: ClassVar[tuple[str, ...]] = ("anchor", "again")
    depth: ClassVar[Depth] = "decoder"
    trains: ClassVar[tuple[str, ...]] = INFO.trains
    aligned: ClassVar[bool] = True

    def __init__(self, settings: BimSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        width = decoder_width(network, settings.level)
        self.heads = nn.ModuleList(nn.Conv2d(width, settings.clusters, 1) for _ in range(settings.heads))

    def posteriors(self, decoder: list[Tensor]) -> list[Tensor]:
        """Per head the cluster probabilities (B, C, h, w) of decoder maps, coarse to fine, in fp32."""
        features = decoder[-1 - self.settings.level]
        return [fp32(head(features)).softmax(1) for head in self.heads]

    def kept_clusters(self) -> nn.Conv2d | None:
        """The first clustering; only that of the finest map has one cluster per pixel."""
        head = self.heads[0]
        return head if self.settings.level == 0 and isinstance(head, nn.Conv2d) else None

    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        s, views = self.settings, [given.batch.views[name] for name in self.views]
        with torch.autocast(views[0].image.device.type, enabled=False):
            first, second = (self.posteriors([fp32(m) for m in given.features[name].decoder]) for name in self.views)
            stride = 2 ** s.level
            information, boundary, used, shared = [], [], [], []
            with_edges = s.boundary_weight > 0 and given.progress >= s.boundary_after
            borders = [_edges_at(view, stride, first[0].shape[2:], s.gamma) for view in views] if with_edges else []
            for a, b in zip(first, second, strict=True):
                moved, known = carried(a, views[0], views[1], stride)
                joint = joint_distribution(moved, b, known)
                information.append(regularised_information(joint, s.alpha, s.balance))
                marginal = joint.sum(0)[None, :, None, None]
                used.append(entropy(marginal).mean() / math.log(s.clusters))
                shared.append(cluster_information(b) / math.log(s.clusters))
                for posterior, (edge, whole) in zip((a, b), borders, strict=bool(borders)):
                    boundary.append(-cross_correlation(edge, scaled(entropy(posterior), whole), whole, s.window))
        loss = torch.stack(information).mean()
        terms = {"information": loss.detach(), "cluster use": torch.stack(used).mean().detach(),
                 "cluster information": torch.stack(shared).mean().detach(),
                 "certainty": torch.stack([p.amax(1).mean() for p in second]).mean().detach()}
        if boundary:
            terms["boundary"] = torch.stack(boundary).mean().detach()
            loss = loss + s.boundary_weight * torch.stack(boundary).mean()
        return LossOutput(loss, terms)

    def warning(self, terms: Mapping[str, float]) -> Message | None:
        """Few clusters are used, or all pixels get the same ones."""
        if terms.get("cluster use", 1.0) < _LEAST_USE:
            return collapse_warning(f"few clusters are used (entropy {100 * terms['cluster use']:.0f} % of that of "
                                    f"clusters used evenly). {_REMEDY}", "cluster use", terms["cluster use"], True)
        if terms.get("cluster information", 1.0) < _LEAST_INFORMATION:
            return collapse_warning(f"all pixels get the same clusters, in equal shares. {_REMEDY}",
                                    "cluster information", terms["cluster information"], True)
        return None

    def picture(self, given: MethodInput) -> Sheet:
        from kaf.methods.bim.picture import clusters

        return clusters(self, given)


def _edges_at(view: View, stride: int, size: torch.Size, gamma: float) -> tuple[Tensor, Tensor]:
    """Edges of the view's own slice (the middle channel) on the cells of a map."""
    image = view.image[:, view.image.shape[1] // 2]
    below, right = size[0] * stride - image.shape[1], size[1] * stride - image.shape[2]
    image, known = F.pad(image, (0, right, 0, below)), F.pad(view.valid, (0, right, 0, below))
    if stride > 1:
        image = F.avg_pool2d(image[:, None], stride)[:, 0]
        known = F.avg_pool2d(known[:, None].float(), stride)[:, 0] == 1
    return edges(image, known, gamma)


METHOD = Bim
