"""Settings of `kaf segment`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.run import ScanSettings


class SegmentSettings(ScanSettings):
    """Segment one volume."""

    model: str = Field(description="name in the library, or a .safetensors file")
    flips: bool = Field(False, description="average over mirrored copies: slower, a little better")
    uncertainty: bool = Field(False, description="also give the predictive entropy, 0 (sure) to 1")
    attention: bool = Field(False, description="also give the keypoint saliency map")
    clusters: bool = Field(False, description="also give the cluster of every voxel (of weights pretrained by BIM)")
    roi: tuple[float, float, float, float, float, float] | None = Field(
        None, description="only inside this box: R, A, S minimum then R, A, S maximum (mm)")
    overlap: float = Field(0.5, ge=0, le=0.9, description="3-D models: share of a patch that the next one sees again")
    largest_component: tuple[int, ...] = Field(
        (), description="labels of which only the largest connected part is kept")
