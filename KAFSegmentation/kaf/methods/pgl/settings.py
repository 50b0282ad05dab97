"""Settings of PGL."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import Settings


class PglSettings(Settings):
    """PGL: the same location has the same features in two crops, point by point, with an EMA teacher."""

    hidden: int = Field(512, ge=2, le=8192, description="hidden width of projector and predictor (paper: 4096)")
    width: int = Field(256, ge=2, le=4096, description="dimension of a voxel's embedding")
    points: int = Field(12, ge=2, le=64, description="points along each side of the grid laid over the overlap")
    least_overlap: float = Field(0.1, ge=0, le=1, description="smallest overlap of two crops, as a fraction, and of "
                                                              "the points that lie inside both")


SETTINGS = PglSettings()
