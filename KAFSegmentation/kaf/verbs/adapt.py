"""Adaptation: a few slices that a person corrected or drew, and the model learns them and does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kaf._version import __version__
from kaf.data.batches import LabelledSlices
from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice, overlap
from kaf.imaging.labels import plain_label
from kaf.imaging.volume import Volume, read_labels, scan_of
from kaf.inference.finished_slices import as_stored, finished_slices, keep_drawn, review_order
from kaf.inference.loaded_model import LoadedModel, volumes_ml
from kaf.inference.segmentation import Segmentation, segment_volume
from kaf.inference.slices import SlicePredictor, fold_norms, labels_of
from kaf.modelfile.card import Card, check_card, tidy_card
from kaf.modelfile.library import find_model
from kaf.modelfile.model import load_tensors, save_model
from kaf.modelfile.transfer import transfer
from kaf.network import build_network
from kaf.runtime.device_choice import DeviceChoice, choose_device
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.message_codes import STARTED_FROM
from kaf.settings.adapt import AdaptSettings
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import build
from kaf.settings.network import NetworkSettings
from kaf.settings.segment import SegmentSettings
from kaf.training.loop import Loop
from kaf.training.schedule import Schedule
from kaf.training.task import SegmentationTask

_OTHERS = 0.5  # largest share of draws from slices that the person has not finished
_BACK = 0.35  # largest share of the base weights in those of a correction
_KNOWN = 0.5  # Dice from which a new structure counts as one that the base model knows
_CORRECTION_RATE, _NEW_RATE = 5e-4, 1e-3
_REPEATS = 10  # of each finished slice in the list that is drawn from
# Other slices of the same scan differ by shape, hardly by pose or contrast.
_CORRECTION = AugmentationSettings(rotation=25, scale=1.15, flips=(False, False), elastic=0.5, intensity=0.5)
_NEW_STRUCTURE = AugmentationSettings(rotation=40, scale=1.25, flips=(False, False), elastic=0.5, intensity=0.7)


@dataclass(frozen=True)
class Adaptation:
    """The scan segmented by the adapted model, with the person's slices as drawn, and that model.

    finished, review: slices as the scan is stored, from 0; review goes from the most to the least uncertain one and
    leaves out the finished ones.
    """

    segmentation: Segmentation
    network: nn.Module
    card: Card
    finished: tuple[int, ...]
    review: tuple[int, ...]

    def save(self, path: Path, overwrite: bool = False) -> Card:
        """The adapted model as a file; the base model stays as it is."""
        return save_model(path, self.network, self.card, overwrite=overwrite)


def adapt(volume: Volume | str | Path, drawn: Volume | str | Path, settings: AdaptSettings,
          on_event: OnEvent = ignore, cache: dict[Any, Any] | None = None) -> Adaptation:
    """Fine-tune on the finished slices of ``drawn`` (labels on the grid of the volume), then segment all others.

    Without ``settings.labels`` the model's own structures are corrected; with them the model gets a new output
    for these structures and keeps what it knows about such scans.

    Raises:
        InputError: no finished slice, labels on another grid, or values that the model does not have.
    """
    volume = scan_of(volume, settings.frame, settings.series)
    drawn = drawn if isinstance(drawn, Volume) else read_labels(drawn)
    if drawn.voxels.shape != volume.shape or not np.allclose(drawn.affine, volume.affine, atol=1e-2):
        raise InputError(drawn.source or "labels", "do not lie on the grid of the scan",
                         "Export the segmentation with the scan as reference geometry.")
    place = choose_device(settings)
    base, tensors = load_tensors(find_model(settings.model))
    if base.network.get("dimensions", 2) == 3:
        raise InputError(f"model {base.name}", "is a 3-D model, and only 2-D models can be adapted",
                         "Choose a model that segments slice by slice.")
    card = _card(base, settings)
    check_card(tidy_card(card))
    allowed = {0, *card.label_names}
    foreign = sorted(set(np.unique(drawn.voxels).tolist()) - allowed)
    if foreign:
        raise InputError(drawn.source or "labels", f"contain the value {foreign[0]}, which is not a structure of "
                         f"{card.name}",
                         "Name the structures with `labels`, or use the model's own values.")
    network = _start(base, tensors, card, settings, on_event)
    ready = LoadedModel(network, card, place)
    prepared = ready.prepare(volume, torch.get_num_threads(), cache)
    finished = finished_slices(prepared.grid, drawn.voxels, settings.slices)
    case = CachedCase(volume.source or "scan", "scan", prepared.image, prepared.grid.labels_to_canonical(drawn.voxels),
                      prepared.keypoints, prepared.grid.spacing)
    on_event(Message(f"Learning from {len(finished)} slices for {settings.seconds:.0f} s on {place.reason}."))
    new = bool(settings.labels)
    guess = _Guess(np.zeros_like(case.labels), 0.0)
    if base.labels:  # weights that were only pretrained know no structure
        known = _start(base, tensors, base, settings.model_copy(update={"labels": {}}), ignore) if new else network
        guess = _guess(known, base, case, finished, place, new)
        if new and guess.right > _KNOWN:
            _hand_over(known, network, guess.meaning)
    network = _learn(network, case, finished, guess, card.slice_context, settings, place, on_event)
    wanted = SegmentSettings(model=settings.model, uncertainty=True, device=settings.device, threads=settings.threads,
                             precision=settings.precision)
    result = segment_volume(volume, LoadedModel(place.put(fold_norms(network)), card, place), wanted, on_event, cache)
    labels = keep_drawn(result.labels.voxels, drawn.voxels, prepared.grid, finished)
    result = replace(result, labels=Volume(labels, volume.affine, volume.source),
                     volumes_ml=volumes_ml(labels, volume.affine, card))
    review = review_order(result, prepared, finished)
    return Adaptation(result, network.cpu(), card, tuple(sorted(as_stored(prepared.grid, finished))),
                      tuple(as_stored(prepared.grid, review)))


def _card(base: Card, settings: AdaptSettings) -> Card:
    labels, network = base.labels, dict(base.network)
    if settings.labels:
        labels = tuple(plain_label(value, name) for value, name in sorted(settings.labels.items()))
        network["classes"] = max(settings.labels) + 1
    flips = {"augmentation": {"flips": base.recipe.get("augmentation", {}).get("flips", [])}}
    return replace(
        base, name=settings.name or f"{base.name}-adapted", version="1", labels=labels, network=network,
        description=f"Adapted from {base.name} on finished slices of one scan.", metrics={}, seed=settings.seed,
        code_version=__version__, recipe={"base": base.name, "base_digest": base.digest, **flips}, digest="",
        quality={}, card_digest="")


def _start(base: Card, tensors: dict[str, torch.Tensor], card: Card, settings: AdaptSettings, on_event: OnEvent
           ) -> nn.Module:
    torch.manual_seed(settings.seed)
    network = build_network(build(NetworkSettings, card.network, base.name))
    modules = ("encoder", "decoder", "clusters", *(() if settings.labels else ("head",)))
    report = transfer(network, tensors, base.name, modules, least=0.9)
    on_event(Message(f"Started from {base.name}: {report.text()}.", code=STARTED_FROM,
                     data={"model": base.name, "coverage": report.coverage}))
    return network


@dataclass(frozen=True)
class _Guess:
    """What the base model says about the scan, in the values of the new one: labels (S, H, W) uint8; right: its mean
    Dice on the finished slices, 0..1; meaning: the value of each of its own classes."""

    labels: np.ndarray
    right: float
    meaning: tuple[int, ...] = ()


def _guess(base: nn.Module, card: Card, case: CachedCase, finished: Sequence[int], place: DeviceChoice,
           new: bool) -> _Guess:
    """The base model's labels.  Where a structure is new to it, each of its own counts as the drawn one that most of
    its voxels on the finished slices lie in, or as none."""
    assert case.labels is not None
    labels = np.zeros_like(case.labels)
    classes = 0
    predictor = SlicePredictor(place.put(fold_norms(base)), place, card.slice_context, flips=card.knows_mirrors,
                               source=case.name)
    for indices, features in predictor(case.image, case.keypoints):
        labels[indices], classes = labels_of(features.logits), features.logits.shape[1]
    drawn = case.labels[list(finished)]
    meaning = np.arange(classes)
    if new:
        joint = np.zeros((classes, int(drawn.max()) + 1), int)
        np.add.at(joint, (labels[list(finished)].ravel(), drawn.ravel()), 1)
        meaning = joint.argmax(1)
        labels = meaning.astype(np.uint8)[labels]
    most = 1 + max(int(drawn.max()), int(labels.max()))
    scores = dice(*overlap(labels[list(finished)], drawn, most)) if most > 1 else np.zeros(1)
    right = 0.0 if np.isnan(scores).all() else float(np.nanmean(scores))
    return _Guess(labels, right, tuple(meaning.tolist()))


def _hand_over(base: nn.Module, network: nn.Module, meaning: Sequence[int]) -> None:
    """Start the output of each new structure from those of the base model's structures that mean it."""
    theirs, mine = base.get_submodule("head"), network.get_submodule("head")
    assert isinstance(theirs, nn.Conv2d)
    assert isinstance(mine, nn.Conv2d)
    with torch.no_grad():
        for value in set(meaning):
            same = [index for index, name in enumerate(meaning) if name == value]
            mine.weight[value] = theirs.weight[same if value else [0]].mean(0)


