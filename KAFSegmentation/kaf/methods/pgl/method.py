"""PGL: two crops of one scan whose place is known have the same features in their overlap (arXiv 2011.12640, 4.1).

As published it learns from volumes in 3-D; on slices it is the same with one axis less.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from kaf.data.needs import Needs
from kaf.methods.align import overlap_points, overlap_share, sample
from kaf.methods.base import LossOutput, Method, MethodInput, bottleneck_width, unit
from kaf.methods.pgl.info import INFO
from kaf.methods.pgl.settings import PglSettings
from kaf.network.batch_norm import BatchNorm1d
from kaf.network.kafunet import SIZE_MULTIPLE
from kaf.runtime import ranks
from kaf.settings.base import Settings
from kaf.settings.network import NetworkSettings
from kaf.settings.stages import total_stride

_LOOKED_AT = 256  # places, about, that the monitors get


class PointHead(nn.Sequential):
    """Feature vectors (n, C) -> (n, width): linear, normalisation, ReLU, linear; a 1x1 convolution at points."""

    def __init__(self, channels: int, hidden: int, width: int):
        super().__init__(nn.Linear(channels, hidden), BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, width))


class Pgl(Method):
    """Mean over the points of the overlap of 2 - 2 cos(q(z1), z2'), both ways; z' is the teacher's, without gradient.

    Points are a regular grid over the box that both views reach (4.4); a view pair with too little overlap is left
    out.  The network's part is the bottleneck, so only the encoder learns.  Terms: "discrepancy", the loss;
    "overlap", the share of points inside both views.  Monitors get the teacher's vectors at the same places of both
    views: their spread over places is what a collapse takes away (4.4).
    """

    views: ClassVar[tuple[str, ...]] = ("anchor", "again")
    trains: ClassVar[tuple[str, ...]] = INFO.trains
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    aligned: ClassVar[bool] = True
    teacher: ClassVar[bool] = True

    def __init__(self, settings: PglSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        self._strides = total_stride(network) if network.dimensions == 3 else None
        self.projector = PointHead(bottleneck_width(network), settings.hidden, settings.width)
        self.predictor = PointHead(settings.width, settings.hidden, settings.width)

    @classmethod
    def needs(cls, settings: Settings) -> Needs:
        assert isinstance(settings, PglSettings)
        return Needs(cls.views, cls.aligned, least_overlap=settings.least_overlap)

    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        assert isinstance(teacher, Pgl)
        assert given.teacher is not None
        views = [given.batch.views[name] for name in self.views]
        points = overlap_points(views[0], views[1], self.settings.points)
        places, there = points[:2], points[2]
        least = self.settings.least_overlap
        enough = (there.float().mean(1) >= least) & (overlap_share(views[0], views[1]) >= least)
        used = there & enough[:, None]
        mine = [self.predictor(self.projector(self._at(given.features[name].bottleneck, place, used)))
                for name, place in zip(self.views, places, strict=True)]
        with torch.no_grad():
            theirs = [teacher.projector(self._at(given.teacher[name].bottleneck, place, used))
                      for name, place in zip(self.views, places, strict=True)]
        apart = [point_discrepancy(mine[0], theirs[1]), point_discrepancy(mine[1], theirs[0])]
        total = sum((a.sum() for a in apart), start=torch.zeros((), device=used.device))
        loss = ranks.mean(total, total.new_tensor(sum(len(a) for a in apart)))
        terms = {"discrepancy": loss.detach(), "overlap": there.float().mean()}
        targets = torch.stack(theirs)
        return LossOutput(loss, terms, targets[:, ::max(1, targets.shape[1] // _LOOKED_AT)])

    def _at(self, bottleneck: Tensor, places: Tensor, used: Tensor) -> Tensor:
        """(n, C) features at the points that are used."""
        if self._strides is None:
            return sample(bottleneck, places, SIZE_MULTIPLE)[used]
        return sample(bottleneck, places, self._strides, 0.0)[used]


def point_discrepancy(prediction: Tensor, target: Tensor) -> Tensor:
    """(n,) squared distance of the normalised vectors of (n, D), which is 2 - 2 cos."""
    return (unit(prediction) - unit(target)).square().sum(-1)


METHOD = Pgl
