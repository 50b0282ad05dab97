"""Settings of `kaf finetune`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import LabelNames
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.run import RunSettings


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
    epochs: float | None = Field(None, gt=0, le=1e6, description="passes over the slices (3-D: the scans); or minutes")
    minutes: float | None = Field(None, gt=0, le=1e6, description="time for training; default 20 when no epochs")
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
