"""One frozen settings object per verb: the panel, a JSON file, the command line and Python all fill this one.

Unknown keys are errors that name the nearest known key.  No torch here.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError

S = TypeVar("S", bound="Settings")
Axes = tuple[int, int, int]  # along slices, rows, columns


class Settings(BaseModel):
    """Base of all settings: immutable, strict about names, with suggestions for misspelt ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def verb(cls) -> str:
        """The command that takes these settings."""
        return cls.__name__.removesuffix("Settings").lower()

    @model_validator(mode="before")
    @classmethod
    def _suggest(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key).lower(), cls.model_fields, n=1, cutoff=0.5)
                    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown setting '{key}'; {hint}")
                if json_files.holds_nul(values[key]):
                    raise ValueError(f"'{key}' holds a NUL character, which no path and no name has")
        return values


def _values_of_labels(names: dict[int, str]) -> dict[int, str]:
    wrong = [value for value in names if not 1 <= value <= 255]
    if wrong:
        raise ValueError(f"{wrong[0]} is no value of a label; they are 1 to 255, and 0 is the background")
    return names


LabelNames = Annotated[dict[int, str], AfterValidator(_values_of_labels)]
"""Voxel value (1 to 255) -> name."""


def problems_of(error: ValidationError) -> str:
    """pydantic's report in one line: "setting: what is wrong; ..."."""
    problems = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        words = item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_unicode":
            words = "holds characters that are no text (not valid UTF-8)"
        problems.append(f"{where}: {words}" if where else words)
    return "; ".join(problems)


def build(cls: type[S], values: dict[str, Any], source: object = "settings") -> S:
    """``cls(**values)`` with pydantic's report turned into one :class:`SettingsError` paragraph."""
    try:
        return cls(**values)
    except ValidationError as error:
        raise SettingsError(source, problems_of(error),
                            f"See `kaf {cls.verb()} --help` for every setting and its range.") from error
    except UnicodeEncodeError as error:  # from inside pydantic
        raise SettingsError(source, "holds characters that are no text (not valid UTF-8)",
                            "Write it anew, in UTF-8.") from error


