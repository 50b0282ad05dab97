"""slicer.modules, and loading a scripted module the way Slicer does.

Slicer imports the module's file under the module's name, makes the module object, and when the module is
opened for the first time its widget, and calls setup(), enter(), exit() and cleanup() on it.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import slicer
from PySide6.QtCore import Property, QCoreApplication, QEvent, QObject
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout

from .widgets.declare import standIn, stored
from .widgets.mrml_widget import qSlicerWidget


@standIn
class qSlicerLoadableModule(QObject):
    """A built-in module: here its name and its logic."""

    def __init__(self, name: str, logic):
        super().__init__()
        self._name = name
        self._logic = logic

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)
    path = Property(str, lambda self: "")

    def logic(self):
        return self._logic

    def mrmlScene(self):
        return slicer.mrmlScene


@standIn
class qSlicerScriptedLoadableModule(QObject):
    """A scripted module; the `parent` of its Python object."""

    def __init__(self, path: Path):
        super().__init__()
        self._path = str(path)
        self._name = path.stem
        self._widget = None
        self._instance = None

    name = Property(str, lambda self: self._name)
    path = Property(str, lambda self: self._path)
    title = stored("title", str, "")
    categories = stored("categories", "QStringList", [])
    contributors = stored("contributors", "QStringList", [])
    dependencies = stored("dependencies", "QStringList", [])
    associatedNodeTypes = stored("associatedNodeTypes", "QStringList", [])
    helpText = stored("helpText", str, "")
    acknowledgementText = stored("acknowledgementText", str, "")
    icon = stored("icon", QIcon, QIcon())
    hidden = stored("hidden", bool, False)
    index = stored("index", int, -1)

    def logic(self):
        return None

    def mrmlScene(self):
        return slicer.mrmlScene

    def widgetRepresentation(self):
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self):
        widget = qSlicerScriptedLoadableModuleWidget(self)
        try:
            widget.reload()
        except BaseException:
            if hasattr(widget._python, "removeObservers"):
                widget._python.removeObservers()  # a half-made panel must not hear of later tests
            widget.deleteLater()
            raise
        return widget


@standIn
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The panel of a scripted module; the `parent` of its Python widget."""

    def __init__(self, module: qSlicerScriptedLoadableModule):
        super().__init__()
        self._module = module
        self._entered = False
        self._python = None
        QVBoxLayout(self)
        self.setObjectName(f"{module.name}ModuleWidget")
        self.setMRMLScene(slicer.mrmlScene)

    moduleName = Property(str, lambda self: self._module.name)
    isEntered = Property(bool, lambda self: self._entered)

    def self(self):
        return self._python

    def enter(self):
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self):
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()

    def reload(self):
        source = _source(self._module.name, Path(self._module.path))
        className = f"{self._module.name}Widget"
        self._python = getattr(source, className)(self)
        setattr(slicer.modules, className, self._python)
        self._python.setup()


def _source(name: str, path: Path) -> ModuleType:
    """The module's Python file, imported under the module's name unless it is already."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    try:
        spec.loader.exec_module(source)
    except BaseException:
        del sys.modules[name]
        raise
    return source


class LoadedModule:
    """A module under test: its Python objects, and what a person does with it."""

    def __init__(self, module: qSlicerScriptedLoadableModule, source: ModuleType):
        self.module = module
        self.source = source

    @property
    def panel(self) -> qSlicerScriptedLoadableModuleWidget:
        """The Qt widget that Slicer shows in its module panel."""
        return self.module.widgetRepresentation()

    @property
    def widget(self):
        """The module's own Python widget object."""
        return self.panel.self()

    @property
    def logic(self):
        """The logic of the widget."""
        return self.widget.logic

    @property
    def ui(self):
        """The named child widgets of the panel."""
        return self.widget.ui

    def show(self, width: int = 480, height: int = 900) -> None:
        """Open the module, as choosing it in the module list does."""
        self.panel.resize(width, height)
        self.panel.show()
        if not self.panel.isEntered:
            self.panel.enter()
        slicer.app.processEvents()

    def leave(self) -> None:
        """Choose another module."""
        if self.panel.isEntered:
            self.panel.exit()
        self.panel.hide()

    def reload(self) -> None:
        """What the Reload button does."""
        self.widget.onReload()
        self.source = sys.modules[self.module.name]
        if self.panel.isEntered:
            self.panel.enter()
        slicer.app.processEvents()

    def unload(self) -> None:
        """What quitting Slicer does: the widget cleans up, the module is forgotten."""
        name = self.module.name
        if self.module._widget is not None:
            self.leave()
            # Its connection ends with it; a module that raises here would do so at Slicer's exit.
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
            if slicer.util.mainWindow() is not None:
                slicer.util.mainWindow()._releasePanel(self.panel)
            self.panel.deleteLater()
        slicer.app.moduleManager()._modules.pop(name, None)
        folder = str(Path(self.module.path).parent)
        for attribute in (name.lower(), f"{name}Widget", f"{name}Instance"):
            if hasattr(slicer.modules, attribute):
                delattr(slicer.modules, attribute)
        for imported in [key for key, value in sys.modules.items() if _liesIn(value, folder)]:
            del sys.modules[imported]
        sys.modules.pop(name, None)
        if folder in sys.path:
            sys.path.remove(folder)
        slicer.app.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)


def _liesIn(module, folder: str) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(folder + "/")


def addBuiltInModules(logics: dict) -> None:
    """slicer.modules.<name> for every logic that slicer-core has."""
    slicer.modules = ModuleType("slicer.modules")
    slicer.moduleNames = ModuleType("slicer.moduleNames")
    sys.modules["slicer.modules"] = slicer.modules
    for name, logic in logics.items():
        _register(name, qSlicerLoadableModule(name, logic))


def loadModule(path: Path) -> LoadedModule:
    """Load a scripted module from its .py file; its widget is made when it is first asked for."""
    path = Path(path).resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    source = _source(path.stem, path)
    module = qSlicerScriptedLoadableModule(path)
    try:
        instance = getattr(source, path.stem)(module)
    except BaseException:
        del sys.modules[path.stem]  # or the next module of this name would be this broken one
        raise
    module._instance = instance
    setattr(slicer.modules, f"{path.stem}Instance", instance)
    _register(path.stem, module)
    if hasattr(instance, "setup"):
        instance.setup()
    slicer.app.moduleManager().moduleLoaded.emit(path.stem)
    return LoadedModule(module, source)


def _register(name: str, module) -> None:
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.moduleNames, name, name)
    slicer.app.moduleManager()._modules[name] = module
