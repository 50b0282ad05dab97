"""Which scan a person is looking at."""

from __future__ import annotations

import slicer


def shownScan() -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scan that the red view shows, which is most likely the one that is meant; None if it shows none."""
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite is not None else None
    if node is None or node.GetClassName() != "vtkMRMLScalarVolumeNode":  # nor a label map, nor a colour picture
        return None
    return node


def showScan(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Shows a scan in the slice views and fits them to it, unless they show it already."""
    if shownScan() is not volumeNode:
        slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
