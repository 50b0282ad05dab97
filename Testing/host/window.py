"""A main window like Slicer's: the views, and a dock with the panel of the selected module."""

import slicer
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QToolBar

from .widgets.declare import standIn


@standIn
class qSlicerModuleSelectorToolBar(QToolBar):
    """Selects modules by name."""

    moduleSelected = Signal(str)

    def __init__(self, window: "qSlicerMainWindow"):
        super().__init__(window)
        self._window = window
        self._selected = ""

    selectedModule = Property(str, lambda self: self._selected)

    def selectModule(self, name):
        modules = slicer.app.moduleManager()
        previous, module = modules.module(self._selected), modules.module(name)
        if name == self._selected or module is None:
            return
        if hasattr(previous, "widgetRepresentation") and previous.widgetRepresentation().isEntered:
            previous.widgetRepresentation().exit()
        self._selected = name
        if hasattr(module, "widgetRepresentation"):
            self._window._showPanel(module)
        self.moduleSelected.emit(name)


@standIn
class qSlicerMainWindow(QMainWindow):
    """Not shown until a test or a person asks for it; message boxes need it to exist."""

    def __init__(self):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer test host")
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self._dock = QDockWidget()
        self._dock.setObjectName("PanelDockWidget")
        self._dock.setWidget(self._area)
        self.addDockWidget(Qt.LeftDockWidgetArea, self._dock)
        self.setCentralWidget(slicer.app.layoutManager().viewport())
        self.statusBar()

    def moduleSelector(self):
        return self._selector

    def _showPanel(self, module) -> None:
        panel = module.widgetRepresentation()
        self._area.takeWidget()
        self._area.setWidget(panel)
        self._dock.setWindowTitle(module.title or module.name)
        self._dock.setMinimumWidth(max(460, panel.minimumSizeHint.width() + 28))
        panel.show()
        if not panel.isEntered:
            panel.enter()

    def _releasePanel(self, panel) -> None:
        """Give a panel back, so that it does not go with the window."""
        if self._area.widget() is panel:
            self._area.takeWidget()
            self._selector._selected = ""
