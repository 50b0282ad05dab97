"""A second view that shows a finished slice beside the one that was clicked, while that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry


class OriginView:
    """Borrows a slice view and gives it back as it was."""

    def __init__(self) -> None:
        self._borrowed: tuple[slicer.vtkMRMLSliceNode, vtk.vtkMatrix4x4, tuple] | None = None

    def show(self, geometry: VolumeGeometry, axis: int, voxel: Sequence[int]) -> None:
        """Shows the slice along ``axis`` in which a voxel (i, j, k) lies, in a view other than the one that looks at
        these slices, and as large as there; without a second view nothing happens."""
        scan = ScanSlices(geometry.node).along(axis)
        manager, main = slicer.app.layoutManager(), scan.view()
        if manager is None or main is None:
            return
        widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
        widgets = [widget for widget in widgets if widget.visible] or widgets  # those of other layouts are hidden
        others = [widget.mrmlSliceNode() for widget in widgets if widget.mrmlSliceNode() is not main]
        if not others:
            return
        node = others[-1]
        if self._borrowed is None or self._borrowed[0] is not node:
            self.restore()
            matrix = vtk.vtkMatrix4x4()
            matrix.DeepCopy(node.GetSliceToRAS())
            self._borrowed = node, matrix, tuple(node.GetFieldOfView())
        node.GetSliceToRAS().DeepCopy(main.GetSliceToRAS())
        node.UpdateMatrices()
        point = scan.point([float(part) for part in reversed(voxel)])
        node.JumpSliceByOffsetting(*point)
        width, height, depth = node.GetFieldOfView()
        if width * height:
            scale = max(main.GetFieldOfView()[0] / width, main.GetFieldOfView()[1] / height)
            node.SetFieldOfView(width * scale, height * scale, depth)

    def restore(self) -> None:
        """Gives the view back."""
        borrowed, self._borrowed = self._borrowed, None
        if borrowed is None or not slicer.mrmlScene.IsNodePresent(borrowed[0]):
            return
        node, matrix, size = borrowed
        node.GetSliceToRAS().DeepCopy(matrix)
        node.UpdateMatrices()
        node.SetFieldOfView(*size)
