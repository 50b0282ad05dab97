"""Settings of BIM."""

from __future__ import annotations

from pydantic import Field, field_validator

from kaf.settings.base import Settings


class BimSettings(Settings):
    """BIM: clusters of a decoder map, consistent under transforms, with boundaries at image edges."""

    clusters: int = Field(20, ge=2, le=255, description="number of clusters")
    heads: int = Field(3, ge=1, le=16, description="independent clusterings whose losses are averaged")
    alpha: float = Field(0.5, ge=0, le=1, description="0: mutual information; 1: balanced and consistent clusters")
    balance: float = Field(1.5, gt=0, description="lambda, weight of the marginal entropies")
    boundary_weight: float = Field(0.1, ge=0, description="weight of the cross-correlation with image edges")
    boundary_after: float = Field(0.1, ge=0, lt=1, description="fraction of the run after which the image edges count")
    gamma: float = Field(0.75, gt=0, le=4, description="exponent of the edge map")
    window: int = Field(5, ge=3, le=15, description="side of the window of the correlation (pixels, odd)")
    level: int = Field(0, ge=0, le=3, description="decoder map that is clustered, 0 finest")

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a window needs a central pixel: {value} is not odd")
        return value


SETTINGS = BimSettings()
