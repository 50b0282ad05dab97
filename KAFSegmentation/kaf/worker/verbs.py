"""The verbs as the worker serves them: volumes in memory or paths of scans in, arrays and words out."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.cine import Cine, as_cine
from kaf.imaging.volume import Volume, scan_of
from kaf.inference.loaded_model import load_for_inference
from kaf.inference.segmentation import Segmentation
from kaf.memory.earlier import load_earlier, save_earlier
from kaf.memory.propose import proposed_slices
from kaf.memory.voxel_origins import voxel_origins
from kaf.runtime.errors import InputError
from kaf.runtime.events import OnEvent
from kaf.settings.adapt import AdaptSettings
from kaf.settings.base import build
from kaf.settings.explain import ExplainSettings
from kaf.settings.function import FunctionSettings
from kaf.settings.propagate import PropagateSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt as run_adapt
from kaf.verbs.explain import explain as run_explain
from kaf.verbs.function import function as run_function
from kaf.verbs.propagate import propagate as run_propagate
from kaf.verbs.segment import segment as run_segment
from kaf.worker.requests import Request


def segment(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> arrays labels, uncertainty, attention, clusters; the labels' names, volumes, predicted
    quality (:meth:`kaf.quality.verdict.QualityReport.to_dict`), warnings."""
    settings = build(SegmentSettings, request.settings)
    return _segmentation(run_segment(_given(request, "image"), settings, on_event, request.cache))


