"""Calibration of a model on a labelled folder: what its expected Dice is worth on scans that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kaf.data.folder import Case, scan_folder
from kaf.evaluation.dice import dice, overlap
from kaf.evaluation.pairing import require_same_grid
from kaf.imaging.volume import read_labels, read_volume
from kaf.inference.loaded_model import LoadedModel, load_for_inference
from kaf.inference.segmentation import Segmentation, segment_volume
from kaf.modelfile.card import Card
from kaf.quality.calibration import FEWEST, Outcome
from kaf.quality.calibration import calibrate as fit_lines
from kaf.quality.familiarity import distance, training_statistics
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.settings.base import build
from kaf.settings.calibrate import CalibrateSettings
from kaf.settings.segment import SegmentSettings

_TRAINING_SCANS = 40


@dataclass(frozen=True)
class Calibration:
    """What was fitted (``Card.quality``), the cases it was fitted on, and the card of the model."""

    quality: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    card: Card


def calibrate(settings: CalibrateSettings, on_event: OnEvent = ignore) -> Calibration:
    """Segment the labelled cases of a folder and fit predicted Dice to the Dice that they turn out to have.

    Nothing is written: :func:`kaf.quality.store.write_quality` does that.

    Raises:
        InputError: no labelled case, or structures that the model does not have; a case that cannot be read or lies
            on another grid than its labels.
        ModelError: the model is missing, damaged, or segments nothing.
    """
    model = load_for_inference(settings, settings.model)
    wanted = _wanted(settings, model.card)
    cases = scan_folder(settings.data).labelled
    if not cases:
        raise InputError(settings.data, "contains no labelled case",
                         "Put label maps beside the scans, or in a folder `labels`; `kaf data scan` explains.")
    if Path(settings.data).resolve().name == model.card.recipe.get("data"):
        on_event(Message(f"The card of {model.card.name} names a folder '{model.card.recipe['data']}' as its training "
                         "data. On cases that it was trained on, a calibration is too optimistic.", "warning"))
    statistics = _statistics(settings, model, on_event)
    ticker = Ticker(on_event, "calibrating", len(cases))
    found: list[tuple[Case, Segmentation, dict[int, tuple[float, float]]]] = []
    for case in cases:
        result = _segment(case, model, settings)
        found.append((case, result, _figures(case, result, wanted, settings.ignore_missing)))
        ticker.update(ticker.done + 1)
    statistics = statistics or training_statistics([result.scan for _, result, _ in found])
    outcomes = []
    for case, result, figures in found:
        far = distance(statistics, result.scan)
        outcomes += [Outcome(label, case.patient, raw, true, far and far[0]) for label, (raw, true) in figures.items()]
    seen = {label for _, _, figures in found for label in figures}
    if not seen:
        raise InputError(settings.data, "has no label that the model segments",
                         "Say which value means which structure with --match, e.g. --match 1=3.")
    patients = len({case.patient for case in cases})
    if patients < FEWEST:
        on_event(Message(f"{patients} patients are too few for a lower bound: there is none ({FEWEST} are needed).",
                         "warning"))
    source = settings.source or f"{len(cases)} cases of {patients} patients in {Path(settings.data).resolve().name}"
    return Calibration({**fit_lines(outcomes, source), "training": statistics}, tuple(outcomes), model.card)


def _wanted(settings: CalibrateSettings, card: Card) -> dict[int, int]:
    """Value in the reference -> value in the model."""
    if not card.labels:
        raise InputError(f"model {card.name}", "segments nothing yet: it holds pretrained weights",
                         "Fine-tune it first.")
    if strange := sorted(set(settings.match.values()) - set(card.label_names)):
        known = ", ".join(f"{value} {name}" for value, name in card.label_names.items())
        raise InputError("match", f"{card.name} has no structure {strange[0]}", f"It segments {known}.")
    return settings.match or {value: value for value in card.label_names}


def _statistics(settings: CalibrateSettings, model: LoadedModel, on_event: OnEvent) -> dict[str, Any]:
    """Of the training scans, where they are known."""
    if not settings.training:
        known: dict[str, Any] = (model.quality or model.card.quality).get("training", {})
        return known
    cases = scan_folder(settings.training).cases
    if not cases:
        raise InputError(settings.training, "contains no scan", "Give the folder of the training scans.")
    chosen = [cases[index] for index in sorted({int(place) for place in np.linspace(
        0, len(cases) - 1, min(_TRAINING_SCANS, len(cases)))})]
    ticker = Ticker(on_event, "looking at the training scans", len(chosen))
    scans = []
    for case in chosen:
        scans.append(_segment(case, model, settings).scan)
        ticker.update(ticker.done + 1)
    return training_statistics(scans)


def _segment(case: Case, model: LoadedModel, settings: CalibrateSettings) -> Segmentation:
    how = {name: getattr(settings, name) for name in ("device", "threads", "precision", "batch")}
    return segment_volume(read_volume(case.image), model, build(SegmentSettings, {"model": settings.model, **how}))


def _figures(case: Case, result: Segmentation, wanted: dict[int, int], ignore_missing: bool
             ) -> dict[int, tuple[float, float]]:
    """Label of the model -> raw expected Dice and Dice, of the structures that the reference may have."""
    assert case.label is not None
    assert result.expected is not None
    drawn = read_labels(case.label)
    require_same_grid(result.labels, drawn)
    table = np.zeros(256, np.uint8)
    for reference, value in wanted.items():
        table[reference] = value
    truth = table[drawn.voxels]
    kept = np.where(np.isin(result.labels.voxels, list(wanted.values())), result.labels.voxels, 0)
    inside, sizes = overlap(kept, truth, result.card.network["classes"])
    scores, raw = dice(inside, sizes), result.expected.by_class()
    there: Sequence[int] = np.unique(truth).tolist()
    return {value: (float(raw[value]), float(scores[value - 1])) for value in wanted.values()
            if value in there or not ignore_missing}
