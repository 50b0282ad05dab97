"""The time points of a volume that shows one of a sequence, and the segmentations that go with them."""

from __future__ import annotations

import slicer

from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry


class VolumeSequence:
    """A 4-D scan: a sequence, and the browser that shows it through one volume node."""

    def __init__(self, volumeNode: slicer.vtkMRMLVolumeNode, browserNode: slicer.vtkMRMLSequenceBrowserNode):
        self.volumeNode, self.browserNode = volumeNode, browserNode
        self.sequenceNode = browserNode.GetSequenceNode(volumeNode)
        self.resultNode = None

    @classmethod
    def of(cls, volumeNode: slicer.vtkMRMLVolumeNode | None) -> VolumeSequence | None:
        """The sequence that the volume shows, or None for a volume that stands alone."""
        if volumeNode is None or volumeNode.GetScene() is None:
            return None
        browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volumeNode)
        if browser is None or browser.GetSequenceNode(volumeNode) is None:
            return None
        found = cls(volumeNode, browser)
        return found if len(found) > 1 else None

    def __len__(self) -> int:
        return self.sequenceNode.GetNumberOfDataNodes()

    def geometries(self) -> list[VolumeGeometry]:
        """One checked geometry for each time point."""
        found = [VolumeGeometry(self.sequenceNode.GetNthDataNode(index)) for index in range(len(self))]
        for geometry in found:
            geometry.check()
        return found

    def keep(self, segmentationNode: slicer.vtkMRMLSegmentationNode, index: int) -> None:
        """Stores a copy of the segmentation for a time point."""
        if self.resultNode is None:
            self.resultNode = self._newSequence(segmentationNode)
        self.resultNode.SetDataNodeAtValue(segmentationNode, self.sequenceNode.GetNthIndexValue(index))

    def link(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """From now on the segmentation follows the browser as the volume does."""
        previous = self.browserNode.GetSequenceNode(segmentationNode)
        if previous is not None:
            self.browserNode.RemoveSynchronizedSequenceNode(previous.GetID())
        self.browserNode.AddSynchronizedSequenceNode(self.resultNode)
        self.browserNode.AddProxyNode(segmentationNode, self.resultNode, False)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browserNode)

    def _newSequence(self, segmentationNode):
        name = slicer.mrmlScene.GenerateUniqueName(f"{segmentationNode.GetName()} sequence")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
        node.SetIndexName(self.sequenceNode.GetIndexName())
        node.SetIndexUnit(self.sequenceNode.GetIndexUnit())
        node.SetIndexType(self.sequenceNode.GetIndexType())
        return node
