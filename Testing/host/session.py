"""The application during a test: modules, scene, main window."""

from pathlib import Path

import slicer
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QMainWindow, QScrollArea

from .modules import LoadedModule, loadModule


def load_module(path: str | Path) -> LoadedModule:
    """Load a scripted module from its .py file, as Slicer does at startup; `show()` opens its panel."""
    return loadModule(Path(path))


def close_scene() -> None:
    """What File > Close scene does."""
    slicer.mrmlScene.Clear(0)
    slicer.app.processEvents()


def set_testing(enabled: bool) -> None:
    """Slicer's testing mode, in which its own message boxes answer themselves."""
    slicer.app._testing = enabled


def main_window(module: LoadedModule | None = None, width: int = 1500, height: int = 950) -> QMainWindow:
    """A window like Slicer's, with the views and a module's panel beside them; for pictures and for trying it out.

    The caller keeps the reference; `close()` and `deleteLater()` end it.  While it exists slicer.util.mainWindow()
    finds it, so message boxes that need a main window are shown (and recorded).
    """
    window = QMainWindow()
    window.setObjectName("qSlicerMainWindow")
    window.setWindowTitle("3D Slicer test host")
    window.setCentralWidget(slicer.app.layoutManager().viewport())
    if module is not None:
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        area.setWidget(module.panel)
        dock = QDockWidget(module.module.title or module.module.name)
        dock.setObjectName("PanelDockWidget")
        dock.setWidget(area)
        dock.setMinimumWidth(max(460, module.panel.minimumSizeHint.width() + 24))
        window.addDockWidget(Qt.LeftDockWidgetArea, dock)
        if not module.panel.isEntered:
            module.panel.enter()
        module.panel.show()
    window.resize(width, height)
    window.statusBar()
    window.show()
    slicer.app.processEvents()
    return window
