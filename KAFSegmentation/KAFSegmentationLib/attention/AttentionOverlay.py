"""A map laid over the slices in colours of its own, and taken off again without a trace."""

from __future__ import annotations

import numpy as np
import slicer

from KAFSegmentationLib.scene.MapColors import REGIONS, SCALE, MapColors
from KAFSegmentationLib.scene.MapWriter import MapWriter


class AttentionOverlay:
    """Shows one map at a time as the foreground of all slice views.

    The foreground that the user had is remembered and put back by :meth:`hide`. The map is not saved with the
    scene and does not appear in the lists of volumes; :meth:`keep` makes one that does.
    """

    def __init__(self):
        self._opacity = 0.6
        self._colors = SCALE
        self._reset()

    def isShown(self) -> bool:
        """True while the map is in the slice views."""
        return bool(self._before)

    def show(self, array: np.ndarray, affine: np.ndarray, volumeNode: slicer.vtkMRMLScalarVolumeNode, title: str,
             colors: MapColors = SCALE) -> None:
        """Lays a map over the slices.

        Args:
            array: (slice, row, column), 0 to 1; with REGIONS numbers from 1.
            affine: 4 x 4, voxel to RAS mm of the frame of the volume.
            volumeNode: the volume it explains; the map moves with it.
            title: what the colour legend says.
            colors: the MapColors to draw it with.
        """
        self._map, self._volumeNode = (np.array(array, colors.dtype), np.array(affine, float), title), volumeNode
        self._colors = colors
        if self._node is None or not slicer.mrmlScene.IsNodePresent(self._node):
            self._node = self._newNode()
        MapWriter(volumeNode).fill(self._node, self._map[0], affine)
        colors.applyTo(self._node)
        slicer.modules.colors.logic().GetColorLegendDisplayNode(self._node).SetTitleText(title)
        self._putInFront()

    def hide(self) -> None:
        """Takes the map off the slices and puts back what was there before."""
        before, self._before = self._before, {}
        for compositeId, (nodeId, opacity) in before.items():
            composite = slicer.mrmlScene.GetNodeByID(compositeId)
            if composite is not None and self._node is not None \
                    and composite.GetForegroundVolumeID() == self._node.GetID():
                there = nodeId is not None and slicer.mrmlScene.GetNodeByID(nodeId) is not None
                composite.SetForegroundVolumeID(nodeId if there else None)
                composite.SetForegroundOpacity(opacity)
        self._showLegend(False)

    def showAgain(self) -> None:
        """Puts the last map back after :meth:`hide`."""
        if self._node is not None and slicer.mrmlScene.IsNodePresent(self._node) and self._map is not None:
            self._putInFront()

    def style(self, opacity: float, hideBelow: float, legend: bool) -> None:
        """How strongly the map covers the scan (0..1), from which value on it is drawn, and the legend; the numbers of
        regions mean nothing, so that they have neither."""
        self._opacity = opacity
        if self._node is None or not slicer.mrmlScene.IsNodePresent(self._node):
            return
        with slicer.util.NodeModify(self._node.GetDisplayNode()):
            self._colors.showFrom(self._node.GetDisplayNode(), hideBelow)
        for composite in _composites():
            if composite.GetID() in self._before:
                composite.SetForegroundOpacity(opacity)
        self._showLegend(legend and self._colors.isScale and self.isShown())

    def keep(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The map as a volume of the user's own, regions as a label map; returns the node, or None if there is no map.
        """
        if self._map is None or self._volumeNode is None:
            return None
        array, affine, title = self._map
        node = MapWriter(self._volumeNode).write(array, affine, title.lower(), not self._colors.isScale)
        self._colors.applyPermanently(node)
        return node

    def remove(self) -> None:
        """Takes everything of it out of the scene."""
        self.hide()
        if self._node is not None and slicer.mrmlScene.IsNodePresent(self._node):
            legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(self._node)
            for node in (legend, self._node.GetDisplayNode(), self._node):
                if node is not None:
                    slicer.mrmlScene.RemoveNode(node)
        self._reset()

    def forget(self) -> None:
        """The scene is closing: every node is gone."""
        for colors in (SCALE, REGIONS):
            colors.forget()
        self._reset()

    def _reset(self):
        """Nothing is shown, and nothing remembered."""
        self._node = self._volumeNode = self._map = None
        self._before = {}

    def _putInFront(self):
        for composite in _composites():
            if composite.GetForegroundVolumeID() != self._node.GetID():
                self._before[composite.GetID()] = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
                composite.SetForegroundVolumeID(self._node.GetID())
            composite.SetForegroundOpacity(self._opacity)

    def _showLegend(self, visible):
        if self._node is not None and slicer.mrmlScene.IsNodePresent(self._node):
            slicer.modules.colors.logic().GetColorLegendDisplayNode(self._node).SetVisibility(visible)

    def _newNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
        node.UnRegister(None)
        node.SetName("KAF attention")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        self._colors.applyTo(node)
        legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
        legend.SetVisibility(False)
        legend.SetNumberOfLabels(3)
        legend.SetMaxNumberOfColors(256)
        legend.SetSize(0.08, 0.32)
        for style, size in ((legend.GetTitleTextProperty(), 13), (legend.GetLabelTextProperty(), 12)):
            style.SetFontSize(size)
        for part in (node.GetDisplayNode(), legend):
            part.SetSaveWithScene(False)
        return node


def _composites():
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
