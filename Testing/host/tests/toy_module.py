"""The toy module of the host: where it lies, and what a test puts before it and finds behind it."""

from pathlib import Path

import numpy as np
import slicer

import host

TOY = Path(host.__file__).parent / "toy"


def ui_file(folder: Path) -> Path:
    return folder / "Resources" / "UI" / "ToyThreshold.ui"


def add_volume(name="Head"):
    """A bright ellipsoid of 200 in 0, and where it is."""
    z, y, x = np.mgrid[:20, :32, :32]
    inside = ((z - 10) / 7) ** 2 + ((y - 16) / 10) ** 2 + ((x - 16) / 12) ** 2 < 1
    node = slicer.util.addVolumeFromArray(np.float32(200) * inside, name=name)
    return node, inside


def labels(node, volume):
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, "bright", volume).astype(bool)
