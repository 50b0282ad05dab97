"""Segmentation: a volume and a model in, labels on exactly the volume's grid out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.imaging.grid import Grid
from kaf.imaging.keypoints import Keypoints
from kaf.imaging.volume import Volume, scan_of
from kaf.inference.attention_maps import combine, keypoint_weights, scaled, spot_map
from kaf.inference.loaded_model import LoadedModel, load_for_inference, volumes_ml
from kaf.modelfile.card import Card
from kaf.modelfile.suitability import doubts
from kaf.network import Features
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.settings.segment import SegmentSettings

_SPOT = 6.0


@dataclass(frozen=True)
class Segmentation:
    """The result on the grid of the input.

    labels: uint8; volumes_ml: label value -> millilitres; uncertainty: float32 predictive entropy, 0 (sure) to
    1 (all labels equally likely), or None; attention: float32 keypoint saliency, 0..1, or None; clusters: uint8
    number of the cluster, from 1, or None; warnings: sentences; seconds: by stage.
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


def segment(volume: Volume | str | Path, settings: SegmentSettings, on_event: OnEvent = ignore,
            cache: dict[Any, Any] | None = None, ready: LoadedModel | None = None) -> Segmentation:
    """Segment a volume, or a file or DICOM folder.

    Args:
        cache: keeps the model and the prepared scan between calls.
        ready: a model in memory, in place of the one that the settings name.

    Raises:
        InputError, ModelError, ResourceError: each says what to do.
    """
    start = time.monotonic()
    volume = scan_of(volume, settings.frame, settings.series)
    read = time.monotonic()
    ready = ready or load_for_inference(settings, settings.model, cache)
    loaded = time.monotonic()
    box = None if settings.roi is None else roi_box(volume, settings.roi)
    prepared = ready.prepare(volume, torch.get_num_threads(), cache)
    warnings = [*volume.warnings, *doubts(volume, ready.card, settings.flips)]
    if settings.attention and not ready.attended_scales:
        warnings.append(f"{ready.card.name} has no keypoint attention: its attention map is empty.")
    if not (ready.card.labels or settings.clusters):
        raise InputError(f"model {ready.card.name}", "is pretrained weights, which segment nothing yet",
                         "Teach it a structure: `kaf finetune --init-from`, or draw one and adapt.")
    if settings.clusters and not ready.card.network.get("clusters"):
        raise InputError(f"model {ready.card.name}", "holds no clusters",
                         "Choose a model that was pretrained with the method bim.")
    for text in warnings:
        on_event(Message(text, "warning"))
    started = time.monotonic()
    slices = range(prepared.grid.n_slices) if box is None else slices_in(prepared.grid, box)
    collector = _Collector(prepared.grid, settings, ready.network)
    ticker = Ticker(on_event, "segmenting", len(slices))
    predictor = ready.predictor(settings, settings.flips, on_event, settings.overlap, volume.source)
    for part, features in predictor(prepared.image, prepared.keypoints, slices, settings.attention):
        collector.add(part, features, prepared.keypoints)
        ticker.update(ticker.done + len(part))
    labels = prepared.grid.place(collector.labels)
    if box is not None:
        _clear_outside(labels, box)
    keep_largest(labels, settings.largest_component)
    if not ready.card.labels:
        labels[:] = 0  # there are clusters only
    done = time.monotonic()
    return Segmentation(
        Volume(labels, volume.affine, volume.source), ready.card,
        volumes_ml(labels, volume.affine, ready.card),
        collector.map(collector.uncertainty, volume), collector.map(collector.attention, volume, rescale=True),
        collector.cluster_map(volume), tuple(warnings),
        {"read": read - start, "load": loaded - read, "prepare": started - loaded, "network": done - started},
        predictor.place.reason)


class _Collector:
    """Puts the slices together as they come, at one byte per voxel (and one float per map that was asked for)."""

    def __init__(self, grid: Grid, settings: SegmentSettings, network: nn.Module):
        self._grid, self._network = grid, network
        self.labels = np.zeros((grid.n_slices, *grid.native_size), np.uint8)
        empty = grid.canonical_shape
        self.uncertainty = np.zeros(empty, np.float32) if settings.uncertainty else None
        self.attention = np.zeros(empty, np.float32) if settings.attention else None
        self.clusters = np.zeros((grid.n_slices, *grid.native_size), np.uint8) if settings.clusters else None

    def add(self, part: list[int], features: Features, keypoints: Sequence[Keypoints]) -> None:
        self.labels[part] = self._grid.logits_to_input_slices(features.logits)
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


def entropy(logits: Tensor) -> Tensor:
    """(B, K, H, W) -> (B, H, W): entropy of the class probabilities divided by log K, 0 to 1."""
    log_p = F.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum(1) / float(np.log(logits.shape[1]))


def roi_box(volume: Volume, roi: Sequence[float]) -> np.ndarray:
    """(2, 3) int: first and last voxel (i, j, k) that the RAS box ``roi`` touches, inside the volume.

    A voxel reaches half its size around its centre, so that a box thinner than a slice still lies in one.
    """
    low, high = np.array(roi[:3]), np.array(roi[3:])
    if (high <= low).any():
        raise InputError("roi", f"the box {tuple(roi)} has a side of no length",
                         "Give R, A, S of the lower corner, then of the upper corner, in mm.")
    corners = np.array([[x, y, z, 1] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    ijk = (np.linalg.inv(volume.affine) @ corners.T)[:3].T
    last = np.array(volume.shape[::-1]) - 1
    first, final = np.floor(ijk.min(0) + 0.5 + 1e-6), np.ceil(ijk.max(0) - 0.5 - 1e-6)
    if (first > last).any() or (final < 0).any():
        raise InputError("roi", f"the box {tuple(roi)} lies outside the scan",
                         "Place the box on the scan; the numbers are RAS millimetres.")
    return np.stack([first.clip(0, last), final.clip(0, last)]).astype(int)


def slices_in(grid: Grid, box: np.ndarray) -> range:
    """The canonical slices that the voxel box touches."""
    ends = grid.points_to_canonical(box)[:, 0]
    return range(max(0, int(np.floor(ends.min()))), min(grid.n_slices, int(np.ceil(ends.max())) + 1))


def _clear_outside(labels: np.ndarray, box: np.ndarray) -> None:
    """Zero what lies outside the voxel box, in place."""
    (i0, j0, k0), (i1, j1, k1) = box
    labels[:k0], labels[k1 + 1:] = 0, 0
    labels[:, :j0], labels[:, j1 + 1:] = 0, 0
    labels[:, :, :i0], labels[:, :, i1 + 1:] = 0, 0


def keep_largest(labels: np.ndarray, values: Sequence[int]) -> None:
    """Keep only the largest face-connected part of each of these labels, in place."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labels) if values else []
    for value in values:
        if value > len(boxes) or boxes[value - 1] is None:
            continue
        view = labels[boxes[value - 1]]
        parts, count = ndimage.label(view == value)
        if count > 1:
            sizes = np.bincount(parts.reshape(-1))
            sizes[0] = 0
            view[(parts > 0) & (parts != sizes.argmax())] = 0
