"""Settings of `kaf models calibrate`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.run import RunSettings


class CalibrateSettings(RunSettings):
    """Fit predicted Dice to labelled cases that a model has not seen."""

    model: str = Field(description="name of a model in the library, or a .safetensors file")
    data: str = Field(description="folder of labelled cases that the model was not trained on")
    match: dict[int, int] = Field({}, description="value in the reference=value in the model, and only these are "
                                                  "calibrated; default: the same values")
    training: str = Field("", description="folder of the scans that the model was trained on, which tell how far a "
                                          "scan lies from them; default: as the card states, else the labelled cases")
    source: str = Field("", max_length=500, description="what the labelled cases are, for the report; default: their "
                                                        "number and the folder's name")
    ignore_missing: bool = Field(False, description="treat a structure that is absent from a reference as not "
                                                    "contoured, and skip it")
