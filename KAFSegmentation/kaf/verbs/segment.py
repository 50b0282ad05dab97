"""Segmentation: a volume and a model in, labels on exactly the volume's grid out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaf.imaging.volume import Volume, scan_of
from kaf.inference.loaded_model import load_for_inference
from kaf.inference.segmentation import Segmentation, segment_volume
from kaf.runtime.events import OnEvent, ignore
from kaf.settings.segment import SegmentSettings


def segment(volume: Volume | str | Path, settings: SegmentSettings, on_event: OnEvent = ignore,
            cache: dict[Any, Any] | None = None) -> Segmentation:
    """Segment a volume, or a file or DICOM folder.

    Args:
        cache: keeps the model and the prepared scan between calls.

    Raises:
        InputError, ModelError, ResourceError: each says what to do.
    """
    start = time.monotonic()
    volume = scan_of(volume, settings.frame, settings.series)
    read = time.monotonic()
    model = load_for_inference(settings, settings.model, cache, channels=True)
    loaded = time.monotonic()
    result = segment_volume(volume, model, settings, on_event, cache)
    return replace(result, seconds={"read": read - start, "load": loaded - read, **result.seconds})
