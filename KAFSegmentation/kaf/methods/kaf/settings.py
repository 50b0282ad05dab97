"""Settings of KAF."""

from __future__ import annotations

from pydantic import Field

from kaf.methods.contrast_settings import ContrastSettings


class KafSettings(ContrastSettings):
    """KAF: global contrast on the image and on pooled keypoints, local matching of keypoints (equations 1-3)."""

    image_weight: float = Field(1.0, ge=0, description="w1, contrast of the image embedding")
    keypoint_weight: float = Field(1.0, ge=0, description="w2, contrast of the pooled keypoints")
    local_weight: float = Field(0.01, ge=0, description="w3, matching of keypoints")
    matched_share: float = Field(0.45, ge=0, description="weight of matched keypoints inside the matching loss")
    unmatched_share: float = Field(1.0, ge=0, description="weight of unmatched keypoints inside the matching loss")
    radius: float = Field(30.0, gt=0, description="keypoints match within this Manhattan distance (pixels)")
    radius_mm: float | None = Field(None, gt=0, le=1000, description="the same distance in mm, in place of radius")
    ratio: float = Field(1.0, gt=0, le=1, description="keypoints match only if the best candidate is closer than this "
                         "share of the second best (Lowe's ratio test); 1: no such test")
    token_width: int = Field(256, ge=8, le=1024, multiple_of=4, description="width of the joined keypoint tokens, a "
                             "multiple of 4")
    sinkhorn: int = Field(100, ge=1, le=1000, description="largest number of Sinkhorn iterations; fewer once "
                          "converged")


SETTINGS = KafSettings()
