"""PGL: two crops of one scan whose place is known have the same features in their overlap (arXiv 2011.12640, 4.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from kaf import ranks
from kaf.methods.align import overlap_points, sample
from kaf.methods.base import BatchNorm, Method, Outcome, Scene, bottleneck_width, unit
from kaf.network.kafunet import SIZE_MULTIPLE
from kaf.settings import NetworkSettings
from kaf.settings_pretrain import PglSettings


class PointHead(nn.Sequential):
    """Feature vectors (n, C) -> (n, width): linear, normalisation, ReLU, linear; a 1x1 convolution at points."""

    def __init__(self, channels: int, hidden: int, width: int):
        super().__init__(nn.Linear(channels, hidden), BatchNorm(hidden), nn.ReLU(), nn.Linear(hidden, width))


class Pgl(Method):
    """Mean over the points of the overlap of 2 - 2 cos(q(z1), z2'), both ways; z' is the teacher's, without gradient.

    Points are a regular grid over the box that both views reach (4.4); a view pair with too little overlap is left
    out.  The network's part is the bottleneck, so only the encoder learns.
    """

    views: ClassVar[tuple[str, ...]] = ("anchor", "again")
    aligned: ClassVar[bool] = True
    teacher: ClassVar[bool] = True

    def __init__(self, settings: PglSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        self.projector = PointHead(bottleneck_width(network), settings.hidden, settings.width)
        self.predictor = PointHead(settings.width, settings.hidden, settings.width)

    def forward(self, scene: Scene, teacher: Method | None = None) -> Outcome:
        assert isinstance(teacher, Pgl)
        assert scene.teacher is not None
        views = [scene.batch.views[name] for name in self.views]
        points = overlap_points(views[0], views[1], self.settings.points)
        places, there = points[:2], points[2]
        enough = there.float().mean(1) >= self.settings.least_overlap
        used = there & enough[:, None]
        mine = [self.predictor(self.projector(_at(scene.features[name].bottleneck, place, used)))
                for name, place in zip(self.views, places, strict=True)]
        with torch.no_grad():
            theirs = [teacher.projector(_at(scene.teacher[name].bottleneck, place, used))
                      for name, place in zip(self.views, places, strict=True)]
        apart = [point_discrepancy(mine[0], theirs[1]), point_discrepancy(mine[1], theirs[0])]
        total = sum((a.sum() for a in apart), start=torch.zeros((), device=used.device))
        loss = ranks.mean(total, total.new_tensor(sum(len(a) for a in apart)))
        spread = unit(theirs[0]).std(0).mean() if len(theirs[0]) > 1 else total.new_tensor(0.0)
        terms = {"discrepancy": loss.detach(), "spread of the target": spread, "overlap": there.float().mean()}
        whole = torch.stack([scene.features[name].bottleneck.float().mean((2, 3)) for name in self.views])
        return Outcome(loss, terms, whole.detach())


def _at(bottleneck: Tensor, places: Tensor, used: Tensor) -> Tensor:
    """(n, C) features at the points that are used."""
    return sample(bottleneck, places, SIZE_MULTIPLE)[used]


def point_discrepancy(prediction: Tensor, target: Tensor) -> Tensor:
    """(n,) squared distance of the normalised vectors of (n, D), which is 2 - 2 cos."""
    return (unit(prediction) - unit(target)).square().sum(-1)
