"""The adapted model of each scan, and which slice to check next. Both are shown with that scan alone."""

from __future__ import annotations

from dataclasses import dataclass

import slicer
import vtk

from KAFSegmentationLib.adapt.AdaptedModel import AdaptedModel
from KAFSegmentationLib.adapt.Review import Review


@dataclass
class Adaptation:
    """``model``: the AdaptedModel; ``review``: the Review; ``isSaved``: whether the model is in the library."""

    model: AdaptedModel
    review: Review
    isSaved: bool = False


class Adaptations:
    """One for each scan, until Slicer ends: a model that was not saved outlives its scan."""

    def __init__(self) -> None:
        self._kept: list[tuple] = []  # (weak reference to the scan, its name, Adaptation), the newest last
        self.last: Adaptation | None = None
        """The newest, or None."""

    def keep(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, adaptation: Adaptation | None) -> None:
        """The adaptation that a scan has now; None for none."""
        before = self.of(volumeNode)
        self._kept = [entry for entry in self._kept if entry[0].Get() is not volumeNode]
        if adaptation is not None:
            reference = vtk.vtkWeakReference()  # node ids come again in the next scene
            reference.Set(volumeNode)
            self._kept.append((reference, volumeNode.GetName(), adaptation))
        if adaptation is not before:
            self.last = adaptation

    def of(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> Adaptation | None:
        """That of this scan, or None."""
        if volumeNode is None:
            return None
        return next((adaptation for scan, name, adaptation in self._kept if scan.Get() is volumeNode), None)

    def unsavedOfOtherScans(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> list[str]:
        """The names of other scans of the scene whose model is not saved yet."""
        return [scan.Get().GetName() for scan, name, adaptation in self._kept
                if _isThere(scan) and scan.Get() is not volumeNode and not adaptation.isSaved]

    def unsavedOfRemovedScan(self) -> tuple[str, Adaptation] | None:
        """The name of the scan, and the newest that is not saved and whose scan has left the scene; or None."""
        gone = [(name, adaptation) for scan, name, adaptation in self._kept
                if not (_isThere(scan) or adaptation.isSaved)]
        return gone[-1] if gone else None


def _isThere(reference):
    node = reference.Get()
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))
