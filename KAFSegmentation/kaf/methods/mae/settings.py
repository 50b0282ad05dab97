"""Settings of MAE."""

from __future__ import annotations

from pydantic import Field

from kaf.settings.base import Settings


class MaeSettings(Settings):
    """MAE: masked patches are reconstructed."""

    hidden: float = Field(0.6, gt=0, lt=1, description="fraction of the slice that is masked")
    block: int = Field(16, ge=2, le=64, description="side of a masked patch (pixels)")


SETTINGS = MaeSettings()
