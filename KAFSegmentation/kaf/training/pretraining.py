"""Self-supervised pretraining as the loop trains it: student, EMA teacher, heads of the methods, sum of losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.needs import DRAWN_VIEWS
from kaf.data.views import UnlabelledSlices, View, ViewBatch
from kaf.data.views3d import VolumePairs
from kaf.methods.base import Method, MethodInput
from kaf.network.kafunet import Depth, Features
from kaf.runs.collapse import STEPS_BEFORE_ALARM, embedding_collapse
from kaf.runtime import ranks
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.training.monitors import embedding_figures

_DEPTHS: tuple[Depth, ...] = ("bottleneck", "decoder", "logits")
# Previews a network (the EMA one) with its heads after so many steps, and returns figures.
PreviewNetwork = Callable[[nn.Module, int], dict[str, float]]


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

    def features(self, batch: ViewBatch, names: list[str], depth: Depth) -> dict[str, Features]:
        """The network's features of the named views, computed as one batch."""
        views = [batch.views[name] for name in names]
        longest = max(view.mask.shape[1] for view in views)
        points = torch.cat([F.pad(view.keypoints, (0, 0, 0, longest - view.keypoints.shape[1])) for view in views])
        mask = torch.cat([F.pad(view.mask, (0, longest - view.mask.shape[1])) for view in views])
        image = torch.cat([view.image for view in views])
        image = image.contiguous(memory_format=torch.channels_last if image.ndim == 4 else torch.channels_last_3d)
        joint: Features = self.network(image, points, mask, until=depth)
        return {name: _part(joint, index, len(views), view) for index, (name, view) in
                enumerate(zip(names, views, strict=True))}

    def forward(self, batch: ViewBatch, progress: float, ema: Pretrainer | None
                ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Weighted sum of the losses, all terms by name, and embeddings for the monitors; ``ema`` is the teacher."""
        methods, teacher = self.each_method(), None
        if ema is not None and any(method.teacher for method in methods.values()):
            with torch.no_grad():
                teacher = ema.features(batch, [name for name in self.names if name in DRAWN_VIEWS], "bottleneck")
        given = MethodInput(batch, self.features(batch, self.names, self.depth), progress, teacher)
        losses, terms, embedding = [], dict[str, Tensor](), None
        for name, method in methods.items():
            output = method(given, ema.each_method()[name] if ema is not None else None)
            losses.append(self.weights[name] * output.loss)
            terms |= {f"{name}: {term}": value for term, value in output.terms.items()}
            embedding = output.embedding if embedding is None else embedding
        return torch.stack(losses).sum(), terms, embedding

    def each_method(self) -> dict[str, Method]:
        """The methods by name."""
        return {name: method for name, method in self.methods.items() if isinstance(method, Method)}

    def add_views(self, batch: ViewBatch) -> None:
        """Put the views into the batch that the methods make themselves."""
        for method in self.each_method().values():
            method.add_views(batch)

    def keep_clusters(self) -> int:
        """Leave the clusters of a method (BIM) in the network; returns their number, 0 without any."""
        heads = (method.kept_clusters() for method in self.each_method().values())
        head = next((head for head in heads if head is not None), None)
        if head is None:
            return 0
        self.network.clusters = head
        return head.out_channels

    @property
    def trained_modules(self) -> tuple[str, ...]:
        """The top-level modules of the network that learned something."""
        learned = {name for method in self.each_method().values() for name in method.trains}
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
    """What :class:`Loop` trains; ``preview`` is asked from time to time for figures and pictures."""

    def __init__(self, network: Pretrainer, place: DeviceChoice, slices: UnlabelledSlices | VolumePairs,
                 batch_size: int, preview: PreviewNetwork | None = None, on_event: OnEvent = ignore):
        self.network: nn.Module = network
        self._pretrainer, self._place, self._slices, self._count = network, place, slices, batch_size
        self._preview, self._send = preview, on_event
        self._embedding: Tensor | None = None
        self._terms: dict[str, Tensor] = {}
        self._step = 0
        self._collapsed = False

    def batch(self, step: int) -> tuple[int, ViewBatch]:
        return step, self.views(step)

    def views(self, step: int) -> ViewBatch:
        """This process's part of the batch of a step."""
        made = self._slices.batch(step, self._count, ranks.share(self._count))
        self._pretrainer.add_views(made)
        return made

    def loss(self, batch: tuple[int, ViewBatch], teacher: nn.Module, progress: float
             ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(teacher, Pretrainer)
        self._step, views = batch
        loss, self._terms, self._embedding = self._pretrainer(views.to(self._place.device), progress, teacher)
        return loss, self._terms

    def split(self, batch: tuple[int, ViewBatch], parts: int) -> list[tuple[int, ViewBatch]]:
        if not all(method.splits for method in self._pretrainer.each_method().values()):
            return []
        return [(batch[0], part) for part in batch[1].split(parts)]

    def figures(self) -> dict[str, float]:
        """Figures of the last batch; the first time that they show a collapse, a warning."""
        figures = embedding_figures(self._embedding) if self._embedding is not None else {}
        warning = self._collapse(figures)
        if warning is not None and not self._collapsed:
            self._send(warning)
        self._collapsed = warning is not None
        return figures

    def _collapse(self, figures: dict[str, float]) -> Message | None:
        if self._step < STEPS_BEFORE_ALARM:
            return None
        warnings = [embedding_collapse(figures)]
        for name, method in self._pretrainer.each_method().items():
            own = {key.partition(": ")[2]: float(value) for key, value in self._terms.items()
                   if key.startswith(f"{name}: ")}
            warnings.append(method.warning(own))
        return next((warning for warning in warnings if warning is not None), None)

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self._preview(network, self._step + 1) if self._preview is not None and ranks.rank() == 0 else {}
