"""PCL: positional contrast of slices."""

from __future__ import annotations

from typing import ClassVar

from kaf.methods.contrast import SliceContrast
from kaf.methods.pcl.info import INFO


class Pcl(SliceContrast):
    """Slices at similar positions in their volumes are positives."""

    trains: ClassVar[tuple[str, ...]] = INFO.trains


METHOD = Pcl
