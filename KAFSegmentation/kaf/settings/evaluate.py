"""Settings of `kaf evaluate`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import LabelNames, Settings


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
