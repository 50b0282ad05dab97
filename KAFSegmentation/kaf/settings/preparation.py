"""Settings of how scans are prepared: intensity normalisation and keypoints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kaf.settings.base import Settings


class KeypointSettings(Settings):
    """Detection of keypoints on a slice (SIFT)."""

    limit: int = Field(128, ge=1, le=4096, description="largest number of keypoints per slice; the strongest are kept")
    spacing: float = Field(3.0, ge=0, le=64, description="smallest distance between two keypoints (pixels)")
    channel: int = Field(0, ge=0, le=31, description="scans of several channels: the one in which keypoints are "
                                                     "detected, counted from 0")
    contrast: float = Field(0.02, gt=0, le=1, description="SIFT's contrast threshold; lower finds more")


class NormalisationSettings(Settings):
    """Intensities: "tissue" clips to percentiles and standardises over tissue; "window" is fixed (CT, HU); "volume"
    clips to percentiles and standardises over all voxels, as PCL and KAF do."""

    kind: Literal["tissue", "window", "volume"] = Field(
        "tissue", description="by percentiles of the scan's tissue, by a fixed window, or over all voxels of the scan")
    low: float = Field(0.5, description="lower percentile, or lower end of the window")
    high: float = Field(99.5, description="upper percentile, or upper end of the window")

    @model_validator(mode="after")
    def _ordered(self) -> NormalisationSettings:
        if self.high <= self.low:
            raise ValueError(f"normalisation: high {self.high} must be above low {self.low}")
        if self.kind != "window" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"normalisation: percentiles {self.low} and {self.high} must be between 0 and 100")
        return self
