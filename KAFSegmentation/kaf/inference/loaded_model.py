"""A model made ready for a volume: loaded once, folded, put in its place."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from kaf.imaging.prepare import Prepared, prepare
from kaf.imaging.volume import Volume
from kaf.inference.slices import SlicePredictor, fold_norms
from kaf.inference.volumes import VolumePredictor
from kaf.modelfile.card import Card
from kaf.modelfile.library import find_model
from kaf.modelfile.model import load_model
from kaf.quality.store import quality_of
from kaf.runtime.device_choice import DeviceChoice, choose_device
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.events import OnEvent, ignore
from kaf.settings.base import build
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.run import RunSettings


@dataclass(frozen=True)
class LoadedModel:
    """A network for inference, its card, and its calibration (as ``card.quality``, which it may replace)."""

    network: nn.Module
    card: Card
    place: DeviceChoice
    quality: dict[str, Any] = field(default_factory=dict)

    def prepare(self, volume: Volume, threads: int = 2, cache: dict[Any, Any] | None = None) -> Prepared:
        """The volume as the model sees it; ``cache`` keeps the last one."""
        card = self.card
        check_channels(volume, card)
        key = ("prepared", fingerprint(volume), card.card_digest)
        if cache is not None and key in cache:
            return cache[key]
        prepared = prepare(volume, card.spacing, card.slicing_axis,
                           build(NormalisationSettings, card.normalisation, card.name),
                           None if self.in_3d else build(KeypointSettings, card.keypoints, card.name),
                           threads=threads, more=[build(NormalisationSettings, channel["normalisation"], card.name)
                                                  for channel in card.channels[1:]])
        if cache is not None:
            for old in [k for k in cache if isinstance(k, tuple) and k[0] == "prepared"]:
                del cache[old]
            cache[key] = prepared
        return prepared

    @property
    def in_3d(self) -> bool:
        """Whether the network sees patches of the volume rather than slices."""
        return bool(self.card.network.get("dimensions", 2) == 3)

    @property
    def attended_scales(self) -> int:
        """How many scales of the network have keypoint attention; 0 for one without keypoints."""
        network = self.card.network
        if network["kind"] != "kaf" or network["fusion"] != "keypoints" or not network["blocks"]:
            return 0
        return sum(network["scales"])

    def predictor(self, settings: RunSettings, flips: bool = False, on_event: OnEvent = ignore, overlap: float = 0.5,
                  source: str = "") -> SlicePredictor:
        """The network over a volume; ``overlap`` of patches, 0..1, is for 3-D networks; ``source`` names the scan."""
        if self.in_3d:
            slices, rows, columns = self.card.network.get("patch") or VolumePredictor.patch
            return VolumePredictor(self.network, self.place, 0, settings.batch, flips, on_event, source,
                                   (slices, rows, columns), overlap)
        return SlicePredictor(self.network, self.place, self.card.slice_context, settings.batch, flips, on_event,
                              source)


def fingerprint(volume: Volume) -> tuple[Any, ...]:
    """Tells volumes apart by source, geometry and every voxel: 0.1 s for a large CT, far less than preparing it."""
    voxels = np.ascontiguousarray(volume.voxels)
    more = [zlib.crc32(np.ascontiguousarray(channel).reshape(-1).data) for channel in volume.more]
    return (volume.source, voxels.shape, voxels.dtype.str, volume.affine.tobytes(),
            zlib.crc32(voxels.reshape(-1).data), *more)


def check_channels(volume: Volume, card: Card) -> None:
    """Whether a scan has the channels that a model sees.

    Raises:
        InputError: it has more or fewer.
    """
    wanted, given = max(1, len(card.channels)), 1 + len(volume.more)
    if wanted == given:
        return
    names = f" ({', '.join(card.channel_names)})" if card.channels else ""
    raise InputError(volume.source or "the scan", f"has {given} channel{'s' * (given > 1)}, and {card.name} sees "
                     f"{wanted}{names}", "Give one scan for each channel of the model, on the same voxels."
                     if card.channels else "Give one scan only.")


def load_for_inference(settings: RunSettings, model: str, cache: dict[Any, Any] | None = None,
                       channels: bool = False) -> LoadedModel:
    """The model of this name or path, ready; taken from ``cache`` while its file is unchanged.

    Args:
        channels: whether the caller can give a model several channels.

    Raises:
        ModelError: the model sees several channels, and the caller has one.
    """
    path = find_model(model)
    place = choose_device(settings)
    stamp = path.stat()
    key = ("model", str(path.resolve()), stamp.st_mtime_ns, stamp.st_size, str(place.device))
    if cache is not None and key in cache:
        network, card = cache[key]
    else:
        network, card = load_model(path)
        network = place.put(fold_norms(network))
        if cache is not None:
            for old in [k for k in cache if isinstance(k, tuple) and k[0] == "model"]:
                del cache[old]  # one warm model at a time
            cache[key] = network, card
    if card.channels and not channels:
        raise ModelError(f"model {card.name}", f"sees {len(card.channels)} channels at once "
                         f"({', '.join(card.channel_names)}), which this command cannot give it",
                         "Segment with it (`kaf segment`), or choose a model of one channel.")
    return LoadedModel(network, card, place, quality_of(path, card))


def volumes_ml(labels: np.ndarray, affine: np.ndarray, card: Card) -> dict[int, float]:
    """Label value -> millilitres, from the voxels (uint8) on a grid of this affine."""
    counts = np.bincount(labels.reshape(-1), minlength=256)
    voxel = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    return {label.value: float(counts[label.value]) * voxel for label in card.labels}
