"""The colours of maps: a scale from dark to bright for values, and colours far from each other for numbered regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.imaging.labels import PALETTE

_STOPS = ((48, 18, 92), (130, 30, 120), (205, 60, 80), (245, 140, 50), (252, 240, 130))
_COUNT = 256  # as many as the display of a volume tells apart
_GREY = 25.0  # CIELAB chroma below which a colour could be mistaken for the scan


@dataclass(frozen=True)
class MapColors:
    """A colour table and how a map is drawn with it: ``top`` is the value of its last colour, ``dtype`` that of the
    voxels; ``isScale`` tells values, between which pixels may be interpolated, from numbers."""

    name: str
    tag: str
    top: float
    dtype: type
    isScale: bool

    def node(self) -> slicer.vtkMRMLColorTableNode:
        """The colour table, made when it is first needed."""
        node = slicer.mrmlScene.GetSingletonNode(self.tag, "vtkMRMLColorTableNode")
        if node is not None:
            return node
        node = slicer.vtkMRMLColorTableNode()
        node.SetTypeToUser()
        node.SetName(self.name)
        node.SetSingletonTag(self.tag)
        node.SetNumberOfColors(_COUNT)
        for index, (text, color, alpha) in enumerate(_scale() if self.isScale else _regions()):
            node.SetColor(index, text, *color, alpha)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        return slicer.mrmlScene.AddNode(node)

    def applyTo(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Colours from 0 to ``top``, never chosen by the voxels, so that two maps can be compared."""
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(self.node().GetID())
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            return  # its voxels are numbers of colours already
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0.0, self.top)
        display.SetInterpolate(self.isScale)

    def applyPermanently(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """The same for a volume that stays in the scene: the colour table is saved with it."""
        self.applyTo(node)
        self.node().SetSaveWithScene(True)

    def forget(self) -> None:
        """The scene is closing: its maps go, and the colour table, which outlives it, is no longer saved for them."""
        node = slicer.mrmlScene.GetSingletonNode(self.tag, "vtkMRMLColorTableNode")
        if node is not None:
            node.SetSaveWithScene(False)

    def showFrom(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, lowest: float) -> None:
        """Draws nothing below a value (of a scale; regions are drawn whole)."""
        display.SetThreshold(max(lowest, 1e-3) if self.isScale else 0.5, self.top)
        display.ApplyThresholdOn()


SCALE = MapColors("KAF attention colors", "KAFAttentionColors", 1.0, np.float32, True)
REGIONS = MapColors("KAF cluster colors", "KAFRegionColors", float(_COUNT - 1), np.uint8, False)


def rampColor(value: float) -> tuple[float, ...]:
    """(red, green, blue), each 0 to 1, of a value from 0 to 1."""
    place = min(max(value, 0.0), 1.0) * (len(_STOPS) - 1)
    low = min(int(place), len(_STOPS) - 2)
    return tuple((a + (b - a) * (place - low)) / 255 for a, b in zip(_STOPS[low], _STOPS[low + 1], strict=True))


def regionColors(count: int) -> list[tuple[float, ...]]:
    """``count`` colours (red, green, blue), each 0 to 1: those of the structures without the grey, then always the one
    that is farthest from all before it."""
    levels = np.linspace(0, 1, 9)
    lattice = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    places = lab(lattice)
    use = (np.hypot(places[:, 1], places[:, 2]) > _GREY) & (places[:, 0] > 35) & (places[:, 0] < 95)
    lattice, places = lattice[use], places[use]
    colors = [tuple(part / 255 for part in color) for color in PALETTE if len(set(color)) > 1]
    nearest = np.linalg.norm(places[:, None] - lab(np.array(colors))[None], axis=2).min(1)
    while len(colors) < count:
        best = int(nearest.argmax())
        colors.append(tuple(lattice[best].tolist()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return colors[:count]


def lab(colors: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB colours (N, 3), 0 to 1: distances are as large as they look."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    toXyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    parts = np.cbrt(linear @ toXyz.T / [0.9505, 1.0, 1.089])
    x, y, z = parts.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _scale():
    return [(f"{index / 255:.2f}", rampColor(index / 255), 1.0) for index in range(_COUNT)]


def _regions():
    colors = enumerate(regionColors(_COUNT - 1), start=1)
    return [(_("background"), (0.0, 0.0, 0.0), 0.0),
            *((_("cluster {number}").format(number=number), color, 1.0) for number, color in colors)]
