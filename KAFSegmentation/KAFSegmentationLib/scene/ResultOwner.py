"""Which scan a segmentation was made on, so that nothing of one patient is written among what is another's."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError

SCAN_ATTRIBUTE = "KAFSegmentation.Scan"
"""The name that the scan had: Slicer forgets the reference when the scan is removed."""


class OtherScanError(InputError):
    """The segmentation belongs to another scan than the one that is to be segmented."""


def scanOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLVolumeNode | None:
    """The volume that the segmentation was made on; None if it does not say, or that is gone."""
    return segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())


def assignTo(segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Makes a segmentation a scan's own: its grid, and its place in the data tree."""
    segmentationNode.SetAttribute(SCAN_ATTRIBUTE, volumeNode.GetName())
    if scanOf(segmentationNode) is volumeNode and segmentationNode.GetSegmentation().GetNumberOfSegments():
        return  # it may have a finer grid than the scan by now, and a place that somebody gave it
    # Sets the reference to the volume too, which DICOM export and the Segment Editor go by.
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume, item = tree.GetItemByDataNode(volumeNode), tree.GetItemByDataNode(segmentationNode)
    if volume and item:
        tree.SetItemParent(item, tree.GetItemParent(volume))


def isOwn(segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether it is this scan's, or nobody's: empty, and made on no scan."""
    owner = scanOf(segmentationNode)
    if owner is not None:
        return owner is volumeNode
    return segmentationNode.GetSegmentation().GetNumberOfSegments() == 0 \
        and segmentationNode.GetAttribute(SCAN_ATTRIBUTE) is None


def isForeign(segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether it is known to be another scan's. What was drawn elsewhere may not say whose it is."""
    owner = scanOf(segmentationNode)
    return owner is not volumeNode if owner is not None else segmentationNode.GetAttribute(SCAN_ATTRIBUTE) is not None


def otherScanError(segmentationNode: slicer.vtkMRMLSegmentationNode,
                   volumeNode: slicer.vtkMRMLScalarVolumeNode) -> OtherScanError:
    """The OtherScanError that says which scan the segmentation belongs to."""
    return OtherScanError(_("Result"), ownerClause(segmentationNode, volumeNode),
                          _("Select a segmentation of this scan, or a new one, under Result."))


def ownerClause(segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Which scan a segmentation belongs to that is not this scan's own; without a full stop."""
    owner, name = scanOf(segmentationNode), segmentationNode.GetAttribute(SCAN_ATTRIBUTE)
    if owner is not None:
        text = _("'{segmentation}' belongs to the scan '{owner}', not to '{scan}'")
    elif name is not None:
        text = _("'{segmentation}' was created from the scan '{owner}', which is no longer in the scene, "
                 "not from '{scan}'")
    else:
        text = _("'{segmentation}' does not state which scan it belongs to")
    return text.format(segmentation=segmentationNode.GetName(), owner=owner.GetName() if owner is not None else name,
                       scan=volumeNode.GetName())


def resultsOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLSegmentationNode]:
    """The segmentations that KAF has made for a scan, the newest last."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            if node.GetAttribute(SCAN_ATTRIBUTE) is not None and scanOf(node) is volumeNode
            and not node.GetHideFromEditors()]
