"""Settings of `kaf function`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.run import RunSettings


class FunctionSettings(RunSettings):
    """Cardiac function from a short-axis cine."""

    model: str = Field("cardiac-mr-sax", description="name of a model in the library, or a .safetensors file")
    flips: bool = Field(False, description="test-time augmentation: average over mirrored copies; slower, slightly "
                                           "more accurate")
    ed: int | None = Field(None, ge=0, description="phase of end-diastole, counted from 0; default: largest volume of "
                                                   "the left ventricle")
    es: int | None = Field(None, ge=0, description="phase of end-systole, counted from 0; default: smallest volume of "
                                                   "the left ventricle")
    height: float | None = Field(None, gt=20, le=260, description="height in cm, for indices by body surface")
    weight: float | None = Field(None, gt=0.3, le=400, description="weight in kg, for indices by body surface")
    lv: int | None = Field(None, ge=1, le=255, description="label of the left ventricular cavity; default: by its name "
                                                           "on the model card")
    rv: int | None = Field(None, ge=1, le=255, description="label of the right ventricular cavity; default: by its "
                                                           "name on the model card")
    myocardium: int | None = Field(None, ge=1, le=255, description="label of the left ventricular myocardium; default: "
                                                                   "by its name on the model card")
