"""Nodes made and read in the tests on Slicer's real MRML."""

import numpy as np
import slicer


def volume_node(voxels, affine=None, name="Heart"):
    """A scalar volume in the scene."""
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4) if affine is None else affine))
    return node


def transform_node(matrix, name="Moved"):
    """A linear transform in the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
    return node


def segments(node):
    """Segment id by name."""
    segmentation = node.GetSegmentation()
    return {segmentation.GetSegment(key).GetName(): key for key in segmentation.GetSegmentIDs()}


def segment_array(node, name, volume):
    """A segment on the grid of a volume, bool (slice, row, column)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segments(node)[name], volume).astype(bool)
