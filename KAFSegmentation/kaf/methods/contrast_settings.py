"""Settings of the contrast of slices, which several methods share.  No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.base import Settings

Positives = Literal["position", "partition", "view"]


class ContrastSettings(Settings):
    """Contrast of whole slices (methods PCL and SimCLR, and KAF's global terms)."""

    temperature: float = Field(0.1, gt=0, le=10, description="temperature of the contrastive loss, tau")
    theta: float = Field(0.35, gt=0, le=1, description="slices closer than this in normalised position are positives")
    positives: Positives = Field("position", description="position: within theta; partition: the same of 4 parts of "
                                 "the volume; view: only the other view of the same slice")
    width: int = Field(512, ge=2, le=4096, description="dimension of the embedding")
    standardise: bool = Field(True, description="standardise the embedding over the batch (mean 0, variance 1), "
                                                "without which small batches collapse; the papers do not")
