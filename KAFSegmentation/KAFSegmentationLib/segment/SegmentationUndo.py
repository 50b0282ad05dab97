"""Takes one run back without touching what was drawn since, or beside it."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import slicer
import vtk
from scipy import ndimage
from vtk.util.numpy_support import vtk_to_numpy

LABELMAP = "Binary labelmap"
_OTHERS = ("Closed surface", "Planar contour", "Ribbon model", "Fractional labelmap")


class Undo(Protocol):
    """Takes what a run wrote back."""

    node: slicer.vtkMRMLSegmentationNode

    def written(self) -> None:
        """The run has written its segments."""

    def isPossible(self) -> bool:
        """Whether there is anything to go back from."""

    def changedSince(self) -> list[str]:
        """The names of segments with later changes that would be lost."""

    def undo(self) -> None:
        """Goes back."""


class SegmentationUndo:
    """A segmentation as it is now; after :meth:`written` it knows which segments a run has made or changed, and
    only those are ever put back.

    Args:
        segmentationNode: what is about to be written into.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode):
        self.node = segmentationNode
        self._before = slicer.vtkSegmentation()
        self._before.DeepCopy(segmentationNode.GetSegmentation())
        self._after: dict[str, str | None] = {}
        self._names: dict[str, str] = {}

    def written(self) -> None:
        """The run has written its segments."""
        segmentation = self.node.GetSegmentation()
        before, now = fingerprints(self._before), fingerprints(segmentation)
        self._after = {key: mark for key, mark in now.items() if key not in before or before[key] not in (mark, None)}
        self._names = {key: segmentation.GetSegment(key).GetName() for key in self._after}

    def isPossible(self) -> bool:
        """Whether there is anything to go back from."""
        return bool(self._after) and slicer.mrmlScene.IsNodePresent(self.node)

    def changedSince(self) -> list[str]:
        """The names of the run's segments that were changed or removed after it, which going back would undo too."""
        now = fingerprints(self.node.GetSegmentation())
        return [self._names[key] for key, mark in self._after.items() if now.get(key) != mark]

    def undo(self) -> None:
        """Puts the run's segments back; names and colours, and all other segments, stay as they are now."""
        segmentation = self.node.GetSegmentation()
        with slicer.util.RenderBlocker(), slicer.util.NodeModify(self.node):
            for key in self._after:
                old, new = self._before.GetSegment(key), segmentation.GetSegment(key)
                if old is None:
                    if new is not None:
                        segmentation.RemoveSegment(key)
                    continue
                if new is None:
                    segmentation.AddSegment(_emptyCopy(old), key)
                logic = slicer.modules.segmentations.logic()
                image = _alone(old)
                if image is None:
                    logic.ClearSegment(self.node, key)
                else:
                    logic.SetBinaryLabelmapToSegment(image, self.node, key, logic.MODE_REPLACE)
        self._after = {}


def fingerprints(segmentation: slicer.vtkSegmentation) -> dict[str, str | None]:
    """Segment id -> what changes with any voxel of it; "" for an empty one, None for one without voxels (a surface).

    Segments share images, so each image is gone through once, however many segments it holds.
    """
    marks, boxes = {}, {}
    for key in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(key)
        image = segment.GetRepresentation(LABELMAP)
        if image is None:
            marks[key] = None if any(map(segment.GetRepresentation, _OTHERS)) else ""
            continue
        address = image.GetAddressAsString("vtkObject")
        if address not in boxes:
            voxels = _voxels(image)
            boxes[address] = voxels, ndimage.find_objects(voxels) if voxels.size else []
        voxels, found = boxes[address]
        value = int(segment.GetLabelValue())
        box = found[value - 1] if 0 < value <= len(found) else None
        marks[key] = "" if box is None else _mark(image, voxels[box] == value, box)
    return marks


def _mark(image, mask, box):
    place = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(place)
    first = [part.start + low for part, low in zip(box, image.GetExtent()[4::-2], strict=True)]
    start = place.MultiplyPoint((*first[::-1], 1.0))
    digest = hashlib.blake2b(np.packbits(mask).tobytes())
    digest.update(repr((mask.shape, [round(value, 3) for value in start])).encode())
    return digest.hexdigest()


def _voxels(image):
    """(slice, row, column) of an image; of no size where it is empty."""
    scalars = image.GetPointData().GetScalars()
    if scalars is None or not scalars.GetNumberOfTuples():
        return np.zeros((0, 0, 0), np.uint8)
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])


def _alone(segment):
    """An image of 0 and 1 with this segment alone; None if it is empty."""
    shared = segment.GetRepresentation(LABELMAP)
    if shared is None or not _voxels(shared).size:
        return None
    threshold, place, image = vtk.vtkImageThreshold(), vtk.vtkMatrix4x4(), slicer.vtkOrientedImageData()
    threshold.SetInputData(shared)
    threshold.ThresholdBetween(segment.GetLabelValue(), segment.GetLabelValue())
    threshold.SetInValue(1)
    threshold.SetOutValue(0)
    threshold.SetOutputScalarTypeToUnsignedChar()
    threshold.Update()
    image.ShallowCopy(threshold.GetOutput())
    shared.GetImageToWorldMatrix(place)
    image.SetGeometryFromImageToWorldMatrix(place)
    return image


def _emptyCopy(segment):
    """Name, colour and codes of a segment, without its voxels."""
    copy = slicer.vtkSegment()
    copy.DeepCopyMetadata(segment)
    return copy
