"""The application during a test: modules, scene, main window."""

from pathlib import Path

import slicer

from .modules import LoadedModule, loadModule
from .window import qSlicerMainWindow


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


def main_window(module: LoadedModule | None = None, width: int = 1500, height: int = 950) -> qSlicerMainWindow:
    """The main window, shown with the views and the panel of a module; for pictures and for trying it out.

    It exists from the start as slicer.util.mainWindow(), hidden until this is called; hide() hides it again.
    """
    window = slicer.util.mainWindow()
    if window is None:
        raise RuntimeError("the host was started without a main window")
    window.resize(width, height)
    window.show()
    if module is not None:
        slicer.util.selectModule(module.module.name)
    slicer.app.processEvents()
    return window
