"""Settings of `kaf finetune`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings import training
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import LabelNames
from kaf.settings.preparation import KeypointSettings
from kaf.settings.training import TrainingSettings


class FinetuneSettings(TrainingSettings):
    """Train a segmentation network on labelled cases."""

    data: str = Field(description="folder of scans and labels")
    output: str = Field(description="run folder; the model is written there as model.safetensors")
    name: str = Field("my-model", min_length=1, max_length=80, description="name of the model")
    description: str = Field("", description="what the model is for, in one sentence, for the model card")
    labels: LabelNames = Field({}, description="voxel value -> name")
    terminology: LabelNames = Field({}, description="voxel value -> Slicer terminology entry")
    modality: training.Modality = Field(
        "any", description="modality of the scans; any: detected from the scans, mixed if they differ")
    cases: training.Cases = ()
    validation: float | None = Field(None, ge=0, lt=1, description="share of the patients held out for validation; "
                                     "default: one in ten, at least one of four or more; 0: none")
    validation_cases: tuple[str, ...] = Field((), description="hold out these patients for validation")
    validation_data: str = Field("", description="folder of other labelled cases to validate on")
    splits: str = Field("", description="JSON file with the patients or cases to train and to validate on: KAF's "
                                        "split.json, or splits_final.json of nnU-Net")
    fold: int = Field(0, ge=0, description="which fold of the file of splits, counted from 0")
    partial: str = Field("auto", min_length=1, description="structures that were not drawn in every case: missing "
                         "(those that a label map lacks were not drawn there), a CSV file with the columns case and "
                         "structures, none (all were drawn), or auto (as dataset.json or labelled.csv says)")
    few_shot: int | None = Field(None, ge=1, description="train on this many patients only, drawn at random with the "
                                                         "seed")
    spacing: training.Spacing = None
    slicing_axis: training.SlicingAxis = Field(
        "auto", description="plane of the slices; largest-spacing: as the scan was acquired; auto: the same for thick "
                            "slices, otherwise the plane that shows the most structures at once")
    slice_context: training.SliceContext = 0
    patch: int | None = Field(None, ge=16, le=1024, description="training patch size in pixels; default: fitted to "
                                                                "the structures")
    network: training.Network = None
    normalisation: training.Normalisation = None
    keypoints: training.Keypoints = KeypointSettings()
    augmentation: AugmentationSettings = Field(AugmentationSettings(), description="random augmentation of training "
                                                                                   "slices")
    phantoms: int = Field(0, ge=0, le=1000, description="synthetic cardiac phantoms added to the training data")
    fusion_start: training.FusionStart = "zero"
    init_from: str = Field("", description="weights to start from: a model or a pretraining result; preprocessing and "
                                           "network are taken from them unless they are set here")
    unlabelled: str = Field("", description="folder of unlabelled scans for semi-supervised training, mixed with the "
                                            "labelled ones")
    unlabelled_weight: float = Field(0.5, ge=0, le=1, description="weight of unlabelled pixels, which have "
                                                                  "pseudo-labels, relative to labelled ones")
    unlabelled_after: float = Field(0.6, ge=0, lt=1, description="fraction of the run after which unlabelled scans "
                                                                 "are used")
    leave_out: tuple[str, ...] = Field((), description="exclude these patients, labelled or not, such as test patients")
    loss: Literal["dice_ce", "ce"] = Field("dice_ce", description="Dice plus cross-entropy, or cross-entropy alone")
    optimiser: Literal["adamw", "adam", "sgd"] = Field("adamw", description="AdamW, Adam, or SGD with momentum 0.9")
    learning_rate: training.LearningRate = 2e-3
    weight_decay: training.WeightDecay = 1e-2
    warm_up: training.WarmUp = 0.05
    last_rate: training.LastRate = 0.01
    clip: training.Clip = 5.0
    ema: float = Field(0.998, ge=0, lt=1, description="decay of the exponential moving average (EMA) of the weights")
    batch: int = Field(16, ge=1, le=1024, description="patches that one training step sees; default: 16, or 8 where "
                       "they are wider than 64 pixels; in 3-D 4")
    steps: training.Steps = None
    epochs: training.Epochs = None
    minutes: float | None = Field(None, gt=0, le=1e6, description="training time in minutes; default: 20 unless steps "
                                                                  "or epochs are given")
    patience: int = Field(0, ge=0, description="early stopping: stop after this many validations without improvement; "
                                               "0: never")
    validate_every: float = Field(60.0, gt=0, description="seconds between validations")
    validate_epochs: float | None = Field(None, gt=0, le=1e6, description="passes over the slices between validations, "
                                                                          "in place of validate_every")
    keep_best: bool = Field(False, description="also write the network of the best validation, as best.safetensors")
    workers: training.Workers = None
    checkpoint_every: training.CheckpointEvery = 120.0
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="random seed of the initial weights, the sampling and the "
                                                           "validation split")
    log: training.Log = "none"
    resume: training.Resume = False
    overwrite: training.Overwrite = False
    cache: training.Cache = ""
    cache_limit: training.CacheLimit = 20.0
    weights_licence: str = Field("unspecified", description="licence of the weights, for the model card; the licence "
                                                            "of the initial weights stays in force")
    training_data: training.TrainingData = ""
