"""Settings that pretraining and fine-tuning share: the kind, range and text of each, once.

A class lists them in its own order, which is that of its flags and of its files.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kaf.settings.network import NetworkSettings, from_base
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.run import RunSettings, Tracker


def _single(network: NetworkSettings | None) -> NetworkSettings | None:
    if network is not None and network.members > 1:
        raise ValueError("a training makes one network (members 1); kaf finetune --folds makes several of them")
    return network


Cases = Annotated[tuple[str, ...], Field(description="use only these cases or patients; default: all")]
Modality = Literal["MR", "CT", "any"]
SlicingAxis = Literal["auto", "largest-spacing", "axial", "coronal", "sagittal"]
Spacing = Annotated[float | None, Field(ge=1e-4, le=1e3, description="in-plane pixel size in mm; default: the median "
                                                                     "of the scans")]
SliceContext = Annotated[int, Field(ge=0, le=4, description="neighbouring slices on each side that the network also "
                                                            "sees")]
Network = Annotated[NetworkSettings | None, BeforeValidator(from_base), AfterValidator(_single),
                    Field(description="default: the compact KAF network")]
Normalisation = Annotated[NormalisationSettings | None, Field(description="default: chosen by the modality")]
Keypoints = Annotated[KeypointSettings, Field(description="keypoint detection")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="peak learning rate")]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="weight decay of the optimiser")]
Clip = Annotated[float, Field(ge=0, description="gradient clipping: largest norm of the gradient; 0: none")]
WarmUp = Annotated[float, Field(ge=0, lt=1, description="share of the run in which the learning rate rises to its "
                                                        "peak")]
LastRate = Annotated[float, Field(ge=0, le=1, description="learning rate at the end of the cosine, as a fraction of "
                                                          "the peak")]
FusionStart = Annotated[Literal["zero", "random"], Field(
    description="what the keypoint branch contributes at the beginning: nothing (zero), or the output of random "
    "weights, as published")]
Workers = Annotated[int | None, Field(ge=0, le=256, description="processes that make the batches; default: with a GPU "
                                                                "the cores that are left, otherwise 0, a thread "
                                                                "(Linux; elsewhere always a thread)")]
Steps = Annotated[int | None, Field(ge=1, description="optimiser steps; alternatively epochs or minutes")]
Epochs = Annotated[float | None, Field(gt=0, le=1e6, description="passes over the slices (3-D: over the scans); "
                                                                 "alternatively steps or minutes")]
CheckpointEvery = Annotated[float, Field(gt=0, description="seconds between checkpoints")]
Log = Annotated[Tracker, Field(description="also log metrics to metrics.csv in the run folder, or metrics and "
                                           "pictures to TensorBoard (in the run folder) or MLflow")]
Resume = Annotated[bool, Field(description="resume the run in the output folder")]
Overwrite = Annotated[bool, Field(description="replace the run in the output folder and start again")]
Cache = Annotated[str, Field(description="cache folder for preprocessed slices; default: the user's cache")]
CacheLimit = Annotated[float, Field(ge=0, le=1e6, description="size limit of this cache in GB; the least recently "
                                                              "used entries are removed first; 0: no limit")]
TrainingData = Annotated[str, Field(description="training data and their licence, for the model card")]


class TrainingSettings(RunSettings):
    """A run in a folder, which is resumed or replaced, not both."""

    @model_validator(mode="after")
    def _resume_or_overwrite(self) -> TrainingSettings:
        if getattr(self, "resume", False) and getattr(self, "overwrite", False):
            raise ValueError("resume and overwrite cannot be combined")
        return self
