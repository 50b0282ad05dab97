"""Settings of data augmentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.base import Settings


class AugmentationSettings(Settings):
    """Random changes of training slices; every spatial one moves keypoints exactly."""

    rotation: float = Field(20.0, ge=0, le=180, description="largest rotation in either direction (degrees)")
    scale: float = Field(1.3, ge=1, le=3, description="largest zoom factor, in or out")
    flips: tuple[bool, bool] = Field((False, False), description="mirror rows, mirror columns; in 3-D also slices if "
                                                                 "both are set")
    elastic: float = Field(0.2, ge=0, le=1, description="probability of an elastic deformation")
    elastic_pixels: float = Field(6.0, ge=0, le=30, description="largest elastic displacement (pixels)")
    interpolation: Literal["linear", "cubic"] = Field("linear", description="how slices are read where they are "
                                                                            "rotated, zoomed or deformed")
    intensity: float = Field(1.0, ge=0, le=3, description="strength of intensity changes; 0 for none")
    keypoint_dropout: float = Field(0.3, ge=0, lt=1, description="largest fraction of keypoints dropped")
