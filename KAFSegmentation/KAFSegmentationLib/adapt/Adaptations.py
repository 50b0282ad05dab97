"""What was learned on each scan: the adapted model and which slice to check next. It is shown with that scan alone."""

from dataclasses import dataclass

import slicer
import vtk

from KAFSegmentationLib.adapt.AdaptedModel import AdaptedModel
from KAFSegmentationLib.adapt.Review import Review


@dataclass
class Learned:
    """``model``: the AdaptedModel; ``review``: the Review; ``isSaved``: whether the model is in the library."""

    model: AdaptedModel
    review: Review
    isSaved: bool = False


class Adaptations:
    """One for each scan, until Slicer ends: a model that was not saved outlives its scan."""

    def __init__(self):
        self._kept = []  # (weak reference to the scan, its name, Learned), the newest last
        self.last = None
        """The Learned of the last adaptation, or None."""

    def keep(self, volumeNode, learned):
        """What a scan has now; None for nothing."""
        before = self.of(volumeNode)
        self._kept = [entry for entry in self._kept if entry[0].Get() is not volumeNode]
        if learned is not None:
            reference = vtk.vtkWeakReference()  # node ids come again in the next scene
            reference.Set(volumeNode)
            self._kept.append((reference, volumeNode.GetName(), learned))
        if learned is not before:
            self.last = learned

    def of(self, volumeNode):
        """What was learned on this scan, or None."""
        if volumeNode is None:
            return None
        return next((learned for scan, _, learned in self._kept if scan.Get() is volumeNode), None)

    def elsewhere(self, volumeNode):
        """The names of other scans of the scene whose model is not saved yet."""
        return [scan.Get().GetName() for scan, _, learned in self._kept
                if _isThere(scan) and scan.Get() is not volumeNode and not learned.isSaved]

    def unsavedOfRemovedScan(self):
        """(name of the scan, Learned) of the newest that is not saved and whose scan has left the scene, or None."""
        gone = [(name, learned) for scan, name, learned in self._kept if not (_isThere(scan) or learned.isSaved)]
        return gone[-1] if gone else None


def _isThere(reference):
    node = reference.Get()
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))
