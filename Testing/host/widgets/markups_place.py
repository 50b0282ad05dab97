"""qSlicerMarkupsPlaceWidget: placing points through the real interaction and selection nodes."""

import shiboken6
import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout, QToolButton

from .declare import standIn, stored
from .mrml_widget import qSlicerWidget


@standIn
class qSlicerMarkupsPlaceWidget(qSlicerWidget):
    """A place button and a delete button."""

    ShowPlaceMultipleMarkupsOption, HidePlaceMultipleMarkupsOption = 0, 1
    ForcePlaceSingleMarkup, ForcePlaceMultipleMarkups = 2, 3

    activeMarkupsPlaceModeChanged = Signal(bool)
    activeMarkupsFiducialPlaceModeChanged = Signal(bool)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._node = self._observer = None
        self._announced = False
        self._place, self._delete = QToolButton(self), QToolButton(self)
        self._place.setText("Place")
        self._place.setCheckable(True)
        self._delete.setText("Delete")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self._place, self._delete):
            layout.addWidget(button)
        self._place.clicked.connect(self.setPlaceModeEnabled)
        self._delete.clicked.connect(self.deleteLastPoint)

    @Property(bool)
    def placeModeEnabled(self):
        return self.currentNodeActive and self._interaction().GetCurrentInteractionMode() == self._interaction().Place

    @placeModeEnabled.setter
    def placeModeEnabled(self, enabled):
        self.setPlaceModeEnabled(enabled)

    @Property(bool)
    def currentNodeActive(self):
        return self._node is not None and self.selectionNode().GetActivePlaceNodeID() == self._node.GetID()

    @currentNodeActive.setter
    def currentNodeActive(self, active):
        self.setCurrentNodeActive(active)

    @Property(bool)
    def placeModePersistency(self):
        return bool(self._interaction().GetPlaceModePersistence())

    @placeModePersistency.setter
    def placeModePersistency(self, persistent):
        self.setPlaceModePersistency(persistent)

    @Property(bool)
    def buttonsVisible(self):
        return not self._place.isHidden()

    @buttonsVisible.setter
    def buttonsVisible(self, visible):
        self.setButtonsVisible(visible)

    placeMultipleMarkups = stored("placeMultipleMarkups", int, 0)
    deleteAllControlPointsOptionVisible = stored("deleteAllControlPointsOptionVisible", bool, True)
    unsetLastControlPointOptionVisible = stored("unsetLastControlPointOptionVisible", bool, False)
    unsetAllControlPointsOptionVisible = stored("unsetAllControlPointsOptionVisible", bool, False)
    nodeColor = stored("nodeColor", QColor, QColor())
    defaultNodeColor = stored("defaultNodeColor", QColor, QColor())

    def currentNode(self):
        return self._node

    def currentMarkupsNode(self):
        return self._node

    def interactionNode(self):
        return self._interaction()

    def selectionNode(self):
        return slicer.app.applicationLogic().GetSelectionNode()

    def placeButton(self):
        return self._place

    def deleteButton(self):
        return self._delete

    def setCurrentNode(self, node):
        if self._observer is None:
            event = vtk.vtkCommand.ModifiedEvent
            self._observer = self._interaction().AddObserver(event, self._onInteraction)
        self._node = node
        self._onInteraction()

    def setCurrentNodeActive(self, active):
        if self._node is not None and active:
            self.selectionNode().SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
            self.selectionNode().SetActivePlaceNodeID(self._node.GetID())
        elif self.currentNodeActive:
            self.selectionNode().SetActivePlaceNodeID(None)

    def setPlaceModeEnabled(self, enabled):
        if self._node is None:
            return
        if enabled:
            self.setCurrentNodeActive(True)
            if self.placeMultipleMarkups in (self.ForcePlaceSingleMarkup, self.ForcePlaceMultipleMarkups):
                self.setPlaceModePersistency(self.placeMultipleMarkups == self.ForcePlaceMultipleMarkups)
        mode = self._interaction().Place if enabled else self._interaction().ViewTransform
        self._interaction().SetCurrentInteractionMode(mode)

    def setPlaceModePersistency(self, persistent):
        self._interaction().SetPlaceModePersistence(int(persistent))

    def setPlaceMultipleMarkups(self, option):
        self.placeMultipleMarkups = option

    def setButtonsVisible(self, visible):
        for button in (self._place, self._delete):
            button.setVisible(visible)

    def setNodeColor(self, color):
        self.nodeColor = color

    def setDefaultNodeColor(self, color):
        self.defaultNodeColor = color

    def deleteLastPoint(self):
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self):
        if self._node is not None:
            self._node.RemoveAllControlPoints()

    def _interaction(self):
        return slicer.app.applicationLogic().GetInteractionNode()

    def _onInteraction(self, *_) -> None:
        if not shiboken6.isValid(self):
            return
        active = bool(self.placeModeEnabled)
        self._place.setChecked(active)
        if active != self._announced:
            self._announced = active
            self.activeMarkupsPlaceModeChanged.emit(active)
            if self._node is not None and self._node.IsA("vtkMRMLMarkupsFiducialNode"):
                self.activeMarkupsFiducialPlaceModeChanged.emit(active)
