"""Settings of `kaf evaluate`."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import LabelNames, Settings


class EvaluateSettings(Settings):
    """Compare predictions with references, case by case."""

    prediction: str = Field(description="segmentation, or folder of segmentations")
    reference: str = Field(description="the reference segmentation, or a folder of them")
    output: str = Field(description="folder for the table (CSV), the numbers (JSON) and the report (HTML)")
    labels: LabelNames = Field({}, description="voxel value -> name; default: as named in the files")
    cases: tuple[str, ...] = Field((), description="evaluate only these cases; default: all")
    images: str = Field("", description="scan, or folder of scans, for the pictures of the report")
    series: str = Field("", description="series to use where a DICOM folder of scans contains several: its UID, "
                                        "number or description")
    tolerance: float = Field(2.0, gt=0, description="tolerance of the normalised surface Dice (NSD) in mm")
    ignore_missing: bool = Field(False, description="treat a label that is absent from a reference as not contoured, "
                                                    "and skip it")
    partial: str = Field("auto", min_length=1, description="structures that were not drawn in every reference: missing "
                         "(those that a reference lacks were not drawn), a CSV file with the columns case and "
                         "structures, none (all were drawn), or auto (as dataset.json or labelled.csv says)")
    card_row: str = Field("", max_length=200, description="also write the row of a model card for these cases, under "
                                                          "this name, e.g. 'Leeds, 3 T, 40 patients': card-row.json")
    strict: bool = Field(False, description="treat a case without a counterpart as an error")
    overwrite: bool = Field(False, description="replace an earlier evaluation in the output folder")
