"""Opens a case of a folder in the scene and the views: scan, reference, prediction and their differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.ResultOwner import scanOf
from KAFSegmentationLib.segment.SegmentationUndo import fingerprints

_ATTRIBUTE = "KAFPretrain.Case"  # marks our nodes: a new case replaces them, and nothing else
_STATE = "KAFPretrain.State"
REFERENCE, PREDICTION, DIFFERENCE = "reference", "prediction", "difference"
MISSED, EXTRA, WRONG = "missed", "extra", "wrong"
_COLORS = {REFERENCE: (0.2, 0.8, 0.35), PREDICTION: (0.25, 0.55, 1.0), MISSED: (0.95, 0.35, 0.25),
           EXTRA: (1.0, 0.8, 0.2), WRONG: (0.85, 0.35, 0.85)}


def openCase(image: str | Path, reference: str = "", prediction: str = "",
             name: str = "", drawing: dict[str, Any] | None = None) -> slicer.vtkMRMLScalarVolumeNode:
    """Shows a scan, and label maps on it if given, in place of the case that was shown before.

    Args:
        drawing: how the reference is read, where it is not a label map (`kaf.data.case.Case.drawing`).

    Returns:
        The volume node.

    Raises:
        InputError: a file cannot be read; what was shown stays.
    """
    from kaf.imaging.volume import read_labels, read_volume

    scan = read_volume(image)
    maps = {}
    if reference:
        maps[REFERENCE] = _readDrawing(image, reference, drawing, scan) if drawing else read_labels(reference)
    if prediction:
        maps[PREDICTION] = read_labels(prediction)
    for kind, labels in maps.items():
        if labels.shape != scan.shape:
            raise InputError(Path(image).name, _mismatch(kind), _("See the problem of this case in the Data tab."))
    closeCase()
    volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(scan.voxels), name=name or Path(image).name)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))
    volume.SetAttribute(_ATTRIBUTE, "scan")
    volume.CreateDefaultDisplayNodes()
    for kind, labels in maps.items():
        _addSegmentation(volume, kind, [(_segmentName(kind, value), _COLORS[kind], labels.voxels == value)
                                        for value in np.unique(labels.voxels) if value], outline=True)
    if len(maps) == 2:
        ours, theirs = maps[PREDICTION].voxels, maps[REFERENCE].voxels
        _addSegmentation(volume, DIFFERENCE, [
            (_("missed"), _COLORS[MISSED], (theirs > 0) & (ours == 0)),
            (_("false positive"), _COLORS[EXTRA], (ours > 0) & (theirs == 0)),
            (_("wrong structure"), _COLORS[WRONG], (ours > 0) & (theirs > 0) & (ours != theirs))])
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    _jumpTo(volume, next(iter(maps.values()), None))
    return volume


def _readDrawing(image, reference, drawing, scan):
    """The label map of masks, of a structure set, or of values that are used under other numbers."""
    from kaf.data.case import case_of
    from kaf.data.labels import read_case_labels

    try:
        return read_case_labels(case_of("", image, reference, drawing), scan)
    except ImportError as error:  # the Python of Slicer has not every package of the backend
        raise InputError(Path(reference).name, _("cannot be shown here ({reason})").format(reason=error),
                         _("Convert the folder with `kaf data convert`, and choose the new one.")) from error


def closeCase() -> None:
    """Removes the case that was opened last. A label map that a person has changed since stays, and so does a scan that
    a segmentation belongs to."""
    ours = [node for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode") if node.GetAttribute(_ATTRIBUTE)]
    for node in ours:
        if node.IsA("vtkMRMLSegmentationNode"):
            _removeUnless(node, node.GetAttribute(_STATE) != _state(node))
    for node in ours:
        if not node.IsA("vtkMRMLSegmentationNode"):
            segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            _removeUnless(node, any(scanOf(segmentation) is node for segmentation in segmentations))


def _mismatch(kind):
    return {REFERENCE: _("its reference segmentation has another size, so the case cannot be shown"),
            PREDICTION: _("its prediction has another size, so the case cannot be shown")}[kind]


def _nodeName(kind, scan):
    return {REFERENCE: _("{scan} reference"), PREDICTION: _("{scan} prediction"),
            DIFFERENCE: _("{scan} difference")}[kind].format(scan=scan)


def _segmentName(kind, value):
    return {REFERENCE: _("reference {label}"), PREDICTION: _("prediction {label}")}[kind].format(label=value)


def _removeUnless(node, isWanted):
    """Takes a node of ours out of the scene, or leaves it to the user for good."""
    if isWanted:
        node.RemoveAttribute(_ATTRIBUTE)
    else:
        slicer.mrmlScene.RemoveNode(node)


def _state(node):
    """What changes with any voxel of the segments."""
    return "".join(f"{key}={mark};" for key, mark in fingerprints(node.GetSegmentation()).items())


def _addSegmentation(volume, kind, segments, outline=False):
    """Segments are (name, color, mask)."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _nodeName(kind, volume.GetName()))
    node.SetAttribute(_ATTRIBUTE, kind)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, color, mask in segments:
        segment = node.GetSegmentation().AddEmptySegment("", name, color)
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
