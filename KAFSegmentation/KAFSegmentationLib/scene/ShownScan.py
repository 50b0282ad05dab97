"""Which scan a person is looking at."""

from __future__ import annotations

import slicer


def shownScan() -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scan that the red view shows, which is most likely the one that is meant; None if it shows none."""
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite is not None else None
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return None
    return node
