"""qMRMLWidget and the scene handling that all MRML widgets share."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from .ctk_ranges import ctkRangeWidget
from .ctk_sliders import ctkSliderWidget
from .ctk_spin_box import ctkDoubleSpinBox
from .declare import standIn, stored


def parentIn(arguments: tuple) -> QWidget | None:
    """The parent among a constructor's arguments."""
    return next((a for a in arguments if isinstance(a, QWidget)), None)


@standIn
class qMRMLWidget(QWidget):
    """A widget that knows the scene; in a .ui file it hands the scene on to its children."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self._sceneChanged()
            self.mrmlSceneChanged.emit(scene)

    def _sceneChanged(self) -> None:
        pass


@standIn
class qSlicerWidget(QWidget):
    """The base of the widgets of Slicer's own modules."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._scene = None

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@standIn
class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that takes its unit from the scene; here it shows the plain number."""

    quantity = stored("quantity", str, "")
    unitAwareProperties = stored("unitAwareProperties", int, 0x1F)
    orientation = stored("orientation", int, int(Qt.Horizontal.value))

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        self._scene = scene

    def setQuantity(self, quantity):
        self.quantity = quantity


@standIn
class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box that takes its unit from the scene; here it shows the plain number."""

    quantity = stored("quantity", str, "")
    unitAwareProperties = stored("unitAwareProperties", int, 0x1F)

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        self._scene = scene

    def setQuantity(self, quantity):
        self.quantity = quantity


@standIn
class qMRMLRangeWidget(ctkRangeWidget):
    """A range that takes its unit from the scene; here it shows the plain numbers."""

    quantity = stored("quantity", str, "")

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        self._scene = scene

    def setQuantity(self, quantity):
        self.quantity = quantity
