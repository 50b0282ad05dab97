"""Self-supervised pretraining as the loop trains it: a network, the heads of its methods, a weighted sum of losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.views import UnlabelledSlices, View, ViewBatch, hide_squares
from kaf.data.views3d import VolumePairs
from kaf.methods.base import Method, MethodInput
from kaf.methods.bim import Bim
from kaf.network.kafunet import Depth, Features
from kaf.runtime import ranks
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.settings.pretrain import MaeSettings
from kaf.training.monitors import collapse, embedding_figures

_DEPTHS: tuple[Depth, ...] = ("bottleneck", "decoder", "logits")
# Looks at a network (the averaged one) and at its heads after so many steps, and returns figures.
Look = Callable[[nn.Module, int], dict[str, float]]


class Pretrainer(nn.Module):
    """The network and the heads of its methods; the heads are thrown away in the end."""

    def __init__(self, network: nn.Module, methods: Mapping[str, Method], weights: Mapping[str, float]):
        super().__init__()
        self.network = network
        self.methods = nn.ModuleDict(methods)
        self.weights = dict(weights)
        self.names = sorted({name for method in methods.values() for name in method.views})
        self.depth: Depth = _DEPTHS[max(_DEPTHS.index(method.depth) for method in methods.values())]
        for name, part in network.named_children():
            part.requires_grad_(any(name in method.trains for method in methods.values()))

    def look(self, batch: ViewBatch, names: list[str], depth: Depth) -> dict[str, Features]:
        """The network's answer to the named views, computed as one batch."""
        views = [batch.views[name] for name in names]
        longest = max(view.mask.shape[1] for view in views)
        points = torch.cat([F.pad(view.keypoints, (0, 0, 0, longest - view.keypoints.shape[1])) for view in views])
        mask = torch.cat([F.pad(view.mask, (0, longest - view.mask.shape[1])) for view in views])
        image = torch.cat([view.image for view in views])
        image = image.contiguous(memory_format=torch.channels_last if image.ndim == 4 else torch.channels_last_3d)
        joint: Features = self.network(image, points, mask, until=depth)
        return {name: _part(joint, index, len(views), view) for index, (name, view) in
                enumerate(zip(names, views, strict=True))}

    def forward(self, batch: ViewBatch, progress: float, average: Pretrainer | None
                ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Weighted sum of the losses, all terms by name, and embeddings for the monitors."""
        teacher = None
        if average is not None and any(m.teacher for m in self._methods().values()):
            with torch.no_grad():
                teacher = average.look(batch, [n for n in self.names if n != "masked"], "bottleneck")
        scene = MethodInput(batch, self.look(batch, self.names, self.depth), progress, teacher)
        losses, terms, embedding = [], dict[str, Tensor](), None
        for name, method in self._methods().items():
            theirs = average._methods()[name] if average is not None else None
            outcome = method(scene, theirs)
            losses.append(self.weights[name] * outcome.loss)
            terms |= {f"{name}: {term}": value for term, value in outcome.terms.items()}
            embedding = outcome.embedding if embedding is None else embedding
        return torch.stack(losses).sum(), terms, embedding

    def _methods(self) -> dict[str, Method]:
        return {name: method for name, method in self.methods.items() if isinstance(method, Method)}

    def keep_clusters(self) -> int:
        """Leave BIM's first clustering in the network; returns its number of clusters, 0 without one."""
        bim = self._methods().get("bim")
        head = bim.kept() if isinstance(bim, Bim) else None
        if head is None:
            return 0
        self.network.clusters = head
        return head.out_channels

    @property
    def trained_modules(self) -> tuple[str, ...]:
        """The top-level modules of the network that learned something."""
        learned = {name for method in self._methods().values() for name in method.trains}
        learned |= {"clusters"} if hasattr(self.network, "clusters") else set()
        return tuple(name for name in ("encoder", "decoder", "head", "clusters") if name in learned)


def _part(joint: Features, index: int, count: int, view: View) -> Features:
    """The features of one of ``count`` views that were computed as one batch."""
    each, points = len(view.image), view.mask.shape[1]

    def own(values: Any) -> Any:
        if isinstance(values, list):
            return [own(value) for value in values]
        return values[index * each:(index + 1) * each] if isinstance(values, Tensor) and values.numel() else values

    features = Features(**{item.name: own(getattr(joint, item.name)) for item in fields(Features)})
    return replace(features, tokens=[tokens[:, :points] for tokens in features.tokens])


class PretrainingTask:
    """What :class:`Loop` trains: ``look`` is asked from time to time for figures and pictures."""

    def __init__(self, network: Pretrainer, place: DeviceChoice, slices: UnlabelledSlices | VolumePairs,
                 batch_size: int, mae: MaeSettings, look: Look | None = None, on_event: OnEvent = ignore):
        self.network: nn.Module = network
        self._pretrainer, self._place, self._slices, self._count = network, place, slices, batch_size
        self._mae, self._look, self._send = mae, look, on_event
        self._embedding: Tensor | None = None
        self._terms: dict[str, Tensor] = {}
        self._step = 0
        self._alarmed = ""

    def batch(self, step: int) -> tuple[int, ViewBatch]:
        return step, self.views(step)

    def views(self, step: int) -> ViewBatch:
        """This process's part of the batch of a step."""
        made = self._slices.batch(step, self._count, ranks.share(self._count))
        if "masked" in self._pretrainer.names:
            made.views["masked"] = hide_squares(made.views["anchor"], self._mae.hidden, self._mae.block, made.seeds)
        return made

    def loss(self, batch: tuple[int, ViewBatch], average: nn.Module, progress: float
             ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(average, Pretrainer)
        self._step, views = batch
        loss, self._terms, self._embedding = self._pretrainer(views.to(self._place.device), progress, average)
        return loss, self._terms

    def split(self, batch: tuple[int, ViewBatch], parts: int) -> list[tuple[int, ViewBatch]]:
        if not all(method.splits for method in self._pretrainer._methods().values()):
            return []
        return [(batch[0], part) for part in batch[1].split(parts)]

    def figures(self) -> dict[str, float]:
        """Figures of the last batch; the first time that they show a collapse, a warning."""
        figures = embedding_figures(self._embedding) if self._embedding is not None else {}
        use = {name.partition(": ")[2]: float(value) for name, value in self._terms.items()}
        alarm = collapse({**use, **figures}, self._step)
        if alarm and not self._alarmed:
            self._send(Message(alarm, "warning"))
        self._alarmed = alarm
        return figures

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self._look(network, self._step + 1) if self._look is not None and ranks.rank() == 0 else {}
