"""What a person has finished, in the slices that the memory compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kaf.imaging.grid import canonical_grid
from kaf.imaging.prepare import Prepared, prepare
from kaf.imaging.volume import Volume
from kaf.inference.finished_slices import finished_slices
from kaf.inference.loaded_model import LoadedModel, fingerprint
from kaf.memory.completion import Drawn
from kaf.memory.marks import Click, Marks, in_canonical, mark
from kaf.memory.model_choice import working_spacing
from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError
from kaf.settings.base import build
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.propagate import PropagateSettings

_PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class Task:
    """The scan as the memory sees it, what is finished, the label values in the order of the classes 1, 2, ..., and
    the voxels that are known beside the finished slices."""

    scan: Prepared
    drawn: Drawn
    values: tuple[int, ...]
    marks: Marks | None


def task_of(volume: Volume, drawn: Volume, settings: PropagateSettings, model: LoadedModel, cache: dict[Any, Any] | None
            ) -> Task:
    """From the labels on the grid of the scan and the settings; ``cache`` keeps the prepared scan.

    Raises:
        InputError: nothing is finished, no finished slice holds a structure, or a slice or a click is not in the scan.
    """
    values = _values(drawn, settings)
    plane = _plane(volume, drawn, settings, model.card)
    scan = _prepared(volume, model, plane, working_spacing(volume, model.card, plane, values, settings.labels), cache)
    grid = scan.grid
    named = {name: tuple(getattr(settings, name)) for name in _PLANES}
    mine = (*settings.slices, *named.pop(plane))
    clicks = [Click((right, anterior, superior), value) for right, anterior, superior, value in settings.clicks]
    finished: tuple[int, ...] = ()
    nothing = bool(settings.memory or clicks) and not drawn.voxels.any()
    if mine or not (any(named.values()) or nothing):
        finished = finished_slices(grid, drawn.voxels, mine)
    marks = mark(grid, drawn.voxels, finished, named, clicks, settings.click_radius)
    table = np.zeros(256, np.uint8)
    table[list(values)] = np.arange(1, len(values) + 1)
    labels = table[grid.labels_to_canonical(drawn.voxels, finished)]
    partly = {} if marks is None else {number: (table[part], known)
                                       for number, (part, known) in in_canonical(grid, marks, finished).items()}
    told = settings.memory or (clicks and settings.labels)  # a click of 0 corrects what the model finds
    if not told and not labels.any() and not any((part * known).any() for part, known in partly.values()):
        raise InputError(drawn.source or "labels", "hold no structure in the finished slices",
                         "Draw the structure in at least one of them.")
    return Task(scan, Drawn(finished, labels, len(values) + 1, partly), values, marks)


def _values(drawn: Volume, settings: PropagateSettings) -> tuple[int, ...]:
    """The label values that may be told apart, ascending."""
    found = {int(value) for value in np.unique(drawn.voxels)} | set(settings.labels)
    found |= {click[3] for click in settings.clicks}
    wrong = [value for value in found if not 0 <= value <= 255]
    if wrong:
        raise InputError("clicks", f"{wrong[0]} is not a label value", "Labels are 1 to 255, and 0 is the background.")
    return tuple(sorted(found - {0}))


def _plane(volume: Volume, drawn: Volume, settings: PropagateSettings, card: Card) -> str:
    """The plane of the finished slices: as asked, or that of the model unless clearly drawn in another one."""
    if settings.axis != "auto":
        return settings.axis
    own = canonical_grid(volume.shape, volume.affine, None, card.slicing_axis).plane
    if settings.slices:
        return own
    named = {name: len(getattr(settings, name)) for name in _PLANES}
    if any(named.values()):
        return own if named[own] else max(_PLANES, key=lambda name: named[name])
    held = {name: _count(volume, drawn, name) for name in _PLANES}
    fewest = min(_PLANES, key=lambda name: held[name])
    return fewest if held[own] > 2 and held[fewest] * 2 < held[own] else own


def _count(volume: Volume, drawn: Volume, plane: str) -> int:
    """Slices of a plane that contain a label."""
    view = canonical_grid(volume.shape, volume.affine, None, plane).view(drawn.voxels)
    return int(np.count_nonzero(view.any(axis=(1, 2))))


def _prepared(volume: Volume, model: LoadedModel, plane: str, spacing: float, cache: dict[Any, Any] | None) -> Prepared:
    key = ("memory scan", fingerprint(volume), model.card.card_digest, plane, round(spacing, 6))
    if cache is not None and key in cache:
        return cache[key]
    card = model.card
    scan = prepare(volume, spacing, plane, build(NormalisationSettings, card.normalisation, card.name),
                   build(KeypointSettings, card.keypoints, card.name))
    if cache is not None:
        for old in [other for other in cache if isinstance(other, tuple) and other[0] in ("memory scan", "memory")]:
            del cache[old]  # one warm scan at a time
        cache[key] = scan
    return scan


