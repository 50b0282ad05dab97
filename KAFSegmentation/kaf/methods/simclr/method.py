"""SimCLR: contrast of slices."""

from __future__ import annotations

from typing import ClassVar

from kaf.methods.contrast import SliceContrast
from kaf.methods.simclr.info import INFO


class SimClr(SliceContrast):
    """The other view of the same slice is the only positive."""

    trains: ClassVar[tuple[str, ...]] = INFO.trains


METHOD = SimClr
