"""qMRMLSliceWidget and qMRMLSliceView: one slice view with its logic, its layers and its overlays."""

import slicer
import vtk
from PySide6.QtCore import Property, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from ..widgets.declare import standIn
from ..widgets.mrml_widget import parentIn
from .render import OffscreenWindow, displayableManagers, toImage

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)


@standIn
class qMRMLSliceView(QWidget):
    """The picture of a slice."""

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._drawing = None
        self.setMinimumSize(100, 100)

    def mrmlSliceNode(self):
        return self._drawing.logic.GetSliceNode()

    def renderWindow(self):
        return self._drawing.offscreen.window

    def interactor(self):
        return self._drawing.offscreen.interactor

    def cornerAnnotation(self):
        return self._drawing.annotation

    def forceRender(self):
        self._drawing.pixels()
        self.update()

    def scheduleRender(self):
        self.update()

    def setViewCursor(self, cursor):
        self.setCursor(cursor)

    def unsetViewCursor(self):
        self.unsetCursor()

    def getDisplayableManagers(self, collection):
        for index in range(self._drawing.group.GetDisplayableManagerCount()):
            collection.AddItem(self._drawing.group.GetNthDisplayableManager(index))

    def displayableManagerByClassName(self, className):
        return self._drawing.group.GetDisplayableManagerByClassName(className)

    def convertXYZToRAS(self, xyz):
        return list(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])

    def convertRASToXYZ(self, ras):
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint((*ras, 1.0))[:3])

    def paintEvent(self, event):
        painter = QPainter(self)
        painter.fillRect(self.rect, Qt.black)
        if self._drawing is not None:
            self._drawing.resize(self.width, self.height)
            painter.drawImage(self.rect, toImage(self._drawing.pixels()))

    def mousePressEvent(self, event):
        self._tell(event, "LeftButtonPressEvent" if event.button() == Qt.LeftButton else None)

    def mouseReleaseEvent(self, event):
        self._tell(event, "LeftButtonReleaseEvent" if event.button() == Qt.LeftButton else None)

    def mouseMoveEvent(self, event):
        self._tell(event, "MouseMoveEvent")

    def _tell(self, event, name: str | None) -> None:
        """A mouse event to VTK, which counts rows from below."""
        if name is None or self._drawing is None:
            return
        place = event.position()
        self.interactor().SetEventInformation(round(place.x()), self.height - 1 - round(place.y()), 0, 0)
        self.interactor().InvokeEvent(getattr(vtk.vtkCommand, name))

    def wheelEvent(self, event):
        logic = self._drawing.logic
        step = logic.GetLowestVolumeSliceSpacing()[2] * (1 if event.angleDelta().y() > 0 else -1)
        logic.SetSliceOffset(logic.GetSliceOffset() + step)
        self.update()


class SliceDrawing:
    """The slice logic, its blended image and the displayable managers on top of it."""

    def __init__(self, applicationLogic, name: str, width: int, height: int):
        self.offscreen = OffscreenWindow(width, height)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSliceNode(slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode"))
        self.logic.ResizeSliceNode(width, height)
        applicationLogic.GetSliceLogics().AddItem(self.logic)  # the displayable managers look for it there
        renderer = self.offscreen.renderer
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        self.image = vtk.vtkActor2D()
        self.image.SetMapper(self.mapper)
        self.image.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(self.image)  # before the overlays: 2D props are drawn in this order
        self.annotation = vtk.vtkCornerAnnotation()
        renderer.AddViewProp(self.annotation)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self.group = displayableManagers(factory, MANAGERS, applicationLogic, renderer, self.logic.GetSliceNode())
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self.group)
        self.style.SetInteractor(self.offscreen.interactor)

    def resize(self, width: int, height: int) -> None:
        if (width, height) != self.offscreen.size:
            self.offscreen.resize(width, height)
            self.logic.ResizeSliceNode(width, height)

    def pixels(self):
        """Draw the layers and all overlays; see OffscreenWindow.pixels."""
        self.logic.UpdateImageData()
        layers = self.logic.GetImageDataConnection()
        self.mapper.SetInputConnection(layers)
        self.image.SetVisibility(layers is not None)
        return self.offscreen.pixels()


@standIn
class qMRMLSliceWidget(QWidget):
    """A slice view with the name, orientation and logic that belong to it."""

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._view = qMRMLSliceView(self)
        self._name = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    @Property(str)
    def sliceViewName(self):
        return self._name

    @Property(str)
    def sliceOrientation(self):
        return self.mrmlSliceNode().GetOrientation()

    @sliceOrientation.setter
    def sliceOrientation(self, orientation):
        self.setSliceOrientation(orientation)

    def sliceView(self):
        return self._view

    def viewWidget(self):
        return self._view

    def sliceLogic(self):
        return self._view._drawing.logic

    def logic(self):
        return self.sliceLogic()

    def mrmlSliceNode(self):
        return self.sliceLogic().GetSliceNode()

    def mrmlAbstractViewNode(self):
        return self.mrmlSliceNode()

    def mrmlSliceCompositeNode(self):
        return self.sliceLogic().GetSliceCompositeNode()

    def interactorStyle(self):
        return self._view._drawing.style

    def overlayCornerAnnotation(self):
        return self._view._drawing.annotation

    def imageDataConnection(self):
        return self.sliceLogic().GetImageDataConnection()

    def setSliceOrientation(self, orientation):
        self.mrmlSliceNode().SetOrientation(orientation)

    def fitSliceToBackground(self):
        self.sliceLogic().FitSliceToBackground()


def newSliceWidget(applicationLogic, name: str, width: int, height: int) -> qMRMLSliceWidget:
    """A slice widget for the scene's slice node `name`, width x height pixels."""
    widget = qMRMLSliceWidget()
    widget._name = name
    widget._view._drawing = drawing = SliceDrawing(applicationLogic, name, width, height)
    for source, event in (
        (drawing.group, vtk.vtkCommand.UpdateEvent),
        (drawing.logic, vtk.vtkCommand.ModifiedEvent),
    ):
        source.AddObserver(event, lambda *_: widget._view.update())
    return widget
