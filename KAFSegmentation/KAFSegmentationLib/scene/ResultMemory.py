"""What segments looked like when they were written, so that corrections are found by comparing."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

import numpy as np
import slicer
import vtk

from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry


class ResultMemory:
    """Keeps a copy of segments, packed: a mask of 16 million voxels takes some kilobytes.

    Args:
        volumeNode: the scan on whose grid they are seen.
        segmentationNode, segmentIds: the segments.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
                 segmentIds: Iterable[str]):
        self._place = _place(volumeNode)
        self._node = vtk.vtkWeakReference()  # node ids come again in the next scene
        self._node.Set(segmentationNode)
        self._packed = {segmentId: _packed(mask(segmentationNode, segmentId, volumeNode)) for segmentId in segmentIds}

    @classmethod
    def of(cls, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
           masks: Mapping[str, np.ndarray], before: ResultMemory | None = None) -> ResultMemory:
        """Of a result that is not written everywhere: masks (slice, row, column) by id of the segment.

        Args:
            before: what is known of the other segments.
        """
        memory = cls(volumeNode, segmentationNode, ())
        if before is not None and before._place == memory._place and before._node.Get() is segmentationNode:
            memory._packed.update(before._packed)
        memory._packed.update({segmentId: _packed(voxels) for segmentId, voxels in masks.items()})
        return memory

    def recall(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
               segmentId: str) -> np.ndarray | None:
        """The mask (slice, row, column) of a segment as it was then, or None if that is not known."""
        packed = self._packed.get(segmentId)
        place = _place(volumeNode)
        if packed is None or self._node.Get() is not segmentationNode or place != self._place:
            return None
        shape = place[1]
        bits = np.frombuffer(zlib.decompress(packed), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)


def mask(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str,
         volumeNode: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """A segment on the grid of a volume: bool (slice, row, column)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode) > 0


def _packed(voxels):
    return zlib.compress(np.packbits(voxels), 1)


def _place(volumeNode):
    geometry = VolumeGeometry(volumeNode)
    return volumeNode.GetID(), geometry.shape(), geometry.affine().tobytes()
