"""Settings that every verb with a network shares: device, threads, precision, batch; and which scan is meant."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from kaf.settings.base import Settings

Device = str
Tracker = Literal["none", "csv", "tensorboard", "mlflow"]
Precision = Literal["auto", "fp32", "bf16"]


class RunSettings(Settings):
    """Where and how a network runs."""

    device: Device = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
                           description="auto, cpu, cuda, cuda:1, mps")
    threads: int = Field(0, ge=0, le=1024, description="number of CPU threads, limited to those available; 0: one per "
                                                       "physical core")
    precision: Precision = Field("auto", description="auto: bf16 where the device supports it natively, else fp32")
    batch: int = Field(8, ge=1, le=1024, description="slices per batch")


class ScanSettings(RunSettings):
    """Which scan is meant where a file or a folder holds several."""

    frame: int | None = Field(None, ge=0, description="frame of a 4-D scan, or phase, echo or stack of a DICOM "
                                                      "series, counted from 0")
    series: str = Field("", description="series to use where a DICOM folder contains several: its UID, number or "
                                        "description")

    @field_validator("series", mode="before")
    @classmethod
    def _number_of_series(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
