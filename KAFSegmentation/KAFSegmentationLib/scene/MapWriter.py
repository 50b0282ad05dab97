"""Maps as volumes: continuous ones (attention, uncertainty) as scalar volumes, numbered regions as label maps."""

from __future__ import annotations

import numpy as np
import slicer


class MapWriter:
    """Makes volumes that lie on, and move with, the volume they explain."""

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode):
        self.volumeNode = volumeNode

    def write(self, array: np.ndarray, affine: np.ndarray, what: str,
              isLabelMap: bool = False) -> slicer.vtkMRMLScalarVolumeNode:
        """A new volume, named after the scan, in its place in the data tree.

        Args:
            array: (slice, row, column) float32, or uint8 for a label map.
            affine: 4 x 4, voxel (column, row, slice, 1) to RAS mm of the volume's own frame.
            what: what it shows, the end of its name.
        """
        name = slicer.mrmlScene.GenerateUniqueName(f"{self.volumeNode.GetName()} {what}")
        kind = "vtkMRMLLabelMapVolumeNode" if isLabelMap else "vtkMRMLScalarVolumeNode"
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        self.fill(node, array, affine)
        node.CreateDefaultDisplayNodes()
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        volume, item = tree.GetItemByDataNode(self.volumeNode), tree.GetItemByDataNode(node)
        if volume and item:
            tree.SetItemParent(item, tree.GetItemParent(volume))
        return node

    def fill(self, node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray, affine: np.ndarray) -> None:
        """New voxels and a new place for a map that is there already."""
        with slicer.util.NodeModify(node):
            slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
            node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, float)))
            node.SetAndObserveTransformNodeID(self.volumeNode.GetTransformNodeID())
