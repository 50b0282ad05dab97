"""Which scan a segmentation was made on, so that nothing of one patient is written among what is another's."""

import slicer

from kaf.runtime.errors import InputError

SCAN_ATTRIBUTE = "KAFSegmentation.Scan"
"""The name that the scan had: Slicer forgets the reference when the scan is removed."""


class OtherScanError(InputError):
    """The segmentation belongs to another scan than the one that is to be segmented."""


def scanOf(segmentationNode):
    """The volume that the segmentation was made on; None if it does not say, or that is gone."""
    return segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())


def assignTo(segmentationNode, volumeNode):
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


def isOwn(segmentationNode, volumeNode):
    """Whether it is this scan's, or nobody's: empty, and made on no scan."""
    owner = scanOf(segmentationNode)
    if owner is not None:
        return owner is volumeNode
    return segmentationNode.GetSegmentation().GetNumberOfSegments() == 0 \
        and segmentationNode.GetAttribute(SCAN_ATTRIBUTE) is None


def isForeign(segmentationNode, volumeNode):
    """Whether it is known to be another scan's. What was drawn elsewhere may not say whose it is."""
    owner = scanOf(segmentationNode)
    return owner is not volumeNode if owner is not None else segmentationNode.GetAttribute(SCAN_ATTRIBUTE) is not None


def otherScanError(segmentationNode, volumeNode):
    """The OtherScanError that says whose the segmentation is."""
    return OtherScanError(f"'{segmentationNode.GetName()}'", whose(segmentationNode, volumeNode),
                     "Select a segmentation of this scan, or a new one, under Result.")


def whose(segmentationNode, volumeNode):
    """Whose a segmentation is that is not the scan's own, a clause."""
    owner, name = scanOf(segmentationNode), segmentationNode.GetAttribute(SCAN_ATTRIBUTE)
    if owner is not None:
        return f"belongs to the scan '{owner.GetName()}', not to '{volumeNode.GetName()}'"
    if name is not None:
        return f"was created from the scan '{name}', which is no longer in the scene, not from '{volumeNode.GetName()}'"
    return "does not state which scan it belongs to"


def resultsOf(volumeNode):
    """The segmentations that KAF has made for a scan, the newest last."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            if node.GetAttribute(SCAN_ATTRIBUTE) is not None and scanOf(node) is volumeNode
            and not node.GetHideFromEditors()]
