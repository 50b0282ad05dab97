"""Settings of `kaf pretrain`: the run, the methods, and a field for the settings of every registered method.

No torch here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from kaf.runtime import json_files
from kaf.runtime.errors import SettingsError
from kaf.settings import training
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import Settings, load_values, merged
from kaf.settings.methods import method_names, preset_files, registry
from kaf.settings.preparation import KeypointSettings
from kaf.settings.training import TrainingSettings

BUDGETS = ("epochs", "minutes", "steps")


class _PretrainSettings(TrainingSettings):
    """Learn from unlabelled scans; the result is a file of weights that fine-tuning starts from."""

    data: str = Field(description="folder of scans; label maps in it are ignored")
    output: str = Field(description="run folder; the weights are written there as model.safetensors")
    name: str = Field("pretrained", min_length=1, max_length=80, description="name of the weights")
    preset: str = Field("", description="ready-made settings, those of a paper or compact ones: see `kaf pretrain "
                                        "--presets`")
    method: str = Field("kaf", description="methods joined by +, each with an optional weight, such as kaf+bim:0.1; "
                                           "or JSON")
    neighbours: float = Field(0.18, ge=0, le=1, description="largest distance to a neighbouring slice, as a fraction "
                                                            "of the volume's slices")
    most_neighbours: int = Field(2, ge=1, le=100, description="largest distance to a neighbouring slice, in slices")
    cases: training.Cases = ()
    leave_out: tuple[str, ...] = Field((), description="exclude these patients, such as test patients")
    modality: training.Modality = Field("any", description="modality of the scans; any: detected from the "
                                                                    "files")
    spacing: training.Spacing = None
    slicing_axis: training.SlicingAxis = Field(
        "auto", description="plane of the training slices")
    slice_context: training.SliceContext = 0
    patch: int | None = Field(None, ge=16, le=1024, description="training patch size in pixels; default: fitted to "
                                                                "the scans")
    network: training.Network = None
    normalisation: training.Normalisation = None
    keypoints: training.Keypoints = KeypointSettings()
    augmentation: AugmentationSettings = Field(AugmentationSettings(rotation=45.0, flips=(True, True)),
                                               description="random augmentation that creates the views of a slice")
    fusion_start: training.FusionStart = "zero"
    init_from: str = Field("", description="weights to start from: a model or an earlier pretraining")
    optimiser: Literal["adamw", "sgd", "radam"] = Field("adamw", description="AdamW, SGD with momentum 0.9, or RAdam")
    learning_rate: training.LearningRate = 1e-3
    weight_decay: training.WeightDecay = 1e-4
    warm_up: training.WarmUp = 0.05
    last_rate: training.LastRate = 0.01
    clip: training.Clip = 5.0
    ema: float = Field(0.996, ge=0, lt=1, description="decay of the exponential moving average (EMA) of the weights, "
                                                      "PGL's teacher")
    batch: int = Field(16, ge=2, le=4096, description="slices per batch, over all processes; default in 3-D: 4 patches")
    steps: training.Steps = None
    epochs: training.Epochs = None
    minutes: float | None = Field(None, gt=0, le=1e6, description="training time in minutes; default: 30 unless steps "
                                                                  "or epochs are given")
    labelled: str = Field("", description="folder of a few labelled cases, to monitor whether pretraining helps")
    probe_every: float = Field(5.0, gt=0, description="minutes between evaluations on the labelled cases, each with "
                                                      "pictures")
    workers: training.Workers = None
    checkpoint_every: training.CheckpointEvery = 120.0
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="random seed of the initial weights and the sampling")
    strict: bool = Field(False, description="treat a scan that cannot be used as an error; default: leave it out")
    log: training.Log = "none"
    resume: training.Resume = False
    overwrite: training.Overwrite = False
    cache: training.Cache = ""
    cache_limit: training.CacheLimit = 20.0
    weights_licence: str = Field("unspecified", description="licence of the weights, for the model card")
    training_data: training.TrainingData = ""

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
        return values | {name: merged(default, values[name]) for name, default in own.items()}

    @field_validator("method", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        weights = parse_method(value)
        return "+".join(name if weight == 1 else f"{name}:{weight!r}" for name, weight in weights.items())

    @property
    def weights(self) -> dict[str, float]:
        """Method -> weight in the sum of losses."""
        return parse_method(self.method)

    def of(self, method: str) -> Any:
        """The settings of a method."""
        return getattr(self, method)


def _fields_of_methods() -> dict[str, Any]:
    """The field of every method: its settings and their defaults.  A method whose settings fail is not registered."""
    fields = dict[str, Any]()
    for name, method in list(registry().methods.items()):
        try:
            if name in _PretrainSettings.model_fields or hasattr(_PretrainSettings, name):
                raise ValueError("pretraining has another setting of this name")
            defaults = method.settings()
            if not isinstance(defaults, Settings):
                raise TypeError("SETTINGS is not a settings object")
            fields[name] = (type(defaults), Field(defaults, description=method.info.description))
        except Exception as error:  # whatever another package raises
            registry().refuse(name, f"{method.package} cannot be used ({type(error).__name__}: {error})")
    return fields


if TYPE_CHECKING:
    class PretrainSettings(_PretrainSettings):
        """The settings of pretraining, with those of every method in a field of the method's name."""
else:
    PretrainSettings = create_model("PretrainSettings", __base__=_PretrainSettings, __module__=__name__,
                                    __doc__=_PretrainSettings.__doc__, **_fields_of_methods())


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
        if name in registry().broken:
            raise ValueError(f"method '{name}' cannot be used: {registry().broken[name]}")
        if name not in registry().methods:
            raise ValueError(f"unknown method '{name}'; {_hint(name, method_names())}")
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
    return {name: str(load_values(file)["about"]) for name, file in preset_files().items()}


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset."""
    files = preset_files()
    if name not in files:  # not asked of the disk: "../x" would leave it
        hint = _hint(name, list(files))
        raise SettingsError(f"preset {name}", "is not known", f"{hint[0].upper()}{hint[1:]}.".replace("?.", "?"))
    values = load_values(files[name])
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
    return merged(preset, values)


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
