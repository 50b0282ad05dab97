"""Starting the host: one Slicer-like application per process."""

import atexit
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLICER_FILES = ("ScriptedLoadableModule.py", "parameterNodeWrapper", "i18n.py")
STAND_IN_FILES = (
    "widgets.ctk_buttons", "widgets.ctk_collapsible", "widgets.ctk_spin_box", "widgets.ctk_sliders",
    "widgets.ctk_paths",
    "widgets.ctk_ranges", "widgets.mrml_widget", "widgets.node_selector", "widgets.segments_table",
    "widgets.show_3d_button",
    "widgets.segment_editor", "widgets.charts", "widgets.markups_place", "views.layout_manager", "files",
    "modules", "window",
)  # fmt: skip
_started: dict[str, object] = {}


def start(
    slicerSources: str | Path | None = None,
    viewSize: tuple[int, int] = (400, 400),
    version: tuple[int, int] = (5, 12),
    mainWindow: bool = True,
    offscreen: bool = True,
):
    """Make `import slicer`, `import qt` and `import ctk` work as inside Slicer; returns slicer.app.

    A second call returns the application of the first.

    slicerSources: a folder with Slicer's own ScriptedLoadableModule.py, parameterNodeWrapper and i18n.py
      (Base/Python/slicer of its source tree), used in place of this host's.  The environment variable
      SLICER_PYTHON_SOURCES names it too.  The folder is not part of this project.
    viewSize: width and height of each view in pixels before it is shown in a window.
    version: what slicer.app.majorVersion and minorVersion say; slicer.packaging exists from 5.12 on.
    mainWindow: False is Slicer's --no-main-window, in which messages are only logged.
    offscreen: False shows the windows on the screen, for trying a panel out.
    """
    if _started:
        return _started["app"]
    if offscreen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        if sys.platform == "linux":
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    folder = Path(tempfile.mkdtemp(prefix="slicer-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _addPythonPaths(slicerSources or os.environ.get("SLICER_PYTHON_SOURCES"), version, folder / "slicer_python")
    _addPythonSlicer(folder / "home" / "bin")
    _started["app"] = app = _application(folder, version)
    _addWidgets()
    _addScene(app, folder, viewSize)
    if mainWindow:
        from .window import qSlicerMainWindow

        _started["mainWindow"] = qSlicerMainWindow()
    return app


def _addPythonPaths(slicerSources: str | Path | None, version: tuple[int, int], copies: Path) -> None:
    sys.path.insert(0, str(HERE / "toplevel"))
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))
    import slicer

    slicer.__path__.append(str(HERE / "slicer_python"))
    if version >= (5, 12):
        slicer.__path__.append(str(HERE / "slicer_python_5_12"))
    if slicerSources:  # copies, so that nothing else of that folder (slicer.packaging, which installs) comes with them
        copies.mkdir()
        for name in SLICER_FILES:
            source = checkedSources(slicerSources) / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copies / name)
        slicer.__path__.insert(0, str(copies))


def checkedSources(folder: str | Path) -> Path:
    """The folder, if it has Slicer's files that can replace the host's; FileNotFoundError otherwise."""
    folder = Path(folder)
    missing = [name for name in SLICER_FILES if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks Slicer's {', '.join(missing)}")
    return folder


def _addPythonSlicer(folder: Path) -> None:
    """A PythonSlicer executable on the PATH, as Slicer has for worker processes."""
    folder.mkdir(parents=True)
    if os.name == "nt":
        (folder / "PythonSlicer.bat").write_text(f'@"{sys.executable}" %*\n', encoding="utf-8")
    else:
        script = folder / "PythonSlicer"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def _application(folder: Path, version: tuple[int, int]):
    from PySide6.QtCore import QSettings

    from .pythonqt import attributes, immortal, signals

    immortal.protect()
    attributes.adapt()
    signals.adapt()
    QSettings.setDefaultFormat(QSettings.IniFormat)
    QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, str(folder / "settings"))

    import slicer

    from . import errors, quiet
    from .application import qSlicerApplication
    from .modal import Dialogs

    slicer.app = qSlicerApplication(folder, version)
    _started["dialogs"] = Dialogs()
    _started["dialogs"].install()
    errors.install()
    quiet.install()
    return slicer.app


def _addWidgets() -> None:
    """slicer.qMRML... and slicer.qSlicer... for every stand-in."""
    import slicer

    for name in STAND_IN_FILES:
        import_module(f".{name}", __package__)
    from .widgets.declare import standIns

    for name, cls in standIns().items():
        if name.startswith("q"):
            setattr(slicer, name, cls)


def _addScene(app, folder: Path, viewSize: tuple[int, int]) -> None:
    import slicer
    import slicer.util

    from .files import qSlicerCoreIOManager
    from .modules import addBuiltInModules
    from .scene import SceneSetup
    from .views.layout_manager import qSlicerLayoutManager

    app._scene = SceneSetup(folder / "home", folder / "cache")
    app._ioManager = qSlicerCoreIOManager(app._scene)
    addBuiltInModules(app._scene.logics)
    app._layoutManager = qSlicerLayoutManager(app._scene.applicationLogic, viewSize)
    slicer.selfTests = {}


def dialogs():
    """The record of the modal dialogs of this process."""
    return _started["dialogs"]
