"""Settings of `kaf adapt`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import LabelNames
from kaf.settings.run import ScanSettings


class AdaptSettings(ScanSettings):
    """Learn from a few finished slices of one scan and segment the rest of it."""

    model: str = Field(description="model to start from: its name in the library, or a .safetensors file")
    slices: tuple[int, ...] = Field(
        (), description="finished slices, counted from 0 along the model's slicing axis in the order in which the "
                        "scan is stored; default: every slice that contains a label")
    labels: LabelNames = Field({}, description="voxel value -> name of each new structure; default: the model's own "
                                               "structures are corrected")
    seconds: float = Field(40.0, ge=1, le=3600, description="training time in seconds")
    learning_rate: float | None = Field(None, gt=0, le=1, description="learning rate; a lower one preserves more of "
                                                                      "the base model; default: 0.0005, or 0.001 for "
                                                                      "new structures")
    batch: int = Field(6, ge=1, le=1024, description="patches per training step")
    patch: int = Field(144, ge=16, le=1024, description="largest training patch size in pixels")
    name: str = Field("", max_length=80, description="name of the adapted model; default: the base model's name with "
                                                     "-adapted")
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="random seed, for reproducible results")
