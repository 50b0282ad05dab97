"""What a self-supervised method is: the views it wants, how deep it looks, its heads and its loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf import ranks
from kaf.data.views import ViewBatch
from kaf.network.kafunet import Depth, Features
from kaf.settings import NetworkSettings, Settings


@dataclass
class Scene:
    """What a method's loss looks at.

    batch: the views; features: the network's answer per view; progress: 0..1 of the run; teacher: the moving
    average's answer per view, without gradient, for methods that want one.
    """

    batch: ViewBatch
    features: dict[str, Features]
    progress: float
    teacher: dict[str, Features] | None = None


@dataclass
class Outcome:
    """A scalar loss, its named terms, and (V, B, D) embeddings of V views that monitors look at."""

    loss: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None


class Method(nn.Module):
    """Base of the methods.

    views: those that the network must see; depth: how far it must compute; trains: the modules of the network that
    get a gradient, which is what fine-tuning takes over; aligned, matches, teacher: what else it needs; splits: the
    loss is a mean over slices, so that a batch may be taken in parts when memory is short.
    """

    views: ClassVar[tuple[str, ...]] = ()
    depth: ClassVar[Depth] = "bottleneck"
    trains: ClassVar[tuple[str, ...]] = ("encoder",)
    aligned: ClassVar[bool] = False
    matches: ClassVar[bool] = False
    teacher: ClassVar[bool] = False
    splits: ClassVar[bool] = False

    def __init__(self, settings: Settings, network: NetworkSettings):
        super().__init__()

    def forward(self, scene: Scene, teacher: Method | None = None) -> Outcome:
        """The loss of a batch; ``teacher`` is the moving average of this method's heads."""
        raise NotImplementedError


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, C) over the joint batch of all processes."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or ranks.world() == 1:
            return super().forward(values)
        joint = super().forward(ranks.all_gather(values))
        return joint[ranks.share(len(joint))]


def bottleneck_width(network: NetworkSettings) -> int:
    """Channels of ``Features.bottleneck``."""
    return 16 * network.resolved_decoder_width


def decoder_width(network: NetworkSettings, level: int) -> int:
    """Channels of the decoder map ``level`` (0 finest), ``Features.decoder[-1 - level]``."""
    return int(network.resolved_decoder_width * 2 ** level)


def mean_of_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, N, D) -> (B, D), the mean over real keypoints; zero where there is none."""
    weight = mask[..., None].to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1)


def unit(values: Tensor, dim: int = -1) -> Tensor:
    """fp32 vectors of length one."""
    return F.normalize(values.float(), dim=dim)


def fp32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
