"""Segmentation of a volume by a loaded model: labels, and maps if asked for, on exactly the volume's grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from kaf.imaging.channels import first_channel
from kaf.imaging.grid import Grid
from kaf.imaging.keypoints import Keypoints
from kaf.imaging.volume import Volume
from kaf.inference.attention_maps import combine, keypoint_weights, scaled, spot_map
from kaf.inference.loaded_model import LoadedModel, volumes_ml
from kaf.inference.region import clear_outside, keep_largest, roi_box, slices_in
from kaf.inference.uncertainty import entropy
from kaf.modelfile.card import Card
from kaf.modelfile.suitability import doubts
from kaf.network import Features
from kaf.quality.expected import Expected, ExpectedSums
from kaf.quality.familiarity import MeanEmbedding, distance, scan_features
from kaf.quality.verdict import QualityReport, quality_report
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.runtime.message_codes import DOUBTFUL_STRUCTURES
from kaf.settings.segment import SegmentSettings

_SPOT = 6.0


@dataclass(frozen=True)
class Segmentation:
    """The result on the grid of the input.

    labels: uint8; volumes_ml: label value -> millilitres; uncertainty: float32 predictive entropy, 0 (sure) to
    1 (all labels equally likely), or None; attention: float32 keypoint saliency, 0..1, or None; clusters: uint8
    number of the cluster, from 1, or None; warnings: sentences; seconds: by stage; quality: the Dice that the model
    predicts of its structures, None for a model without any; expected, scan: the sums and the features of the scan
    (:mod:`kaf.quality.familiarity`) that it was computed from.
    """

    labels: Volume
    card: Card
    volumes_ml: dict[int, float]
    uncertainty: Volume | None = None
    attention: Volume | None = None
    clusters: Volume | None = None
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    place: str = ""
    quality: QualityReport | None = None
    expected: Expected | None = None
    scan: dict[str, np.ndarray] = field(default_factory=dict)


def segment_volume(volume: Volume, model: LoadedModel, settings: SegmentSettings, on_event: OnEvent = ignore,
                   cache: dict[Any, Any] | None = None) -> Segmentation:
    """Segment a volume, whose voxels are finite, by a model in memory; ``settings.model`` is not looked at.

    Args:
        cache: keeps the prepared scan between calls.

    Raises:
        InputError: a region outside the scan, or a model that has not what is asked for.
        ResourceError: memory ran out.
    """
    begun = time.monotonic()
    _check_outputs(model.card, settings)
    box = None if settings.roi is None else roi_box(volume, settings.roi)
    prepared = model.prepare(volume, torch.get_num_threads(), cache)
    warnings = [*volume.warnings, *doubts(volume, model.card, settings.flips)]
    if settings.attention and not model.attended_scales:
        warnings.append(f"{model.card.name} has no keypoint attention: its attention map is empty.")
    for text in warnings:
        on_event(Message(text, "warning"))
    started = time.monotonic()
    slices = range(prepared.grid.n_slices) if box is None else slices_in(prepared.grid, box)
    collector = _Collector(prepared.grid, settings, model.network, prepared.image, model.card.network["classes"])
    ticker = Ticker(on_event, "segmenting", len(slices))
    predictor = model.predictor(settings, settings.flips, on_event, settings.overlap, volume.source)
    for part, features in predictor(prepared.image, prepared.keypoints, slices, settings.attention):
        collector.add(part, features, prepared.keypoints)
        ticker.update(ticker.done + len(part))
    labels = prepared.grid.place(collector.labels)
    if box is not None:
        clear_outside(labels, box)
    keep_largest(labels, settings.largest_component)
    if not model.card.labels:
        labels[:] = 0  # there are clusters only
    scan = scan_features(first_channel(prepared.image), prepared.grid.spacing, collector.embedding.result())
    quality = _quality(collector, prepared.grid, model, scan) if model.card.labels else None
    if quality is not None and (text := quality.warning):
        warnings.append(text)
        on_event(Message(text, "warning", code=DOUBTFUL_STRUCTURES, data={"structures": quality.doubtful}))
    done = time.monotonic()
    return Segmentation(
        Volume(labels, volume.affine, volume.source), model.card,
        volumes_ml(labels, volume.affine, model.card),
        collector.map(collector.uncertainty, volume), collector.map(collector.attention, volume, rescale=True),
        collector.cluster_map(volume), tuple(warnings),
        {"prepare": started - begun, "network": done - started}, predictor.place.reason, quality,
        collector.expected.result(), scan)


def _quality(collector: _Collector, grid: Grid, model: LoadedModel, scan: dict[str, np.ndarray]) -> QualityReport:
    """What the model predicts of its result, with the margins that go with a scan at this distance from its own."""
    quality = model.quality or model.card.quality
    found = distance(quality.get("training", {}), scan)
    stored = [grid.n_slices - 1 - index if grid.flipped[0] else index for index in range(grid.n_slices)]
    return quality_report(collector.expected.result(), model.card, quality, found, stored)


def _check_outputs(card: Card, settings: SegmentSettings) -> None:
    """Whether the model has outputs for what is asked for."""
    if not (card.labels or settings.clusters):
        raise InputError(f"model {card.name}", "holds pretrained weights only, which cannot segment yet",
                         "Fine-tune it (`kaf finetune --init-from`), or adapt it to structures that you have drawn.")
    if settings.clusters and not card.network.get("clusters"):
        raise InputError(f"model {card.name}", "has no clusters",
                         "Choose a model that was pretrained with the method bim.")


class _Collector:
    """Puts the slices together as they come, at one byte per voxel (and one float per map that was asked for)."""

    def __init__(self, grid: Grid, settings: SegmentSettings, network: nn.Module, image: np.ndarray, classes: int):
        self._grid, self._network = grid, network
        self.expected, self.embedding = ExpectedSums(grid.n_slices, classes), MeanEmbedding(first_channel(image))
        self.labels = np.zeros((grid.n_slices, *grid.native_size), np.uint8)
        empty = grid.canonical_shape
        self.uncertainty = np.zeros(empty, np.float32) if settings.uncertainty else None
        self.attention = np.zeros(empty, np.float32) if settings.attention else None
        self.clusters = np.zeros((grid.n_slices, *grid.native_size), np.uint8) if settings.clusters else None

    def add(self, part: list[int], features: Features, keypoints: Sequence[Keypoints]) -> None:
        self.labels[part] = self._grid.logits_to_input_slices(features.logits)
        self.expected.add(part, features.logits)
        self.embedding.add(part, features.bottleneck)
        if self.uncertainty is not None:
            self.uncertainty[part] = entropy(features.logits).cpu().numpy()
        if self.clusters is not None:
            height, width = features.logits.shape[2:]
            with torch.inference_mode():
                scores = self._network.get_submodule("clusters")(features.decoder[-1].float())[:, :, :height, :width]
            self.clusters[part] = self._grid.logits_to_input_slices(scores) + 1
        if self.attention is not None and features.attention:
            for row, index in enumerate(part):
                points = keypoints[index]
                weights = keypoint_weights(combine(features.attention, row, len(points)), "saliency")
                self.attention[index] = spot_map(points.positions, weights, self._grid.size, _SPOT)

    def cluster_map(self, volume: Volume) -> Volume | None:
        if self.clusters is None:
            return None
        return Volume(self._grid.place(self.clusters), volume.affine, volume.source)

    def map(self, values: np.ndarray | None, volume: Volume, rescale: bool = False) -> Volume | None:
        if values is None:
            return None
        return Volume(self._grid.map_to_input(scaled(values) if rescale else values), volume.affine, volume.source)
