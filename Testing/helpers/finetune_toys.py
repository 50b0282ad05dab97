"""Settings of a fine-tuning run that takes seconds; nothing is written outside the folder of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_models import PLAIN

from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.finetune import FinetuneSettings


def small_run(folder: Path, data: Path, output: str = "run", **values: Any) -> FinetuneSettings:
    """Two passes of a tiny network over small patches, the same numbers every time."""
    given = {
        "data": str(data), "output": str(folder / output), "cache": str(folder / "cache"), "name": "tiny heart",
        "device": "cpu", "threads": 1, "precision": "fp32", "network": PLAIN, "patch": 32, "batch": 2,
        "epochs": 2, "augmentation": AugmentationSettings(elastic=0.0), **values,
    }
    return FinetuneSettings(**given)
