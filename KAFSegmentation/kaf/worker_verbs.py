"""The verbs as the worker serves them: volumes in memory in, arrays and words out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from kaf.errors import InputError
from kaf.events import OnEvent
from kaf.explain import explain as run_explain
from kaf.segment import segment as run_segment
from kaf.settings import ExplainSettings, SegmentSettings, build
from kaf.volume import Volume
from kaf.worker import Request


def segment(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> arrays labels, uncertainty, attention; the labels' names, volumes, warnings."""
    settings = build(SegmentSettings, request.settings)
    result = run_segment(_image(request), settings, on_event, request.cache)
    maps = {"labels": result.labels, "uncertainty": result.uncertainty, "attention": result.attention}
    return {
        "arrays": {name: volume for name, volume in maps.items() if volume is not None},
        "labels": [asdict(label) for label in result.card.labels],
        "volumes_ml": {str(value): millilitres for value, millilitres in result.volumes_ml.items()},
        "warnings": list(result.warnings), "seconds": result.seconds, "place": result.place,
    }


def explain(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> keypoints in RAS mm with their weights, and array attention: a volume of one slice
    where a single slice was explained, else a map on the grid of the scan."""
    settings = build(ExplainSettings, request.settings)
    result = run_explain(_image(request), settings, on_event, request.cache)
    return {
        "arrays": {"attention": result.sheet() if len(result.explained) == 1 else result.attention,
                   "positions": result.positions,
                   "weights": result.weights.astype(np.float32), "slices": result.slices},
        "chosen": result.chosen, "warnings": list(result.warnings),
    }


def _image(request: Request) -> Volume:
    if "image" not in request.volumes:
        raise InputError(request.verb, "got no volume `image`", "Hand the scan over under that name.")
    return request.volumes["image"]
