"""Settings of the choice of cases to label first.  No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.run import RunSettings


class SelectSettings(RunSettings):
    """Which cases to label first, by what a network makes of them."""

    data: str = Field(description="folder of scans")
    model: str = Field(description="pretrained weights, or a model: a library name or a .safetensors file")
    output: str = Field("selection", description="folder for selection.csv and selection.json")
    by: Literal["auto", "coverage", "uncertainty"] = Field(
        "auto", description="coverage: scans unlike each other, by the network's embedding, so that few stand for "
        "all; uncertainty: scans of which the model is least sure; auto: uncertainty for a model that segments, "
        "coverage for pretrained weights")
    count: int = Field(5, ge=0, description="so many patients; 0: all, in order")
    labelled: tuple[str, ...] = Field((), description="cases or patients that are labelled already, beside those "
                                      "with a label map in the folder")
    ignore_labels: bool = Field(False, description="label maps in the folder do not count: choose as if there were "
                                "none")
    leave_out: tuple[str, ...] = Field((), description="never these cases or patients: those who will be tested")
    cache: str = Field("", description="folder for preprocessed slices; default: the user's cache")
    cache_limit: float = Field(20.0, ge=0, le=1e6, description="GB of preprocessed slices to keep for later runs; what "
                               "was used longest ago is removed first; 0: no limit")
    overwrite: bool = Field(False, description="replace an earlier selection in the output folder")