def adapt(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volumes ``image`` and ``drawn`` -> what ``segment`` gives, the adapted model's file in the request's folder,
    and ``review``: the slices to check as the scan is stored, the most uncertain first."""
    settings = build(AdaptSettings, request.settings)
    result = run_adapt(_given(request, "image"), _given(request, "drawn"), settings, on_event, request.cache)
    path = request.folder / "adapted.safetensors"
    result.save(path, overwrite=True)
    return {**_segmentation(result.segmentation), "model": str(path), "review": list(result.review),
            "finished": list(result.finished)}


def _segmentation(result: Segmentation) -> dict[str, Any]:
    maps = {"labels": result.labels, "uncertainty": result.uncertainty, "attention": result.attention,
            "clusters": result.clusters}
    return {
        "arrays": {name: volume for name, volume in maps.items() if volume is not None},
        "labels": [asdict(label) for label in result.card.labels],
        "volumes_ml": {str(value): millilitres for value, millilitres in result.volumes_ml.items()},
        "warnings": list(result.warnings), "seconds": result.seconds, "place": result.place,
        **(result.quality.to_dict() if result.quality is not None else {}),
    }


def propagate(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volumes ``image`` and ``drawn`` -> arrays labels and confidence on the grid of the scan, the labels' names, and
    ``report``: what :meth:`kaf.verbs.propagate.Propagation.report` tells (finished, review and next count slices as the
    scan is stored; slices: confidence and source of each; choice: model, memory or combination, with a sentence).

    The features of the scan stay warm in the worker: the next request for the same scan, with another finished slice or
    click, costs the update alone.  With the option ``remember``, a name for the scan, ``memory`` is a file with the
    finished slices, and those of the setting ``memory``, in the request's folder.
    """
    settings = build(PropagateSettings, request.settings)
    result = run_propagate(_given(request, "image"), _given(request, "drawn"), settings, on_event, request.cache)
    maps = {"labels": result.labels, "confidence": result.confidence}
    kept = {}
    if isinstance(request.options.get("remember"), str):
        named = replace(result, labels=replace(result.labels, source=request.options["remember"]))
        slices = named.remember(date.today().isoformat())
        if settings.memory:
            slices = load_earlier(Path(settings.memory)).joined(slices)
        kept["memory"] = str(request.folder / "memory.safetensors")
        save_earlier(Path(kept["memory"]), slices)
    return {**kept, "arrays": {name: volume for name, volume in maps.items() if volume is not None},
            "labels": [asdict(label) for label in result.structures], "report": result.report(),
            "volumes_ml": {str(value): millilitres for value, millilitres in result.volumes_ml.items()},
            "warnings": list(result.warnings), "seconds": result.seconds, "place": result.place}


def provenance(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Option ``voxel`` (i, j, k) of the scan that was propagated last -> ``origins``: the places of finished slices
    that its label was taken from, the strongest first: slice (as stored), voxel (i, j, k), weight 0..1, label."""
    voxel = request.options.get("voxel")
    if not (isinstance(voxel, list) and len(voxel) == 3 and all(type(part) is int for part in voxel)):
        raise InputError(request.verb, "got no voxel", "Send the option voxel: [i, j, k], three whole numbers.")
    if "propagated" not in request.cache:
        raise InputError(request.verb, "no scan was propagated yet", "Send the verb propagate first.")
    memory, values = request.cache["propagated"]
    return {"origins": voxel_origins(memory, values, (voxel[0], voxel[1], voxel[2]))}


def function(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volumes ``frame0``, ``frame1`` ... in the order of time (option ``times_ms``), or option ``cine``: a path ->
    array ``labels0`` ... of each phase, ``labels``: the structures, and ``report``: what
    :meth:`kaf.function.result.CardiacFunction.to_dict` tells (figures, curves, wall thickness, what to check)."""
    settings = build(FunctionSettings, request.settings)
    result = run_function(_cine(request), settings, on_event, request.cache)
    return {"arrays": {f"labels{index}": labels for index, labels in enumerate(result.labels)},
            "labels": [asdict(label) for label in result.structures], "report": result.to_dict(),
            "warnings": list(result.warnings)}


def _cine(request: Request) -> Cine | str:
    """The frames of a request, or the path that it names."""
    count = sum(name.startswith("frame") for name in request.volumes)
    if not count:
        path = request.options.get("cine")
        if not isinstance(path, str) or not path:
            raise InputError(request.verb, "got no frames", "Hand them over as frame0, frame1 ..., or a path as the "
                             "option `cine`.")
        return path
    missing = [name for index in range(count) if (name := f"frame{index}") not in request.volumes]
    if missing:
        raise InputError(request.verb, f"got {count} frames but no `{missing[0]}`", "Number them from 0.")
    times = request.options.get("times_ms", ())
    sound = isinstance(times, (list, tuple)) and len(times) in (0, count) and all(
        isinstance(value, (int, float)) for value in times)
    if not sound:
        raise InputError(request.verb, "its times_ms are not one number per frame", "Leave them out, or give all.")
    return as_cine([request.volumes[f"frame{index}"] for index in range(count)], times)


def propose(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` and the option ``count`` (3 unless given) -> ``slices``: those to draw first, as the scan is
    stored, in the plane of the model."""
    settings = build(SegmentSettings, request.settings)
    count = request.options.get("count", 3)
    if type(count) is not int or not 1 <= count <= 100:
        raise InputError(request.verb, "got no count of slices", "Send the option count: a whole number, 1 to 100.")
    model = load_for_inference(settings, settings.model, request.cache)
    volume = scan_of(_given(request, "image"), settings.frame, settings.series)
    return {"slices": list(proposed_slices(volume, model, settings, count))}


def explain(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> keypoints in RAS mm with their weights, and array attention: a volume of one slice
    where a single slice was explained, else a map on the grid of the scan."""
    settings = build(ExplainSettings, request.settings)
    result = run_explain(_given(request, "image"), settings, on_event, request.cache)
    return {
        "arrays": {"attention": result.sheet() if len(result.explained) == 1 else result.attention,
                   "positions": result.positions,
                   "weights": result.weights.astype(np.float32), "slices": result.slices},
        "chosen": result.chosen, "warnings": list(result.warnings),
    }


def _given(request: Request, name: str) -> Volume | str:
    """The volume of this name, or the path that stands under this name in the options, for the verb to read."""
    if name in request.volumes:
        # DICOM's word for the kind of scan, which a client may know and voxels alone do not tell.
        modality = request.options.get("modality", "")
        return replace(request.volumes[name], modality=modality if isinstance(modality, str) else "")
    path = request.options.get(name)
    if not isinstance(path, str) or not path:
        raise InputError(request.verb, f"got no volume `{name}`",
                         "Hand the scan over under that name, or its path as an option of that name.")
    return path
