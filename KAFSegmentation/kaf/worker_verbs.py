"""The verbs as the worker serves them: volumes in memory in, arrays and words out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from kaf import explain as explain_verb
from kaf import segment as segment_verb
from kaf.events import OnEvent
from kaf.settings import ExplainSettings, SegmentSettings, build
from kaf.worker import Request


def segment(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> arrays labels, uncertainty, attention; labels' names, colours, volumes, warnings."""
    settings = build(SegmentSettings, request.settings)
    result = segment_verb.segment(request.volumes["image"], settings, on_event, request.cache)
    maps = {"labels": result.labels, "uncertainty": result.uncertainty, "attention": result.attention}
    return {
        "arrays": {name: volume for name, volume in maps.items() if volume is not None},
        "labels": [asdict(label) for label in result.card.labels],
        "volumes_ml": {str(value): millilitres for value, millilitres in result.volumes_ml.items()},
        "warnings": list(result.warnings), "seconds": result.seconds, "place": result.place,
    }


def explain(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Volume ``image`` -> array attention; keypoints in RAS mm with their weights."""
    settings = build(ExplainSettings, request.settings)
    result = explain_verb.explain(request.volumes["image"], settings, on_event, request.cache)
    return {
        "arrays": {"attention": result.attention, "positions": result.positions,
                   "weights": result.weights.astype(np.float32), "slices": result.slices},
        "chosen": result.chosen, "warnings": list(result.warnings),
    }
