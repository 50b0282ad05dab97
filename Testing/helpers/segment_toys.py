"""Segmentation of a folder without a network, for a process that is killed at a chosen moment: two models whose labels
are all 1 or all 2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from kill_toys import serve
from small_models import CARD

from kaf.data.folder import scan_folder
from kaf.imaging.volume import Volume
from kaf.inference.segmentation import Segmentation
from kaf.settings.segment import SegmentSettings
from kaf.verbs import segment_folder as many


def segment_in(data: str, output: str, model: str, overwrite: str) -> None:
    """Model "1" also writes maps of uncertainty, which model "2" does not."""
    card = replace(CARD, name=f"model {model}", digest=model * 64)

    def segment_volume(volume, loaded, settings):
        filled = Volume(np.full(volume.shape, int(model), np.uint8), volume.affine)
        extra = Volume(filled.voxels.astype(np.float32), volume.affine) if settings.uncertainty else None
        return Segmentation(filled, card, {1: 1.0}, uncertainty=extra)

    many.load_for_inference = lambda *_, **__: SimpleNamespace(card=card)
    many.segment_volume = segment_volume
    settings = SegmentSettings(model=model, uncertainty=model == "1")
    many.segment_folder(scan_folder(data).cases, settings, Path(output), overwrite=overwrite == "overwrite")


if __name__ == "__main__":
    serve(segment_in)
