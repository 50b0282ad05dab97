"""Settings of self-supervised pretraining: the methods, what they are made of, and the run.  No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import Settings, load_values
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.run import RunSettings

METHODS = ("kaf", "pcl", "simclr", "pgl", "lrc", "bim", "mae")
PRESETS = Path(__file__).parents[1] / "presets"
BUDGETS = ("epochs", "minutes", "steps")
Positives = Literal["position", "partition", "view"]


class ContrastSettings(Settings):
    """Contrast of whole slices (methods PCL and SimCLR, and KAF's global terms)."""

    temperature: float = Field(0.1, gt=0, le=10, description="softness of the contrast, tau")
    theta: float = Field(0.35, gt=0, le=1, description="slices closer than this in normalised position are positives")
    positives: Positives = Field("position", description="position: within theta; partition: the same of 4 parts of "
                                 "the volume; view: only the other view of the same slice")
    width: int = Field(512, ge=2, le=4096, description="length of the embedding")
    standardise: bool = Field(True, description="every number of the embedding gets mean 0 and variance 1 over the "
                              "batch, without which small batches collapse; the papers do not")


class KafSettings(ContrastSettings):
    """KAF: global contrast on the image and on pooled keypoints, local matching of keypoints (equations 1-3)."""

    image_weight: float = Field(1.0, ge=0, description="w1, contrast of the image embedding")
    keypoint_weight: float = Field(1.0, ge=0, description="w2, contrast of the pooled keypoints")
    local_weight: float = Field(0.01, ge=0, description="w3, matching of keypoints")
    matched_share: float = Field(0.45, ge=0, description="weight of matched keypoints inside the matching loss")
    unmatched_share: float = Field(1.0, ge=0, description="weight of unmatched keypoints inside the matching loss")
    radius: float = Field(30.0, gt=0, description="keypoints match within this Manhattan distance (pixels)")
    token_width: int = Field(256, ge=8, le=1024, multiple_of=4, description="width of the joined keypoint tokens, a "
                             "multiple of 4")
    sinkhorn: int = Field(100, ge=1, le=1000, description="most Sinkhorn iterations; fewer where it has converged")


class PglSettings(Settings):
    """PGL: the same anatomy has the same features in two crops, point by point, against a moving average."""

    hidden: int = Field(512, ge=2, le=8192, description="width inside projector and predictor (paper: 4096)")
    width: int = Field(256, ge=2, le=4096, description="length of a voxel's embedding")
    points: int = Field(12, ge=2, le=64, description="points along each side of the grid laid over the overlap")
    least_overlap: float = Field(0.1, ge=0, le=1, description="least share that two crops have in "
                                 "common, and of the points that lie inside both")


class LrcSettings(Settings):
    """LRC: pixels of one region are alike in two views and unlike those of other regions (our reading)."""

    regions: Literal["superpixels", "labels"] = Field("superpixels", description="labels: the supervised variant")
    temperature: float = Field(0.1, gt=0, le=10, description="softness of the contrast, tau")
    samples: int = Field(24, ge=1, le=512, description="pixels drawn from each region and view at every step")
    width: int = Field(128, ge=2, le=1024, description="length of a pixel's embedding")
    hidden: int = Field(256, ge=2, le=2048, description="width inside the projector")
    level: int = Field(1, ge=0, le=3, description="decoder map that is looked at, 0 finest")
    scale: float = Field(200.0, gt=0, description="Felzenszwalb's scale: larger makes larger regions")
    sigma: float = Field(0.8, ge=0, description="smoothing before the regions are found (pixels)")
    smallest: int = Field(80, ge=1, description="pixels of the smallest region")


class BimSettings(Settings):
    """BIM: clusters of a decoder map that agree under transforms and end where the image has edges."""

    clusters: int = Field(20, ge=2, le=255, description="clusters that each pixel is shared among")
    heads: int = Field(3, ge=1, le=16, description="independent clusterings whose losses are averaged")
    alpha: float = Field(0.5, ge=0, le=1, description="0: mutual information; 1: balanced and consistent clusters")
    balance: float = Field(1.5, gt=0, description="lambda, weight of the marginal entropies")
    boundary_weight: float = Field(0.1, ge=0, description="weight of the cross-correlation with image edges")
    boundary_after: float = Field(0.1, ge=0, lt=1, description="share of the run before the edges count")
    gamma: float = Field(0.75, gt=0, le=4, description="exponent of the edge map")
    window: int = Field(5, ge=3, le=15, description="side of the window of the correlation (pixels, odd)")
    level: int = Field(0, ge=0, le=3, description="decoder map that is clustered, 0 finest")

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a window needs a middle: {value} is not odd")
        return value


class MaeSettings(Settings):
    """MAE: what was hidden from the network is drawn again."""

    hidden: float = Field(0.6, gt=0, lt=1, description="share of the slice that is hidden")
    block: int = Field(16, ge=2, le=64, description="side of a hidden square (pixels)")


class PretrainSettings(RunSettings):
    """Learn from unlabelled scans; the result is a file of weights that fine-tuning starts from."""

    data: str = Field(description="folder of scans; labels in it are not looked at")
    output: str = Field(description="run folder; the weights are written there as model.safetensors")
    name: str = Field("pretrained", min_length=1, max_length=80, description="name of the weights")
    preset: str = Field("", description="settings of a paper, or compact ones: see `kaf pretrain --presets`")
    method: str = Field("kaf", description="methods joined by +, each with a weight if wanted: kaf+bim:0.1, or JSON")
    kaf: KafSettings = Field(KafSettings(), description="contrast of slices and of keypoints, matching of keypoints")
    pcl: ContrastSettings = Field(ContrastSettings(), description="contrast of slices by their place in the body")
    simclr: ContrastSettings = Field(ContrastSettings(positives="view"), description="contrast of slices, each for "
                                     "itself")
    pgl: PglSettings = Field(PglSettings(), description="the same features at the same place of two crops")
    lrc: LrcSettings = Field(LrcSettings(), description="contrast of the regions of a slice")
    bim: BimSettings = Field(BimSettings(), description="clusters that agree, with borders on edges")
    mae: MaeSettings = Field(MaeSettings(), description="drawing again what was hidden")
    neighbours: float = Field(0.18, ge=0, le=1, description="how far a neighbouring slice may be, as a share of the "
                              "volume's slices")
    most_neighbours: int = Field(2, ge=1, le=100, description="and at most so many slices")
    cases: tuple[str, ...] = Field((), description="only these cases or patients; default: all")
    leave_out: tuple[str, ...] = Field((), description="never these patients: those who will be tested")
    modality: Literal["MR", "CT", "any"] = Field("any", description="of the scans; any: told from the files")
    spacing: float | None = Field(None, ge=1e-4, le=1e3, description="in-plane pixel size in mm; default: the median")
    slicing_axis: Literal["auto", "largest-spacing", "axial", "coronal", "sagittal"] = Field(
        "auto", description="which slices are learned from")
    slice_context: int = Field(0, ge=0, le=4, description="neighbouring slices seen on each side")
    patch: int | None = Field(None, ge=16, le=1024, description="training patch in pixels; default: fitted")
    network: NetworkSettings | None = Field(None, description="default: the compact KAF")
    normalisation: NormalisationSettings | None = Field(None, description="default: by the modality")
    keypoints: KeypointSettings = Field(KeypointSettings(), description="how keypoints are found")
    augmentation: AugmentationSettings = Field(AugmentationSettings(rotation=45.0, flips=(True, True)),
                                               description="random changes that make the views of a slice")
    init_from: str = Field("", description="weights to start from: a model or an earlier pretraining")
    optimiser: Literal["adamw", "sgd", "radam"] = Field("adamw", description="AdamW, SGD with momentum 0.9, or RAdam")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="largest size of the learning steps")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="how strongly large weights are held back")
    clip: float = Field(5.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.996, ge=0, lt=1, description="decay of the moving average of weights, the teacher of PGL")
    batch: int = Field(16, ge=2, le=4096, description="slices at a time, over all processes; in "
                       "3-D 4 patches by default")
    steps: int | None = Field(None, ge=1, description="optimiser steps; or use epochs or minutes")
    epochs: float | None = Field(None, gt=0, description="passes over the slices (3-D: the scans); or minutes")
    minutes: float | None = Field(None, gt=0, description="time for training; default 30 when no epochs")
    labelled: str = Field("", description="a folder of a few labelled cases: is pretraining helping yet?")
    probe_every: float = Field(5.0, gt=0, description="minutes between two looks at the labelled cases and pictures")
    checkpoint_every: float = Field(120.0, gt=0, description="seconds between checkpoints")
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="of the first weights and of all draws")
    strict: bool = Field(False, description="a scan that cannot be used is an error; default: it is left out")
    resume: bool = Field(False, description="go on with the run in the output folder")
    overwrite: bool = Field(False, description="start again in an output folder that is in use")
    cache: str = Field("", description="folder for preprocessed slices; default: the user's cache")
    cache_limit: float = Field(20.0, ge=0, le=1e6, description="GB of preprocessed slices to keep for later runs; what "
                               "was used longest ago is removed first; 0: no limit")
    weights_licence: str = Field("unspecified", description="licence of the weights, for the card")
    training_data: str = Field("", description="what it was trained on and under which licence, for the card")

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        """What is given, over the preset, over the defaults of nested settings; a budget replaces the preset's."""
        if not isinstance(values, dict):
            return values
        values = over_preset(values)
        # A part of simclr or augmentation leaves the rest as it is here, not as it is in general.
        own = {name: item.default.model_dump(exclude_unset=True) for name, item in cls.model_fields.items()
               if isinstance(item.default, Settings) and isinstance(values.get(name), dict)}
        return values | {name: _merged(default, values[name]) for name, default in own.items()}

    @field_validator("method", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        weights = parse_method(value)
        return "+".join(name if weight == 1 else f"{name}:{weight!r}" for name, weight in weights.items())

    @model_validator(mode="after")
    def _consistent(self) -> PretrainSettings:
        if self.resume and self.overwrite:
            raise ValueError("resume and overwrite exclude each other")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Method -> weight in the sum of losses."""
        return parse_method(self.method)


def parse_method(value: Any) -> dict[str, float]:
    """``"kaf+bim:0.1"``, ``'{"kaf": 1, "bim": 0.1}'`` or a dict -> method -> weight.

    Raises:
        ValueError: a method that is not known or named twice, or a weight that is no positive number.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json_files.parse(value)
        except ValueError as error:
            raise ValueError(f"{value} is not valid JSON ({error})") from error
    pairs: list[tuple[str, Any]]
    if isinstance(value, dict):
        pairs = list(value.items())
    else:
        pairs = [(name.strip(), weight or 1) for name, _, weight in
                 (part.partition(":") for part in str(value).split("+"))]
    if not pairs:
        raise ValueError("names no method")
    weights: dict[str, float] = {}
    for name, weight in pairs:
        if name not in METHODS:
            raise ValueError(f"unknown method '{name}'; {_hint(name, METHODS)}")
        if name in weights:
            raise ValueError(f"method '{name}' is named twice")
        try:
            weights[name] = float(weight)
        except (TypeError, ValueError):
            weights[name] = 0.0
        if not 0 < weights[name] < float("inf"):
            raise ValueError(f"the weight of '{name}' must be a positive number, not {weight!r}")
    return weights


def preset_names() -> dict[str, str]:
    """Name -> what it is, of every preset."""
    return {file.stem: str(load_values(file)["about"]) for file in sorted(PRESETS.glob("*.json"))}


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset."""
    if name not in (file.stem for file in PRESETS.glob("*.json")):  # not asked of the disk: "../x" would leave it
        hint = _hint(name, list(preset_names()))
        raise SettingsError(f"preset {name}", "is not known", f"{hint[0].upper()}{hint[1:]}.".replace("?.", "?"))
    values = load_values(PRESETS / f"{name}.json")
    del values["about"]
    return values


def over_preset(values: dict[str, Any], budget: bool = False) -> dict[str, Any]:
    """The values over those of the preset that they name, if any; where they, or others (``budget``), say how long
    to go on, the preset does not."""
    if not values.get("preset"):
        return values
    preset = read_preset(str(values["preset"]))
    if budget or any(values.get(name) is not None for name in BUDGETS):
        preset = {name: value for name, value in preset.items() if name not in BUDGETS}
    return _merged(preset, values)


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Settings):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = _merged(result[key], value)
        result[key] = value
    return result
