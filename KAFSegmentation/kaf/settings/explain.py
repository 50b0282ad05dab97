"""Settings of `kaf explain`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.run import ScanSettings


class ExplainSettings(ScanSettings):
    """Show where the network looked."""

    model: str = Field(description="name in the library, or a .safetensors file")
    point: tuple[float, float, float] | None = Field(
        None, description="R, A, S in mm: the attention of the nearest keypoint of that slice")
    slice: int | None = Field(None, ge=0, description="number of the slice as the results state it: from 0 at the "
                              "feet (axial), the back (coronal) or the right (sagittal); default: that of the "
                              "point, or all")
    direction: Literal["saliency", "from", "to"] = Field(
        "saliency", description="saliency: how much each keypoint is attended; from: where the chosen keypoint "
        "attends; to: which keypoints attend to it")
    scale: int | None = Field(None, ge=0, le=3, description="fused scale, 0 finest; default: mean over scales")
    head: int | None = Field(None, ge=0, description="attention head; default: mean over heads")
    combine: Literal["mean", "rollout"] = Field("mean", description="over the blocks of a scale")
    smooth: float = Field(6.0, gt=0, le=500, description="width of a keypoint's spot in the map (pixels)")
