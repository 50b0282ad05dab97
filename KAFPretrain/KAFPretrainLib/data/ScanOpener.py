"""Opens a case of a folder in the scene and the views: scan, reference, prediction and where they differ."""

from pathlib import Path

import numpy as np
import slicer

from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.ResultOwner import scanOf
from KAFSegmentationLib.segment.SegmentationUndo import fingerprints

_ATTRIBUTE = "KAFPretrain.Case"  # marks our nodes: a new case replaces them, and nothing else
_STATE = "KAFPretrain.State"
_COLORS = {"reference": (0.2, 0.8, 0.35), "prediction": (0.25, 0.55, 1.0), "missed": (0.95, 0.35, 0.25),
           "too much": (1.0, 0.8, 0.2), "another structure": (0.85, 0.35, 0.85)}


def openCase(image, reference="", prediction="", name=""):
    """Shows a scan, and label maps on it if given, in place of the case that was shown before.

    Returns:
        The volume node.

    Raises:
        InputError: a file cannot be read; what was shown stays.
    """
    from kaf.imaging.volume import read_labels, read_volume

    scan = read_volume(image)
    maps = {what: read_labels(path) for what, path in (("reference", reference), ("prediction", prediction)) if path}
    for what, labels in maps.items():
        if labels.shape != scan.shape:
            raise InputError(Path(image).name, f"is shown without its {what}, which has another size",
                             "Look at the problems of this case in the tab Data.")
    closeCase()
    volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(scan.voxels), name=name or Path(image).name)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))
    volume.SetAttribute(_ATTRIBUTE, "scan")
    volume.CreateDefaultDisplayNodes()
    for what, labels in maps.items():
        _addSegmentation(volume, what, {f"{what} {value}": labels.voxels == value
                                        for value in np.unique(labels.voxels) if value}, outline=True)
    if len(maps) == 2:
        ours, theirs = maps["prediction"].voxels, maps["reference"].voxels
        _addSegmentation(volume, "difference", {
            "missed": (theirs > 0) & (ours == 0), "too much": (ours > 0) & (theirs == 0),
            "another structure": (ours > 0) & (theirs > 0) & (ours != theirs)})
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    _jumpTo(volume, next(iter(maps.values()), None))
    return volume


def closeCase():
    """Removes the case that was opened last. A label map that somebody has changed since stays, and so does a scan that
    a segmentation belongs to."""
    ours = [node for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode") if node.GetAttribute(_ATTRIBUTE)]
    for node in ours:
        if node.IsA("vtkMRMLSegmentationNode"):
            _removeUnless(node, node.GetAttribute(_STATE) != _state(node))
    for node in ours:
        if not node.IsA("vtkMRMLSegmentationNode"):
            segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            _removeUnless(node, any(scanOf(segmentation) is node for segmentation in segmentations))


def _removeUnless(node, isWanted):
    """Takes a node of ours out of the scene, or leaves it to the user for good."""
    if isWanted:
        node.RemoveAttribute(_ATTRIBUTE)
    else:
        slicer.mrmlScene.RemoveNode(node)


def _state(node):
    """What changes with any voxel of the segments."""
    return "".join(f"{key}={mark};" for key, mark in fingerprints(node.GetSegmentation()).items())


def _addSegmentation(volume, name, masks, outline=False):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} {name}")
    node.SetAttribute(_ATTRIBUTE, name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for title, mask in masks.items():
        color = _COLORS.get(name) or _COLORS[title]
        segment = node.GetSegmentation().AddEmptySegment("", title, color)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment, volume)
    node.SetAttribute(_STATE, _state(node))
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(not outline)
    display.SetOpacity2DFill(0.5)
    display.SetVisibility2DOutline(outline)


def _jumpTo(volume, labels):
    """The slices go to the middle of what is labelled."""
    if labels is None or not labels.voxels.any():
        return
    slice_, row, column = (axis.mean() for axis in np.nonzero(labels.voxels))
    right, anterior, superior = (labels.affine @ [column, row, slice_, 1])[:3]
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, float(right), float(anterior), float(superior))
