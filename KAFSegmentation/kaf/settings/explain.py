"""Settings of `kaf explain`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.run import ScanSettings


class ExplainSettings(ScanSettings):
    """Show where the network looked."""

    model: str = Field(description="name of a model in the library, or a .safetensors file")
    point: tuple[float, float, float] | None = Field(
        None, description="R, A, S in mm: show the attention of the keypoint nearest to this point")
    slice: int | None = Field(None, ge=0, description="slice number as in the results, counted from 0 at the feet "
                                                      "(axial), the back (coronal) or the right (sagittal); default: "
                                                      "the slice of the point, or all slices")
    direction: Literal["saliency", "from", "to"] = Field(
        "saliency", description="saliency: how much attention each keypoint receives; from: what the chosen keypoint "
                                "attends to; to: which keypoints attend to it")
    scale: int | None = Field(None, ge=0, le=3, description="fused scale, 0 is the finest; default: mean over all "
                                                            "scales")
    head: int | None = Field(None, ge=0, description="attention head; default: mean over all heads")
    combine: Literal["mean", "rollout"] = Field("mean", description="how the attention of the blocks of a scale is "
                                                                    "combined")
    smooth: float = Field(6.0, gt=0, le=500, description="width of the spot drawn for a keypoint (pixels)")
