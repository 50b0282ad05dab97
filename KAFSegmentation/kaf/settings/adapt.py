"""Settings of `kaf adapt`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import LabelNames
from kaf.settings.run import ScanSettings


class AdaptSettings(ScanSettings):
    """Learn from a few finished slices of one scan and segment the rest of it."""

    model: str = Field(description="the model to start from: a library name, or a .safetensors file")
    slices: tuple[int, ...] = Field(
        (), description="finished slices, counted along the model's slicing axis as the scan is stored, from 0; "
        "default: all slices that hold a label")
    labels: LabelNames = Field({}, description="voxel value -> name of what was drawn; default: the model's own "
                                   "structures are corrected")
    seconds: float = Field(40.0, ge=1, le=3600, description="time for learning")
    learning_rate: float | None = Field(None, gt=0, le=1, description="size of the learning steps; smaller keeps more "
                                        "of what the model knew; default: 0.0005, for new structures 0.001")
    batch: int = Field(6, ge=1, le=1024, description="patches that one learning step sees")
    patch: int = Field(144, ge=16, le=1024, description="largest training patch in pixels")
    name: str = Field("", max_length=80, description="name of the adapted model; default: the model's, adapted")
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="of the random draws, for a result that can be repeated")
