"""What a self-supervised method is: the views it needs, how deep it looks, its heads, its loss, its picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.needs import Needs
from kaf.data.views import ViewBatch
from kaf.methods.sheet import Sheet
from kaf.network.batch_norm import at_least_float as fp32
from kaf.network.kafunet import Depth, Features
from kaf.runtime.events import Message
from kaf.settings.base import Settings
from kaf.settings.network import NetworkSettings
from kaf.settings.stages import widths


@dataclass
class MethodInput:
    """What a method's loss is computed from.

    batch: the views; features: of the student network, per view; progress: of the run, 0..1; teacher: features of the
    EMA teacher, per view and without gradient, for methods that need them.
    """

    batch: ViewBatch
    features: dict[str, Features]
    progress: float
    teacher: dict[str, Features] | None = None


@dataclass
class LossOutput:
    """A scalar loss, its named terms, and (V, B, D) embeddings of V views for the monitors."""

    loss: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None


class Method(nn.Module, ABC):
    """Base of the methods; what one needs is declared on its class.

    views: those that the network must see; depth: how far it must compute; trains: the top-level modules of the
    network that get a gradient, which is what fine-tuning takes over; dimensions: of the networks that it can train;
    aligned: ``anchor`` and ``again`` need exact geometry; teacher: features of the EMA teacher are needed; splits: the
    loss is a mean over slices, so that a batch may be taken in parts when memory is short.

    Args:
        settings: those of the method.
        network: those of the network, for the widths of the heads.

    Raises:
        ValueError: the method does not go with this network.
    """

    views: ClassVar[tuple[str, ...]] = ()
    depth: ClassVar[Depth] = "bottleneck"
    trains: ClassVar[tuple[str, ...]] = ("encoder",)
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    aligned: ClassVar[bool] = False
    teacher: ClassVar[bool] = False
    splits: ClassVar[bool] = False

    def __init__(self, settings: Any, network: NetworkSettings):
        super().__init__()

    @classmethod
    def needs(cls, settings: Settings) -> Needs:
        """What it needs of the data, with these settings."""
        return Needs(cls.views, cls.aligned)

    @abstractmethod
    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        """The loss of a batch; ``teacher`` holds the EMA of this method's heads."""

    def add_views(self, batch: ViewBatch) -> None:
        """Put views that the method makes itself into the batch; called in a background thread, on the CPU."""

    def warning(self, terms: Mapping[str, float]) -> Message | None:
        """A warning where the method's own loss terms show a collapse, besides that of the embeddings."""
        return None

    def picture(self, given: MethodInput) -> Sheet | None:
        """What the network has learned, for a person to look at."""
        return None

    def kept_clusters(self) -> nn.Conv2d | None:
        """A head over the finest decoder map that stays with the network, as its clusters."""
        return None


def bottleneck_width(network: NetworkSettings) -> int:
    """Channels of ``Features.bottleneck``."""
    if network.dimensions == 3:
        return widths(network)[-1]
    return 16 * network.resolved_decoder_width


def decoder_width(network: NetworkSettings, level: int) -> int:
    """Channels of the decoder map ``level`` (0 finest), ``Features.decoder[-1 - level]``."""
    return int(network.resolved_decoder_width * 2 ** level)


def mean_of_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, N, D) -> (B, D), the mean over real keypoints; zero where there is none."""
    weight = mask[..., None].to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1)


def unit(values: Tensor, dim: int = -1) -> Tensor:
    """Vectors of length one, in fp32 at least."""
    return F.normalize(fp32(values), dim=dim)
