"""The slices of a scan that a model sees one by one: their numbers, where they lie, and which one a view shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.imaging.grid import canonical_grid
from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry

_PARALLEL = np.cos(np.radians(2.0))  # a view tilted more than this shows parts of several slices
PLANES = ("axial", "coronal", "sagittal")
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


class ScanSlices:
    """Counts slices as the scan is stored, from 0; as text from 1.

    Args:
        volumeNode: a scan that passed the checks of VolumeGeometry.
        card: of the model, which says along which axis it takes the slices; without one, the axis with the largest
            distance between slices.
        plane: "axial", "coronal" or "sagittal" for slices of that plane, whatever the model takes.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, card: Card | None = None, plane: str = ""):
        self.geometry = VolumeGeometry(volumeNode)
        slicing = plane if plane in PLANES else card.slicing_axis if card is not None else "largest-spacing"
        grid = canonical_grid(self.geometry.shape(), self.geometry.affine(), None, slicing)
        self.axis, self.count, self.plane = grid.order[0], grid.n_slices, grid.plane
        """The axis of the array (slice, row, column) along which the slices are stacked, how many there are, and the
        anatomical plane that they are nearest to."""

    def along(self, axis: int) -> ScanSlices:
        """The slices of the same scan along another axis of the array."""
        found = (ScanSlices(self.geometry.node, plane=plane) for plane in PLANES)
        return next(slices for slices in found if slices.axis == axis)

    def step(self) -> float:
        """The distance from one slice to the next, mm."""
        return float(np.linalg.norm(self.geometry.affine()[:3, 2 - self.axis]))

    def text(self, index: int) -> str:
        """A slice as text: "Slice 6 of 10, S 32.0 mm"."""
        point, normal = self.centre(index), self._directions()[self.axis]
        part = int(np.argmax(np.abs(normal)))
        letter = _LETTERS[part][0 if point[part] >= 0 else 1]
        return _("Slice {number} of {count}, {position} mm").format(
            number=index + 1, count=self.count, position=f"{letter} {abs(point[part]):.1f}")

    def centre(self, index: float) -> np.ndarray:
        """The middle of a slice in the world, RAS mm."""
        voxel = (np.array(self.geometry.shape()) - 1) / 2
        voxel[self.axis] = index
        return self.point(voxel)

    def point(self, voxel: Sequence[float]) -> np.ndarray:
        """A voxel (slice, row, column) in the world, RAS mm."""
        return np.array(self.geometry.toWorld((self.geometry.affine() @ [*voxel[::-1], 1.0])[:3]))

    def view(self) -> slicer.vtkMRMLSliceNode | None:
        """The slice node of the view that looks at the slices most squarely; None without views."""
        manager = slicer.app.layoutManager()
        nodes = [manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()] if manager else []
        normal = self._directions()[self.axis]
        return max(nodes, key=lambda node: abs(_column(node, 2) @ normal), default=None)

    def shown(self) -> int:
        """The slice that a person looks at.

        Raises:
            InputError: no view shows one slice alone.
        """
        node = self.view()
        if node is None:
            raise InputError(_("Slice views"), _("none is open"), _("Choose a layout with slice views."))
        name = _("{color} view").format(color=node.GetName())
        if not self._isSquare(node):
            self._turn(node)
            raise InputError(name, _("it was not parallel to the slices of the scan and has been aligned with them"),
                             _("Check the slice and accept it again."))
        inverse = np.linalg.inv(self.geometry.affine())
        voxel = (inverse @ [*self.geometry.toLocal(_column(node, 3)), 1.0])[:3][::-1]
        index = int(np.floor(voxel[self.axis] + 0.5))
        if not 0 <= index < self.count:
            raise InputError(name, _("it shows no slice of the scan"),
                             _("Scroll to a slice of the scan and accept it again."))
        return index

    def show(self, index: int, voxel: Sequence[float] | None = None) -> None:
        """Brings the views to a slice, and where ``voxel`` (slice, row, column) is given, to that place in it."""
        node = self.view()
        if node is None:
            return
        if not self._isSquare(node):
            self._turn(node)
        point = self.centre(index) if voxel is None else self.point(voxel)
        if voxel is None:
            node.JumpSliceByOffsetting(*point)
        else:
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *point,
                                                  slicer.vtkMRMLSliceNode.OffsetJumpSlice)

    def _isSquare(self, node):
        return abs(_column(node, 2) @ self._directions()[self.axis]) >= _PARALLEL

    def _turn(self, node):
        """Turns a view to lie along the slices, as little as that takes."""
        directions = list(self._directions())
        normal = directions.pop(self.axis)
        across, up = _column(node, 0), _column(node, 1)
        x, y = directions
        if abs(across @ x) + abs(up @ y) < abs(across @ y) + abs(up @ x):
            x, y = y, x
        centre = np.array(self.centre((self.count - 1) / 2))
        matrix = node.GetSliceToRAS()
        for column, (direction, before) in enumerate(((x, across), (y, up), (normal, _column(node, 2)))):
            sign = 1.0 if direction @ before >= 0 else -1.0
            for row in range(3):
                matrix.SetElement(row, column, float(sign * direction[row]))
        for row in range(3):
            matrix.SetElement(row, 3, float(centre[row]))
        node.UpdateMatrices()

    def _directions(self):
        """Unit vectors of the world along the axes (slice, row, column) of the array."""
        corner = self.point(np.zeros(3))
        steps = [self.point(np.eye(3)[axis]) - corner for axis in range(3)]
        return np.array([step / np.linalg.norm(step) for step in steps])


def _column(node, index):
    matrix = node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, index) for row in range(3)])
