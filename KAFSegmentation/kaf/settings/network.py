"""Settings of a network: its kind, size and fusion."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from kaf.settings.base import Settings

Axes = tuple[int, int, int]  # along slices, rows, columns


COMPACT: dict[str, Any] = {"width": 16, "decoder_width": 16, "blocks": 2, "token_width": 64, "heads": 4,
                           "diffusion_width": 16, "scales": (False, True, True, True), "token_norm": "layer"}
"""What the compact KAF, which a laptop's CPU trains and runs, has in place of the published sizes."""


class NetworkSettings(Settings):
    """The network's size and kind.  The published KAF is the default (width 32, 16 blocks per scale); what a person
    leaves open in the settings of a training is filled in by :func:`from_base`.

    ``fusion`` is what joins each encoder map: the keypoint branch, a copy of the map itself (the capacity
    control "UNet (c2)" of the KAF paper), or nothing ("UNet (c1)").
    """

    base: Literal["compact", "published"] = Field(
        "compact", exclude=True, description="the sizes that the other settings start from: the compact KAF for a "
        "CPU, or the published one (width 32, 16 blocks)")
    kind: Literal["kaf", "unet", "basicunet", "dynunet", "swinunetr"] = Field(
        "kaf", description="KAF, or one of MONAI's networks for comparison")
    in_channels: int = Field(1, ge=1, le=32, description="input channels: the slices that the network sees at once")
    classes: int = Field(2, ge=2, le=256, description="output channels, background included")
    width: int = Field(32, ge=4, le=256, description="channels of the first encoder stage")
    decoder_width: int | None = Field(None, ge=4, le=512, description="channels of the last decoder stage; default: "
                                                                      "twice the width with fusion, otherwise the "
                                                                      "width")
    fusion: Literal["keypoints", "copy", "none"] = Field(
        "keypoints", description="fusion of the encoder's feature maps: keypoint attention, a copy of the map, or none")
    scales: tuple[bool, bool, bool, bool] = Field((True,) * 4, description="which encoder stages are fused")
    blocks: int = Field(16, ge=0, le=64, description="self-attention blocks per fused scale")
    token_width: int = Field(256, ge=8, le=1024, description="length of a keypoint token; a multiple of heads")
    heads: int = Field(4, ge=1, le=32, description="attention heads of each block")
    diffusion_width: int = Field(64, ge=4, le=512, description="channels inside the diffusion convolution")
    norm: Literal["batch", "group"] = Field("batch", description="batch or group normalisation")
    token_norm: Literal["batch", "layer"] | None = Field(
        None, description="batch or layer normalisation of keypoint tokens; default: as for the feature maps")
    clusters: int = Field(0, ge=0, le=255, description="clusters from BIM pretraining, kept for display")
    members: int = Field(1, ge=1, le=20, description="networks whose probabilities are averaged; more than one only in "
                                                     "the model file of kaf finetune --folds")
    dimensions: int = Field(2, ge=2, le=3, description="2: slice by slice; 3: patches of the volume (dynunet)")
    patch: tuple[int, int, int] | None = Field(None, description="3-D: patch size in slices, rows and columns; "
                                                                 "default: fitted to the scans")
    strides: tuple[Axes, ...] = Field((), description="3-D: strides of each stage along slices, rows and columns; "
                                                      "default: chosen by the spacing")
    kernels: tuple[Axes, ...] = Field((), description="3-D: kernel sizes of each stage; default: chosen by the spacing")

    @model_validator(mode="before")
    @classmethod
    def _kind_of_3d(cls, values: Any) -> Any:
        """There is one network in 3-D: whoever asks for 3-D need not name it."""
        if isinstance(values, dict) and str(values.get("dimensions")) == "3" and "kind" not in values:
            return {**values, "kind": "dynunet"}
        return values

    @model_validator(mode="after")
    def _heads_divide(self) -> NetworkSettings:
        if self.token_width % self.heads:
            raise ValueError(f"token_width {self.token_width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _fits_dimensions(self) -> NetworkSettings:
        if self.dimensions == 2:
            if self.patch or self.strides or self.kernels:
                raise ValueError("patch, strides and kernels of the network require dimensions 3")
            return self
        if self.kind != "dynunet":
            raise ValueError(f"kind {self.kind} has no 3-D form; with dimensions 3 use dynunet")
        if self.patch and min(self.patch) < 2:
            raise ValueError(f"a patch of {self.patch} voxels is too small")
        if len(self.strides) != len(self.kernels):
            raise ValueError(f"{len(self.strides)} strides for {len(self.kernels)} kernels")
        if self.strides and (len(self.strides) < 3 or self.strides[0] != (1, 1, 1)):
            raise ValueError("strides must cover at least three stages, the first of them (1, 1, 1)")
        if any(not 1 <= step <= 2 for stage in self.strides for step in stage):
            raise ValueError("every stride must be 1 or 2")
        if any(side not in (1, 3) for stage in self.kernels for side in stage):
            raise ValueError("every kernel size must be 1 or 3")
        return self

    @property
    def resolved_decoder_width(self) -> int:
        return self.decoder_width or (self.width if self.fusion == "none" else 2 * self.width)

    @property
    def resolved_token_norm(self) -> str:
        return self.token_norm or ("batch" if self.norm == "batch" else "layer")


def from_base(values: Any) -> Any:
    """The network of a training's settings, as they come from flags or a file, with what they leave open filled in from
    the base that they name, so that a setting changes what it names and nothing else."""
    if not isinstance(values, dict) or values.get("base", "compact") != "compact":
        return values
    if str(values.get("dimensions", 2)) == "3" or values.get("kind") == "dynunet":
        return values
    return {**COMPACT, **values}
