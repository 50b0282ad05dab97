"""Settings of data augmentation."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import Settings


class AugmentationSettings(Settings):
    """Random changes of training slices; every spatial one moves keypoints exactly."""

    rotation: float = Field(20.0, ge=0, le=180, description="degrees either way")
    scale: float = Field(1.3, ge=1, le=3, description="zoom factor either way")
    flips: tuple[bool, bool] = Field((False, False), description="mirror rows, mirror columns; in 3-D slices too "
                                     "where both are")
    elastic: float = Field(0.2, ge=0, le=1, description="probability of an elastic deformation")
    elastic_pixels: float = Field(6.0, ge=0, le=30, description="largest elastic displacement")
    intensity: float = Field(1.0, ge=0, le=3, description="strength of intensity changes; 0 for none")
    keypoint_dropout: float = Field(0.3, ge=0, lt=1, description="largest share of keypoints left out")
