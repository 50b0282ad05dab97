"""Labels of the backend become segments of a segmentation node, beside what is already there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.ResultOwner import assignTo, scanOf

MODEL_TAG = "KAFSegmentation.Model"
VALUE_TAG = "KAFSegmentation.Label"


class SegmentationWriter:
    """Writes the labels of one model on one volume.

    Segments that the same model made before are replaced; all others stay as they are, and no two get one name.

    Args:
        volumeNode: the volume the labels lie on.
        modelName: what the segments are remembered by.
        labels: the card's structures, as dictionaries with value, name, colour (0..255) and terminology.
        gridNode: the volume whose grid the labels have, where that is not the one that the scene shows: a time point
            of a sequence.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, modelName: str, labels: Sequence[Mapping[str, Any]],
                 gridNode: slicer.vtkMRMLScalarVolumeNode | None = None):
        self.volumeNode, self.modelName, self.labels = volumeNode, modelName, list(labels)
        self._gridNode = gridNode or volumeNode
        self.segmentIds: list[str] = []
        """Of the segments that were written last, in the order of the labels."""

    def write(self, voxels: np.ndarray, segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
              segmentIds: Mapping[int, str] | None = None) -> slicer.vtkMRMLSegmentationNode:
        """The segmentation node with ``voxels`` (slice, row, column; label values) in it; a new one if none is
        given.

        Args:
            segmentIds: value -> segment that takes it, whoever made that; for other values it is found or made.
        """
        isNew = segmentationNode is None
        with slicer.util.RenderBlocker():
            if isNew:
                segmentationNode = self.newNode()
            else:
                self._adopt(segmentationNode)
            try:
                self._fill(voxels, segmentationNode, segmentIds or {})
            except Exception:
                if isNew:  # an empty one would be taken for a result
                    slicer.mrmlScene.RemoveNode(segmentationNode)
                raise
        return segmentationNode

    def newNode(self) -> slicer.vtkMRMLSegmentationNode:
        """An empty segmentation of the volume: named after it, in its place, moved with it."""
        return self.prepare(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation"))

    def prepare(self, node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLSegmentationNode:
        """Makes an empty segmentation that was just made the volume's own, and names it after it; returns it."""
        node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{self.volumeNode.GetName()} segmentation"))
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetOpacity2DFill(0.35)
        self._adopt(node)
        return node

    def _fill(self, voxels, node, given):
        hadSurface = node.GetSegmentation().ContainsRepresentation("Closed surface")
        with slicer.util.NodeModify(node):
            self.segmentIds = [given.get(label["value"]) or self._segment(node, label) for label in self.labels]
            self._import(voxels, node, self.segmentIds)
        if hadSurface:
            node.CreateClosedSurfaceRepresentation()

    def _adopt(self, node):
        """Gives an empty segmentation the volume's transform, grid and place; one with content keeps its own."""
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
        empty = node.GetSegmentation().GetNumberOfSegments() == 0
        if empty:
            node.SetAndObserveTransformNodeID(self.volumeNode.GetTransformNodeID())
        if empty or scanOf(node) in (None, self.volumeNode):
            assignTo(node, self.volumeNode)

    def find(self, node: slicer.vtkMRMLSegmentationNode, value: int) -> str | None:
        """The id of the segment that this model made for a value before, or None."""
        segmentation = node.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segmentId)
            if (tag(segment, MODEL_TAG), tag(segment, VALUE_TAG)) == (self.modelName, str(value)):
                return segmentId
        return None

    def claim(self, node: slicer.vtkMRMLSegmentationNode, value: int, segmentId: str) -> None:
        """Makes a segment this model's own for a value, so that its next result goes there."""
        segment = node.GetSegmentation().GetSegment(segmentId)
        segment.SetTag(MODEL_TAG, self.modelName)
        segment.SetTag(VALUE_TAG, str(value))

    def place(self, node: slicer.vtkMRMLSegmentationNode) -> vtk.vtkMatrix4x4:
        """Voxel to RAS mm of the frame of the segmentation.

        Raises:
            InputError: a non-linear transform lies between the two.
        """
        between, voxels, place = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
        own, theirs = self.volumeNode.GetParentTransformNode(), node.GetParentTransformNode()
        if own is not theirs and not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(own, theirs, between):
            reason = _("this segmentation is under the non-linear transform '{name}'")
            raise InputError(node.GetName(), reason.format(name=theirs.GetName()),
                             _("Harden that transform in the Data module, or choose a new segmentation."))
        self._gridNode.GetIJKToRASMatrix(voxels)
        vtk.vtkMatrix4x4.Multiply4x4(between, voxels, place)
        return place

    def _segment(self, node, label):
        """The id of the segment for a label: the one this model made before, or a new one."""
        segmentId = self.find(node, label["value"])
        if segmentId is not None:
            return segmentId
        segmentation = node.GetSegmentation()
        segmentId = segmentation.GenerateUniqueSegmentID(f"{self.modelName}.{label['name']}")
        segment = slicer.vtkSegment()
        segment.SetName(freeName(segmentation, label["name"]))
        segment.SetColor(*(part / 255 for part in label["colour"]))
        if label.get("terminology"):
            segment.SetTag(segment.GetTerminologyEntryTagName(), label["terminology"])
        segmentation.AddSegment(segment, segmentId)
        self.claim(node, label["value"], segmentId)
        return segmentId

    def _import(self, voxels, node, segmentIds):
        """Puts value n of the labels into the n-th of the segments, through a label map in the segmentation's own
        frame. (Slicer 5.12's import of a label map under another transform, with segment ids, moves it twice.)"""
        renumbered = np.zeros(256, np.uint8)
        for number, label in enumerate(self.labels, start=1):
            renumbered[label["value"]] = number
        ids = vtk.vtkStringArray()
        for segmentId in segmentIds:
            ids.InsertNextValue(segmentId)
        labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "KAF labels")
        try:
            labelmap.SetHideFromEditors(True)
            labelmap.SetIJKToRASMatrix(self.place(node))
            labelmap.SetAndObserveTransformNodeID(node.GetTransformNodeID())
            slicer.util.updateVolumeFromArray(labelmap, renumbered[np.asarray(voxels)])
            logic = slicer.modules.segmentations.logic()
            if not logic.ImportLabelmapToSegmentationNode(labelmap, node, ids):
                raise RuntimeError(_("Slicer could not import the labels into '{name}'").format(name=node.GetName()))
        finally:
            slicer.mrmlScene.RemoveNode(labelmap)


def tag(segment: slicer.vtkSegment, name: str) -> str:
    """A tag of a segment, or nothing."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def freeName(segmentation: slicer.vtkSegmentation, name: str) -> str:
    """The name, or where a segment has it already, the name with a number."""
    taken = {segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()}
    free, count = name, 2
    while free in taken:
        free, count = f"{name} {count}", count + 1
    return free
