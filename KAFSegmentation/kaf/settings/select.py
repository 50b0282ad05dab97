"""Settings of the choice of cases to label first.  No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kaf.settings.run import RunSettings


class SelectSettings(RunSettings):
    """Which cases to label first, by what a network makes of them."""

    data: str = Field(description="folder of scans")
    model: str = Field(description="pretrained weights or a model: its name in the library, or a .safetensors file")
    output: str = Field("selection", description="folder for selection.csv and selection.json")
    by: Literal["auto", "coverage", "uncertainty"] = Field(
        "auto", description="coverage: diverse scans, by the network's embedding, so that few represent all; "
                            "uncertainty: the scans that the model is least certain about; auto: uncertainty for a "
                            "model that segments, coverage for pretrained weights")
    count: int = Field(5, ge=0, description="number of patients to choose; 0: rank all")
    slices: int = Field(0, ge=0, le=100, description="also name so many slices of each chosen scan to draw, for `kaf "
                                                     "propagate`; 0: label whole scans")
    labelled: tuple[str, ...] = Field((), description="cases or patients that are already labelled, in addition to "
                                                      "those with a label map in the folder")
    ignore_labels: bool = Field(False, description="ignore the label maps in the folder and choose among all patients")
    leave_out: tuple[str, ...] = Field((), description="exclude these cases or patients, such as test patients")
    cache: str = Field("", description="cache folder for preprocessed slices; default: the user's cache")
    cache_limit: float = Field(20.0, ge=0, le=1e6, description="size limit of this cache in GB; the least recently "
                                                               "used entries are removed first; 0: no limit")
    overwrite: bool = Field(False, description="replace an earlier selection in the output folder")
