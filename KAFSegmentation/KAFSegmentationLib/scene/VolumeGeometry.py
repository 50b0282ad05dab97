"""A volume of the scene as the backend takes it: its voxels and the matrix of its own frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError


class VolumeGeometry:
    """Checks and reads a volume node.

    Everything is in the node's own (local) frame, without its parent transform: the result shares that transform
    and so lands on the anatomy, wherever the volume is moved.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLVolumeNode | None):
        self.node = volumeNode
        self.warnings: list[str] = []

    def check(self) -> None:
        """Raises InputError, with the remedy, unless the volume can be segmented."""
        node = self.node
        if node is None:
            raise InputError(_("Scan"), _("none is selected"), _("Choose the scan to segment."))
        name, image = node.GetName(), node.GetImageData()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            raise InputError(name, _("this is a label map, not a scan"), _("Choose the scan that it was drawn on."))
        if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
            raise InputError(name, _("this scan has no voxels"), _("Load the scan again."))
        components = image.GetNumberOfScalarComponents()
        if components > 1:
            reason = _("this volume has {count} values per voxel (a color image or a vector field)")
            raise InputError(name, reason.format(count=components),
                             _("Convert it with the module Vector to Scalar Volume first."))
        if 1 in image.GetDimensions():
            raise InputError(name, _("this is a single 2-D image"), _("Choose a scan with at least two slices."))
        transform = node.GetParentTransformNode()
        if transform is not None and not transform.IsTransformToWorldLinear():
            raise InputError(
                name, _("this scan is under the non-linear transform '{name}'").format(name=transform.GetName()),
                _("In the Data module right-click the scan and choose Harden transform, then try again."))

    def voxels(self) -> np.ndarray:
        """The voxels (slice, row, column), a view of Slicer's own memory: copy or write them before anything else
        runs. Values that are not numbers become the smallest one, in a copy; ``warnings`` then says so."""
        voxels = slicer.util.arrayFromVolume(self.node)
        self.warnings = []
        if voxels.dtype.kind != "f":
            return voxels
        finite = np.isfinite(voxels)
        lost = voxels.size - int(np.count_nonzero(finite))
        if lost == 0:
            return voxels
        if lost == voxels.size:
            raise InputError(self.node.GetName(), _("every voxel of this scan is NaN or infinite"),
                             _("Load the scan again."))
        lowest = voxels[finite].min()
        text = _("1 voxel of the scan is NaN or infinite; it was set to the smallest value, {value}.") if lost == 1 \
            else _("{count} voxels of the scan are NaN or infinite; they were set to the smallest value, {value}.")
        self.warnings = [text.format(count=lost, value=f"{lowest:g}")]
        return np.where(finite, voxels, lowest)

    def affine(self) -> np.ndarray:
        """4 x 4: voxel (column, row, slice, 1) to RAS mm of the node's own frame."""
        matrix = vtk.vtkMatrix4x4()
        self.node.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)

    def key(self) -> tuple:
        """Changes whenever the voxels or their place do, so that the worker need not get the same voxels twice."""
        image = self.node.GetImageData()
        return self.node.GetID(), image.GetMTime(), image.GetDimensions(), self.affine().tobytes()

    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return tuple(reversed(self.node.GetImageData().GetDimensions()))

    def toLocal(self, point: Sequence[float]) -> tuple[float, float, float]:
        """A point of the world in the volume's own frame; both RAS mm."""
        return _moved(point, None, self.node.GetParentTransformNode())

    def toWorld(self, point: Sequence[float]) -> tuple[float, float, float]:
        """A point of the volume's own frame in the world; both RAS mm."""
        return _moved(point, self.node.GetParentTransformNode(), None)

    def box(self, roiNode: slicer.vtkMRMLMarkupsROINode) -> tuple[float, ...]:
        """(R, A, S lowest, R, A, S highest) of the region in the volume's own frame: for a turned region, the
        smallest upright box around it."""
        if roiNode.GetNumberOfControlPoints() == 0:
            raise InputError(roiNode.GetName(), _("this region has not been placed yet"),
                             _("Place the region in a slice view, or choose the whole scan."))
        toWorld, half = roiNode.GetObjectToWorldMatrix(), np.array(roiNode.GetSize()) / 2
        signs = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1))).reshape(3, -1).T
        world = [toWorld.MultiplyPoint((*(sign * half), 1.0))[:3] for sign in signs]
        corners = np.array([self.toLocal(corner) for corner in world])
        return (*map(float, corners.min(0)), *map(float, corners.max(0)))


def _moved(point, sourceTransform, targetTransform):
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(sourceTransform, targetTransform, transform)
    return transform.TransformPoint(point)
