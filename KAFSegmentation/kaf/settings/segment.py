"""Settings of `kaf segment`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.run import ScanSettings


class SegmentSettings(ScanSettings):
    """Segment one volume."""

    model: str = Field(description="name of a model in the library, or a .safetensors file")
    flips: bool = Field(False, description="test-time augmentation: average over mirrored copies; slower, slightly "
                                           "more accurate")
    uncertainty: bool = Field(False, description="also write the predictive entropy, 0 (certain) to 1")
    attention: bool = Field(False, description="also write the keypoint saliency map")
    clusters: bool = Field(False, description="also write the cluster of every voxel (for weights pretrained with BIM)")
    roi: tuple[float, float, float, float, float, float] | None = Field(
        None, description="segment inside this box only: minimum R, A, S, then maximum R, A, S, in mm")
    overlap: float = Field(0.5, ge=0, le=0.9, description="3-D models: overlap of neighbouring patches, as a fraction "
                                                          "of a patch")
    largest_component: tuple[int, ...] = Field(
        (), description="labels of which only the largest connected component is kept")
