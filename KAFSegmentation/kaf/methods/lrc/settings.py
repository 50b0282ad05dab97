"""Settings of LRC."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.base import Settings


class LrcSettings(Settings):
    """LRC: pixels of a region have similar features in two views, unlike those of other regions (our reading)."""

    regions: Literal["superpixels", "labels"] = Field(
        "superpixels", description="superpixels, or labels: the supervised variant")
    temperature: float = Field(0.1, gt=0, le=10, description="temperature of the contrastive loss, tau")
    samples: int = Field(24, ge=1, le=512, description="pixels drawn from each region and view at every step")
    width: int = Field(128, ge=2, le=1024, description="dimension of a pixel's embedding")
    hidden: int = Field(256, ge=2, le=2048, description="hidden width of the projector")
    level: int = Field(1, ge=0, le=3, description="decoder map that is used, 0 finest")
    scale: float = Field(200.0, gt=0, description="Felzenszwalb's scale: larger makes larger regions")
    sigma: float = Field(0.8, ge=0, description="Gaussian smoothing before the segmentation into regions (pixels)")
    smallest: int = Field(80, ge=1, description="smallest region, in pixels")


SETTINGS = LrcSettings()
