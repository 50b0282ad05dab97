"""qMRMLThreeDWidget and qMRMLThreeDView: surfaces, volume rendering and markups in 3D."""

import slicer
import vtk
from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from ..widgets.declare import standIn
from ..widgets.mrml_widget import parentIn
from .render import OffscreenWindow, displayableManagers, toImage

MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class ThreeDDrawing:
    """The view logic and the displayable managers of a 3D view."""

    def __init__(self, applicationLogic, name: str, width: int, height: int):
        self.offscreen = OffscreenWindow(width, height)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLViewNode")
        self.logic.AddViewNode(name)
        applicationLogic.GetViewLogics().AddItem(self.logic)
        self.annotation = vtk.vtkCornerAnnotation()
        self.offscreen.renderer.AddViewProp(self.annotation)
        self.style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self.style.SetInteractor(self.offscreen.interactor)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        renderer = self.offscreen.renderer
        self.group = displayableManagers(factory, MANAGERS, applicationLogic, renderer, self.node)
        self.style.SetDisplayableManagers(self.group)

    def pixels(self):
        """Draw everything; see OffscreenWindow.pixels."""
        self.offscreen.renderer.ResetCameraClippingRange()
        return self.offscreen.pixels()


@standIn
class qMRMLThreeDView(QWidget):
    """The picture of the 3D scene."""

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._drawing = None
        self.setMinimumSize(100, 100)

    def mrmlViewNode(self):
        return self._drawing.node

    def renderWindow(self):
        return self._drawing.offscreen.window

    def interactor(self):
        return self._drawing.offscreen.interactor

    def cornerAnnotation(self):
        return self._drawing.annotation

    def cameraNode(self):
        return slicer.modules.cameras.logic().GetViewActiveCameraNode(self._drawing.node)

    def forceRender(self):
        self._drawing.pixels()
        self.update()

    def scheduleRender(self):
        self.update()

    def resetCamera(self, *_):
        self._drawing.offscreen.renderer.ResetCamera()

    def resetFocalPoint(self):
        renderer, node = self._drawing.offscreen.renderer, self._drawing.node
        shown = node.GetBoxVisible(), node.GetAxisLabelsVisible()
        node.SetBoxVisible(False)  # the box and its letters do not count
        node.SetAxisLabelsVisible(False)
        bounds = renderer.ComputeVisiblePropBounds()
        node.SetBoxVisible(shown[0])
        node.SetAxisLabelsVisible(shown[1])
        node.InvokeEvent(node.ResetFocalPointRequestedEvent)  # fits the box to what is shown
        if bounds[0] <= bounds[1]:
            renderer.ResetCamera(bounds)

    def getDisplayableManagers(self, collection):
        for index in range(self._drawing.group.GetDisplayableManagerCount()):
            collection.AddItem(self._drawing.group.GetNthDisplayableManager(index))

    def displayableManagerByClassName(self, className):
        return self._drawing.group.GetDisplayableManagerByClassName(className)

    def paintEvent(self, event):
        painter = QPainter(self)
        painter.fillRect(self.rect, Qt.black)
        if self._drawing is not None:
            self._drawing.offscreen.resize(self.width, self.height)
            painter.drawImage(self.rect, toImage(self._drawing.pixels()))


@standIn
class qMRMLThreeDWidget(QWidget):
    """A 3D view with the node and logic that belong to it."""

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._view = qMRMLThreeDView(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    def threeDView(self):
        return self._view

    def viewWidget(self):
        return self._view

    def mrmlViewNode(self):
        return self._view.mrmlViewNode()

    def mrmlAbstractViewNode(self):
        return self._view.mrmlViewNode()

    def viewLogic(self):
        return self._view._drawing.logic

    def logic(self):
        return self._view._drawing.logic

    def getDisplayableManagers(self, collection):
        self._view.getDisplayableManagers(collection)


def newThreeDWidget(applicationLogic, name: str, width: int, height: int) -> qMRMLThreeDWidget:
    """A 3D widget for the scene's view node `name`, width x height pixels."""
    widget = qMRMLThreeDWidget()
    widget._view._drawing = drawing = ThreeDDrawing(applicationLogic, name, width, height)
    drawing.group.AddObserver(vtk.vtkCommand.UpdateEvent, lambda *_: widget._view.update())
    return widget
