"""Keypoints as locked points in the slices, coloured by how much they are attended."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from KAFSegmentationLib.scene.MapColors import rampColor

_STEPS = 5
_CHOSEN = (0.2, 0.9, 1.0)


class KeypointMarkups:
    """Draws the most attended keypoints of each slice.

    A point list of Slicer has one colour, so there is one for each step of the colour scale. They are locked, not
    saved with the scene and not listed; :meth:`keep` makes one list that is.
    """

    def __init__(self):
        self._nodes: list = []
        self._shown: tuple | None = None
        self._drawn: tuple | None = None

    def show(self, positions: np.ndarray, weights: np.ndarray, slices: np.ndarray, chosen: int | None,
             volumeNode: slicer.vtkMRMLScalarVolumeNode, count: float) -> None:
        """Draws up to ``count`` keypoints of each slice.

        Args:
            positions: (N, 3) RAS mm in the frame of the volume; weights: (N,) shares of the attention;
            slices: (N,) the slice of each.
            chosen: the index of the one that was asked about, or None.
        """
        positions, weights, slices = np.asarray(positions), np.asarray(weights), np.asarray(slices)
        if self._isDrawn(positions, weights, chosen, volumeNode, count):
            return  # each list that changes has every view drawn again
        top = most(weights, slices, int(count))
        share = relative(weights, slices)
        step = np.minimum((share * _STEPS).astype(int), _STEPS - 1)
        for index, node in enumerate(self._lists()):
            if index < _STEPS:
                members = top & (step == index) & (np.arange(len(weights)) != chosen)
            else:
                members = np.arange(len(weights)) == chosen
            self._fill(node, positions[members], volumeNode)
        self._shown = positions, weights, chosen, volumeNode  # last: making new lists forgets what was shown
        self._drawn = int(count), volumeNode.GetTransformNodeID()

    def clear(self) -> None:
        """Takes all points off the slices."""
        for node in self._nodes:
            if slicer.mrmlScene.IsNodePresent(node):
                node.RemoveAllControlPoints()
        self._shown = None

    def setVisible(self, visible: bool) -> None:
        """Hides the points, or shows them again."""
        for node in self._nodes:
            if slicer.mrmlScene.IsNodePresent(node):
                node.GetDisplayNode().SetVisibility(visible)

    def keep(self) -> slicer.vtkMRMLMarkupsFiducialNode | None:
        """All keypoints as one hidden point list of the user's own, with their attention as description; None
        without any."""
        if self._shown is None or not len(self._shown[0]):
            return None
        positions, weights, chosen, volumeNode = self._shown
        name = slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} keypoints")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetTextScale(0)
        node.GetDisplayNode().SetVisibility(False)  # hundreds of points would cover the views
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        for rank, index in enumerate(np.argsort(-weights, kind="stable"), start=1):
            number = node.AddControlPoint(*map(float, positions[index]))
            label = _("K{rank} (chosen)") if index == chosen else "K{rank}"
            node.SetNthControlPointLabel(number, label.format(rank=rank))
            node.SetNthControlPointDescription(number, _("attention {share}").format(share=f"{weights[index]:.4f}"))
            node.SetNthControlPointLocked(number, True)
        return node

    def remove(self) -> None:
        """Takes everything of it out of the scene."""
        for node in self._nodes:
            if slicer.mrmlScene.IsNodePresent(node):
                display = node.GetDisplayNode()
                slicer.mrmlScene.RemoveNode(node)
                if display is not None and slicer.mrmlScene.IsNodePresent(display):
                    slicer.mrmlScene.RemoveNode(display)
        self.forget()

    def forget(self) -> None:
        """The scene is closing: every node is gone."""
        self._nodes, self._shown = [], None

    def _isDrawn(self, positions, weights, chosen, volumeNode, count):
        """Whether these very points are drawn already, and nobody has taken them away."""
        if self._shown is None or self._drawn != (int(count), volumeNode.GetTransformNodeID()):
            return False
        return positions is self._shown[0] and weights is self._shown[1] and (chosen, volumeNode) == self._shown[2:] \
            and all(slicer.mrmlScene.IsNodePresent(node) for node in self._nodes)

    def _lists(self):
        """One point list for each step, and the last one for the chosen keypoint."""
        if not self._nodes or not all(slicer.mrmlScene.IsNodePresent(node) for node in self._nodes):
            self.remove()
            colors = [rampColor((index + 0.5) / _STEPS) for index in range(_STEPS)]
            self._nodes = [hiddenPoints("KAF keypoints", color, 2.2) for color in colors]
            self._nodes.append(hiddenPoints("KAF keypoints", _CHOSEN, 5.0))
        return self._nodes

    def _fill(self, node, positions, volumeNode):
        with slicer.util.NodeModify(node):
            node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
            node.RemoveAllControlPoints()
            if len(positions):
                slicer.util.updateMarkupsControlPointsFromArray(node, np.asarray(positions, float))
            node.SetLocked(True)


def most(weights: np.ndarray, slices: np.ndarray, count: int) -> np.ndarray:
    """(N,) bool: the ``count`` heaviest keypoints of each slice."""
    chosen = np.zeros(len(weights), bool)
    for number in np.unique(slices):
        members = np.flatnonzero(slices == number)
        chosen[members[np.argsort(-weights[members], kind="stable")[:count]]] = True
    return chosen


def relative(weights: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """(N,) weights as a share of the heaviest of their slice, 0 to 1."""
    share = np.zeros(len(weights))
    for number in np.unique(slices):
        members = slices == number
        share[members] = weights[members] / max(float(weights[members].max()), 1e-12)
    return share


def hiddenPoints(name: str, color: tuple[float, float, float], scale: float) -> slicer.vtkMRMLMarkupsFiducialNode:
    """A new point list that is neither listed nor saved, for points that are shown and not edited.

    Args:
        color: red, green and blue, each 0 to 1.
        scale: of the points; from 3 on they are stars.
    """
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetTextScale(0)
    display.SetGlyphScale(scale)
    display.SetGlyphTypeFromString("Circle2D" if scale < 3 else "StarBurst2D")
    display.SetVisibility3D(False)
    for setColor in (display.SetColor, display.SetSelectedColor, display.SetActiveColor):
        setColor(*color)
    return node
