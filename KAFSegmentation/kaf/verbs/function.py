"""Cardiac function: a short-axis cine in, segmentations of all phases and the numbers of the heart out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaf.function.look import looks_odd
from kaf.function.result import CardiacFunction
from kaf.function.structures import HeartLabels, heart_labels
from kaf.function.volumes import (
    DENSITY,
    Interval,
    Ventricle,
    body_surface,
    find_phases,
    ventricle,
    volume_curve,
    with_range,
)
from kaf.function.wall import Structures, Wall, measure_wall
from kaf.imaging.cine import Cine, read_cine
from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import cleaned
from kaf.inference.loaded_model import load_for_inference
from kaf.inference.segmentation import Segmentation, segment_volume
from kaf.quality.prediction import DOUBTFUL, NOT_FOUND, UNCALIBRATED
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.settings.base import build
from kaf.settings.function import FunctionSettings
from kaf.settings.segment import SegmentSettings


def function(cine: Cine | str | Path | Sequence[str | Path], settings: FunctionSettings, on_event: OnEvent = ignore,
             cache: dict[Any, Any] | None = None) -> CardiacFunction:
    """Segment every phase of a short-axis cine and measure the ventricles.

    Args:
        cine: in memory; a 4-D file or a folder; or files of single phases.

    Raises:
        InputError: the cine cannot be read (:func:`kaf.imaging.cine.read_cine`), has no such phase, or the left
            ventricle is not found in it.
        ModelError: the model is missing, or does not segment a left ventricle.
    """
    began = time.monotonic()
    if not isinstance(cine, Cine):
        cine = read_cine(cine) if isinstance(cine, (str, Path)) else read_cine(*cine)
    for name in ("ed", "es"):
        if (given := getattr(settings, name)) is not None and given >= len(cine.frames):
            raise InputError(name, f"is {given}, but the cine has the phases 0 to {len(cine.frames) - 1}",
                             "Count phases from 0.")
    model = load_for_inference(settings, settings.model, cache)
    which = heart_labels(model.card.label_names, model.card.name, settings.lv, settings.myocardium, settings.rv)
    how = build(SegmentSettings, {name: getattr(settings, name) for name in (
        "model", "flips", "device", "threads", "precision", "batch")})
    ticker = Ticker(on_event, "segmenting phases", len(cine.frames))
    results: list[Segmentation] = []
    for frame in cine.frames:
        results.append(segment_volume(cleaned(frame), model, how))
        ticker.update(ticker.done + 1)
    made = _measure(cine, results, which, settings, time.monotonic() - began)
    for text in made.warnings:
        on_event(Message(text, "warning"))
    return made


def _measure(cine: Cine, results: Sequence[Segmentation], which: HeartLabels, settings: FunctionSettings,
            seconds: float) -> CardiacFunction:
    """The figures from the segmented phases."""
    labels = [result.labels for result in results]
    voxel_ml = float(abs(np.linalg.det(labels[0].affine[:3, :3]))) / 1000
    values = {"lv": which.lv, "rv": which.rv, "myocardium": which.myocardium}
    curves = {name: volume_curve([one.voxels for one in labels], value, voxel_ml)
              for name, value in values.items() if value is not None}
    if not curves["lv"].any():
        raise InputError(cine.source or "the cine", "shows no left ventricle to the model",
                         "Give a short-axis cine, and a model for its kind of images.")
    phases = find_phases(curves["lv"], settings.ed, settings.es)
    card = results[0].card
    names = card.label_names
    grid = canonical_grid(labels[0].shape, labels[0].affine, None, card.slicing_axis)
    at = {"ED": phases.ed, "ES": phases.es}
    stacks = {name: grid.view(labels[index].voxels) for name, index in at.items()}
    dice = {name: {key: _dice(results[index], names.get(value or 0, "")) for key, value in values.items()}
            for name, index in at.items()}
    ventricles: dict[str, Ventricle] = {}
    for name in ("lv", "rv"):
        if name in curves:
            ventricles[name] = ventricle(float(curves[name][phases.ed]), float(curves[name][phases.es]),
                                         dice["ED"][name], dice["ES"][name])
    mass: dict[str, Interval] = {}
    walls: dict[str, Wall] = {}
    if which.myocardium is not None:
        for name, index in at.items():
            mass[name] = with_range(float(curves["myocardium"][index]), dice[name]["myocardium"]).scaled(DENSITY)
        if which.rv is not None:
            kinds = Structures(which.rv, which.myocardium, which.lv)
            walls = {name: measure_wall(stack, grid.canonical_affine, kinds) for name, stack in stacks.items()}
    warnings = [*cine.warnings, *looks_odd(stacks["ED"], grid.spacing, which.lv, which.myocardium),
                *_jumps(phases.jumps, curves["lv"]), *_doubts(results, at), *_walls(walls),
                *dict.fromkeys(text for result in results for text in result.warnings if "Doubtful" not in text)]
    surface = None if settings.height is None or settings.weight is None else body_surface(
        settings.height, settings.weight)
    quality = tuple({} if result.quality is None else result.quality.to_dict()["predicted_quality"]
                    for result in results)
    sentence = results[0].quality.sentence if results[0].quality is not None else ""
    return CardiacFunction(tuple(labels), card.labels, phases, cine.times_ms, curves, ventricles, mass, walls, quality,
                           sentence, surface, tuple(warnings), card.name, card.digest, seconds)


def _dice(result: Segmentation, name: str) -> float | None:
    """The predicted Dice of a structure, where it is calibrated."""
    found = result.quality.structures.get(name) if result.quality is not None else None
    return None if found is None or found.word in (UNCALIBRATED, NOT_FOUND) else found.dice


def _jumps(jumps: Sequence[int], curve: np.ndarray) -> list[str]:
    words = [f"{index} ({curve[index]:.0f} mL)" for index in jumps]
    return [f"The left ventricle of phase {', '.join(words)} does not go with the phases before and after: check "
            "their segmentation."] if words else []


def _doubts(results: Sequence[Segmentation], at: dict[str, int]) -> list[str]:
    """Doubtful structures at the two phases that count."""
    found = []
    for phase, index in at.items():
        quality = results[index].quality
        names = [] if quality is None else [name for name, one in quality.structures.items() if one.word == DOUBTFUL]
        if names:
            found.append(f"At {phase} (phase {index}) the {' and the '.join(names)} may be wrong: the predicted "
                         "Dice is low.")
    return found


def _walls(walls: dict[str, Wall]) -> list[str]:
    notes = {wall.note for wall in walls.values() if wall.note}
    return [f"Wall thickness was not measured: {note}." for note in sorted(notes)]

