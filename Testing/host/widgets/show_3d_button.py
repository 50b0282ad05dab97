"""qMRMLSegmentationShow3DButton: makes the surfaces of a segmentation and takes them away."""

import shiboken6
import slicer
import vtk
from PySide6.QtCore import Property, QSignalBlocker
from PySide6.QtWidgets import QMenu, QPushButton

from .declare import standIn

_SURFACE, _LABELMAP = "Closed surface", "Binary labelmap"


@standIn
class qMRMLSegmentationShow3DButton(QPushButton):
    """Checked while the segmentation has surfaces; enabled where it has segments to make them of."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._node, self._tags, self._locked = None, [], False
        self.setCheckable(True)
        self.setText("Show 3D")
        self.setMenu(QMenu("Show 3D", self))
        self.setEnabled(False)
        self.toggled.connect(self._onToggled)

    @Property(bool)
    def locked(self):
        return self._locked

    @locked.setter
    def locked(self, locked):
        self.setLocked(locked)

    def setLocked(self, locked):
        self._locked = locked

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        if node is self._node:
            return
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node, self._tags = node, []
        if node is not None:
            kind = slicer.vtkSegmentation
            self._tags = [node.AddObserver(event, self._onNode) for event in (
                vtk.vtkCommand.ModifiedEvent, kind.SegmentAdded, kind.SegmentRemoved,
                kind.ContainedRepresentationNamesModified)]
        self._refresh()

    def _refresh(self):
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        if segmentation is None:
            self.setEnabled(False)
            return
        self.setEnabled(not self._locked and segmentation.GetNumberOfSegments() > 0
                        and segmentation.GetSourceRepresentationName() != _SURFACE)
        with QSignalBlocker(self):
            self.setChecked(segmentation.ContainsRepresentation(_SURFACE))

    def _onNode(self, *_):
        if shiboken6.isValid(self):
            self._refresh()

    def _onToggled(self, on):
        if self._node is None:
            return
        segmentation, display = self._node.GetSegmentation(), self._node.GetDisplayNode()
        if not on:
            segmentation.RemoveRepresentation(_SURFACE)
        elif segmentation.CreateRepresentation(_SURFACE) and display is not None:
            display.SetPreferredDisplayRepresentationName3D(_SURFACE)
            if segmentation.ContainsRepresentation(_LABELMAP):
                display.SetPreferredDisplayRepresentationName2D(_LABELMAP)
