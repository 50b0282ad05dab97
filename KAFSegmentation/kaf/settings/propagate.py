"""Settings of `kaf propagate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.base import LabelNames
from kaf.settings.run import ScanSettings


class PropagateSettings(ScanSettings):
    """Label the unfinished slices of a scan from a few finished ones."""

    model: str = Field("", description="model whose features are compared, and which helps where it knows the "
                                       "structures: its name in the library, or a .safetensors file; default: the one "
                                       "that suits the scan best")
    slices: tuple[int, ...] = Field(
        (), description="finished slices, counted from 0 along `axis` in the order in which the scan is stored; "
                        "default: every slice that contains a label. Name slices in which the structure is absent, "
                        "too: they show where it ends")
    axis: Literal["auto", "axial", "coronal", "sagittal"] = Field(
        "auto", description="plane of the finished slices; auto: that of the model, or the one in which the fewest "
                            "slices contain a label")
    axial: tuple[int, ...] = Field((), description="further finished slices in the axial plane")
    coronal: tuple[int, ...] = Field((), description="further finished slices in the coronal plane")
    sagittal: tuple[int, ...] = Field((), description="further finished slices in the sagittal plane")
    labels: LabelNames = Field({}, description="voxel value -> name of each structure; default: the model's names")
    clicks: tuple[tuple[float, float, float, int], ...] = Field(
        (), max_length=10_000, description="places in unfinished slices whose label is known: R, A, S in mm and the "
                                           "label's value, 0 for none of the structures")
    click_radius: float = Field(3.0, gt=0, le=50, description="radius in mm of the disc that a click stands for")
    memory: str = Field("", description="file of finished slices of earlier patients, which help where they know the "
                                        "structures, and are enough where nothing is drawn yet")
    use: Literal["auto", "model", "memory", "combination"] = Field(
        "auto", description="what labels the unfinished slices: the model, the finished slices, or both; auto: "
                            "finished slices that are left out in turn decide")
    confidence: bool = Field(True, description="also return the confidence of every voxel, 0 to 1")