def load_values(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file; :class:`SettingsError` says what is wrong with it."""
    try:
        values = json_files.read(path)
    except OSError as error:
        raise SettingsError(path, f"cannot be read ({error.strerror})", "Check the path.") from error
    except ValueError as error:
        raise SettingsError(path, f"is not valid JSON ({error})", "Mend the file at that place.") from error
    if not isinstance(values, dict):
        raise SettingsError(path, "is not a JSON object", 'Write {"name": value, ...}.')
    return values


class NetworkSettings(Settings):
    """The network's size and kind.  The published KAF is the default (width 32, 16 blocks per scale).

    ``fusion`` is what joins each encoder map: the keypoint branch, a copy of the map itself (the capacity
    control "UNet (c2)" of the KAF paper), or nothing ("UNet (c1)").
    """

    kind: Literal["kaf", "unet", "basicunet", "dynunet", "swinunetr"] = Field(
        "kaf", description="KAF, or one of MONAI's networks for comparison")
    in_channels: int = Field(1, ge=1, le=32, description="slices that the network sees at once")
    classes: int = Field(2, ge=2, le=256, description="output channels, background included")
    width: int = Field(32, ge=4, le=256, description="channels of the first encoder stage")
    decoder_width: int | None = Field(None, ge=4, le=512, description="channels of the last decoder stage; "
                                      "default twice the width with fusion, else the width")
    fusion: Literal["keypoints", "copy", "none"] = Field(
        "keypoints", description="what joins the encoder maps: keypoint attention, a copy of the map, or nothing")
    scales: tuple[bool, bool, bool, bool] = Field((True,) * 4, description="which encoder stages are fused")
    blocks: int = Field(16, ge=0, le=64, description="self-attention blocks per fused scale")
    token_width: int = Field(256, ge=8, le=1024, description="numbers that describe a keypoint; a multiple of heads")
    heads: int = Field(4, ge=1, le=32, description="attention heads of each block")
    diffusion_width: int = Field(64, ge=4, le=512, description="channels inside the diffusion convolution")
    norm: Literal["batch", "group"] = Field("batch", description="normalise over the batch, or in groups of channels")
    token_norm: Literal["batch", "layer"] | None = Field(
        None, description="normalise keypoint tokens over the batch, or each by itself; default: as the maps are")
    clusters: int = Field(0, ge=0, le=255, description="clusters that BIM pretraining found, kept to be looked at")
    dimensions: int = Field(2, ge=2, le=3, description="2: slice by slice; 3: patches of the volume (dynunet)")
    patch: tuple[int, int, int] | None = Field(None, description="3-D: slices, rows and columns of a patch; default: "
                                               "fitted to the scans")
    strides: tuple[Axes, ...] = Field((), description="3-D: steps of each stage along slices, rows and columns; "
                                      "default: by the spacing")
    kernels: tuple[Axes, ...] = Field((), description="3-D: sides of the kernels of each stage; default: by the "
                                      "spacing")

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
                raise ValueError("patch, strides and kernels of the network go with dimensions 3")
            return self
        if self.kind != "dynunet":
            raise ValueError(f"kind {self.kind} has no 3-D form; with dimensions 3 use dynunet")
        if self.patch and min(self.patch) < 2:
            raise ValueError(f"a patch of {self.patch} voxels is too small")
        if len(self.strides) != len(self.kernels):
            raise ValueError(f"{len(self.strides)} strides for {len(self.kernels)} kernels")
        if self.strides and (len(self.strides) < 3 or self.strides[0] != (1, 1, 1)):
            raise ValueError("strides are those of three stages or more, of which the first keeps the size (1, 1, 1)")
        if any(not 1 <= step <= 2 for stage in self.strides for step in stage):
            raise ValueError("every stride is 1 or 2")
        if any(side not in (1, 3) for stage in self.kernels for side in stage):
            raise ValueError("every side of a kernel is 1 or 3")
        return self

    @property
    def resolved_decoder_width(self) -> int:
        return self.decoder_width or (self.width if self.fusion == "none" else 2 * self.width)

    @property
    def resolved_token_norm(self) -> str:
        return self.token_norm or ("batch" if self.norm == "batch" else "layer")


class KeypointSettings(Settings):
    """Detection of keypoints on a slice (SIFT)."""

    limit: int = Field(128, ge=1, le=4096, description="keypoints kept per slice, the strongest ones")
    spacing: float = Field(3.0, ge=0, le=64, description="least distance between two keypoints (pixels)")
    contrast: float = Field(0.02, gt=0, le=1, description="SIFT's contrast threshold; lower finds more")


class NormalisationSettings(Settings):
    """Intensities: "tissue" clips to percentiles and standardises over tissue; "window" is fixed (CT, HU)."""

    kind: Literal["tissue", "window"] = Field("tissue", description="by the scan's own tissue, or a fixed window")
    low: float = Field(0.5, description="lower percentile, or lower end of the window")
    high: float = Field(99.5, description="upper percentile, or upper end of the window")

    @model_validator(mode="after")
    def _ordered(self) -> NormalisationSettings:
        if self.high <= self.low:
            raise ValueError(f"normalisation: high {self.high} must be above low {self.low}")
        if self.kind == "tissue" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"normalisation: percentiles {self.low} and {self.high} must lie in 0..100")
        return self


class EvaluateSettings(Settings):
    """Compare predictions with references, case by case."""

    prediction: str = Field(description="a segmentation, or a folder of them")
    reference: str = Field(description="the reference segmentation, or a folder of them")
    output: str = Field(description="folder for the table, the numbers and the report")
    labels: LabelNames = Field({}, description="voxel value -> name; default: what the files say")
    images: str = Field("", description="the scans, for the pictures of the report")
    series: str = Field("", description="which series of a DICOM folder of scans that holds several: its UID, number "
                        "or description")
    tolerance: float = Field(2.0, gt=0, description="tolerance of the surface Dice, NSD (mm)")
    ignore_missing: bool = Field(False, description="a label absent from a reference was not contoured: skip it")
    strict: bool = Field(False, description="a case without a partner is an error")
    overwrite: bool = Field(False, description="replace an earlier evaluation in the output folder")


Device = str
Precision = Literal["auto", "fp32", "bf16"]


class RunSettings(Settings):
    """Where and how a network runs."""

    device: Device = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
                           description="auto, cpu, cuda, cuda:1, mps")
    threads: int = Field(0, ge=0, le=1024, description="processor threads, at most those that are free; 0: one "
                         "per physical core")
    precision: Precision = Field("auto", description="bf16 only where the processor has it natively")
    batch: int = Field(8, ge=1, le=1024, description="slices at a time")


class ScanSettings(RunSettings):
    """Which scan is meant where a file or a folder holds several."""

    frame: int | None = Field(None, ge=0, description="which frame of a 4-D scan, or which phase, echo or stack of a "
                              "DICOM series, from 0")
    series: str = Field("", description="which series of a DICOM folder that holds several: its UID, number or "
                        "description")

    @field_validator("series", mode="before")
    @classmethod
    def _number_of_series(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


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


class AugmentationSettings(Settings):
    """Random changes of training slices; every spatial one moves keypoints exactly."""

    rotation: float = Field(20.0, ge=0, le=180, description="degrees either way")
    scale: float = Field(1.3, ge=1, le=3, description="zoom factor either way")
    flips: tuple[bool, bool] = Field((False, False), description="mirror rows, mirror columns; in 3-D slices too "
                                     "where both are")
    elastic: float = Field(0.2, ge=0, le=1, description="probability of an elastic deformation")
    elastic_pixels: float = Field(6.0, ge=0, le=30, description="largest elastic displacement")
    intensity: float = Field(1.0, ge=0, le=3, description="strength of intensity changes; 0 for none")
    keypoint_dropout: float = Field(0.3, ge=0, lt=1, description="largest share of keypoints left out")


class FinetuneSettings(RunSettings):
    """Train a segmentation network on labelled cases."""

    data: str = Field(description="folder of scans and labels")
    output: str = Field(description="run folder; the model is written there as model.safetensors")
    name: str = Field("my-model", min_length=1, max_length=80, description="name of the model")
    description: str = Field("", description="what the model is for, in a sentence, for the card")
    labels: LabelNames = Field({}, description="voxel value -> name")
    terminology: LabelNames = Field({}, description="voxel value -> Slicer terminology entry")
    modality: Literal["MR", "CT", "any"] = Field(
        "any", description="kind of the scans; any: as the scans look, and mixed if they differ")
    cases: tuple[str, ...] = Field((), description="only these cases or patients; default: all")
    validation: float = Field(0.0, ge=0, lt=1, description="share of the patients kept for validation")
    validation_cases: tuple[str, ...] = Field((), description="these patients for validation")
    few_shot: int | None = Field(None, ge=1, description="train on so many patients only, drawn by seed")
    spacing: float | None = Field(None, ge=1e-4, le=1e3, description="in-plane pixel size in mm; default: the median")
    slicing_axis: Literal["auto", "largest-spacing", "axial", "coronal", "sagittal"] = Field(
        "auto", description="plane of the slices; largest-spacing: as the scan was taken; auto: that for thick slices, "
        "else the plane that shows most structures at once")
    slice_context: int = Field(0, ge=0, le=4, description="neighbouring slices seen on each side")
    patch: int | None = Field(None, ge=16, le=1024, description="training patch in pixels; default: fitted to the "
                              "structures")
    network: NetworkSettings | None = Field(None, description="default: the compact KAF")
    normalisation: NormalisationSettings | None = Field(None, description="default: by the modality")
    keypoints: KeypointSettings = Field(KeypointSettings(), description="how keypoints are found")
    augmentation: AugmentationSettings = Field(AugmentationSettings(), description="random changes of training slices")
    phantoms: int = Field(0, ge=0, le=1000, description="procedural cardiac phantoms mixed into training")
    init_from: str = Field("", description="weights to start from: a model or a pretraining result; what the scans "
                           "are made into and the network are then those of the weights where nothing else is said")
    unlabelled: str = Field("", description="folder of unlabelled scans that go on helping, mixed with labelled ones")
    unlabelled_weight: float = Field(0.5, ge=0, le=1, description="weight of unlabelled pixels, whose labels are "
                                     "guessed, beside labelled ones")
    unlabelled_after: float = Field(0.6, ge=0, lt=1, description="share of the run before unlabelled scans help")
    leave_out: tuple[str, ...] = Field((), description="never these patients, labelled or not: those who will be "
                                       "tested")
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with momentum 0.9")
    learning_rate: float = Field(2e-3, gt=0, le=10, description="largest size of the learning steps")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="how strongly large weights are held back")
    clip: float = Field(5.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.998, ge=0, lt=1, description="decay of the moving average of weights")
    batch: int = Field(16, ge=1, le=1024, description="patches that one training step sees; in 3-D 4 by default")
    steps: int | None = Field(None, ge=1, description="optimiser steps; or use epochs or minutes")
    epochs: float | None = Field(None, gt=0, description="passes over the slices (3-D: the scans); or minutes")
    minutes: float | None = Field(None, gt=0, description="time for training; default 20 when no epochs")
    patience: int = Field(0, ge=0, description="stop after so many validations without a gain; 0: never")
    validate_every: float = Field(60.0, gt=0, description="seconds between validations")
    checkpoint_every: float = Field(120.0, gt=0, description="seconds between checkpoints")
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="of the first weights, the draws and the split into "
                      "training and validation")
    resume: bool = Field(False, description="go on with the run in the output folder")
    overwrite: bool = Field(False, description="start again in an output folder that is in use")
    cache: str = Field("", description="folder for preprocessed slices; default: the user's cache")
    cache_limit: float = Field(20.0, ge=0, le=1e6, description="GB of preprocessed slices to keep for later runs; what "
                               "was used longest ago is removed first; 0: no limit")
    weights_licence: str = Field("unspecified", description="licence of the weights, for the card; that of the weights "
                                 "started from stays")
    training_data: str = Field("", description="what it was trained on and under which licence, for the card")

    @model_validator(mode="after")
    def _one_budget(self) -> FinetuneSettings:
        if self.resume and self.overwrite:
            raise ValueError("resume and overwrite exclude each other")
        return self