def _learn(network: nn.Module, case: CachedCase, finished: Sequence[int], guess: _Guess, context: int,
           settings: AdaptSettings, place: DeviceChoice, on_event: OnEvent) -> nn.Module:
    """Fine-tune; a correction then goes back part of the way to the base weights.

    Finished slices alone teach that every slice looks like them, and what the model knew about the others gets lost.
    So the others are drawn too, with the base model's own labels, and the weights are averaged with the base model's
    (WiSE-FT, Wortsman et al., CVPR 2022); both the less, the less the base model was right.
    """
    height, width = case.image.shape[1:]
    side = min(settings.patch, -(-max(height, width) // 16) * 16)
    new = bool(settings.labels)
    known = not new or guess.right > _KNOWN
    case, drawn = _with_guesses(case, finished, guess)
    slices = LabelledSlices([case], (side, side), context, _CORRECTION if known else _NEW_STRUCTURE, settings.seed,
                            slices=[(0, index) for index in drawn])
    task = SegmentationTask(network, place, slices, settings.batch, (), context)
    rate = settings.learning_rate or (_CORRECTION_RATE if known else _NEW_RATE)
    schedule = Schedule(rate, weight_decay=1e-2, clip=1.0, ema=0.98, seconds=settings.seconds, freeze_norms=known)
    before = {name: value.detach().clone() for name, value in network.state_dict().items()}
    learned = Loop(task, schedule, place, None, on_event=on_event).run()
    if not new:
        for name, value in learned.state_dict().items():
            if value.is_floating_point():
                value.lerp_(before[name].to(value.device), _BACK * guess.right)
    return learned


def _with_guesses(case: CachedCase, finished: Sequence[int], guess: _Guess) -> tuple[CachedCase, list[int]]:
    """The case with the guesses on all unfinished slices, and the slices to draw from."""
    assert case.labels is not None
    mine = list(finished)
    labels = guess.labels.copy()
    labels[mine] = case.labels[mine]
    others = sorted(set(range(len(labels))) - set(mine))
    share = _OTHERS * guess.right
    times = round(share / (1 - share) * len(mine) / max(1, len(others)) * _REPEATS)
    return replace(case, labels=labels), mine * _REPEATS + others * times
