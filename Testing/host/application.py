"""slicer.app: a QApplication with the parts of qSlicerApplication that scripts use."""

import os
from pathlib import Path

import slicer
from PySide6.QtCore import Property, QLocale, QObject, QProcessEnvironment, QSettings, Signal
from PySide6.QtWidgets import QApplication

from .widgets.declare import standIn, stored


@standIn
class qSlicerModuleManager(QObject):
    """Knows the modules that were loaded."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self):
        super().__init__()
        self._modules: dict[str, object] = {}

    def module(self, name):
        return self._modules.get(name)

    def modulesNames(self):
        return list(self._modules)


@standIn
class qSlicerExtensionsManagerModel(QObject):
    """Knows the installed extensions: those that a test says are there."""

    def __init__(self):
        super().__init__()
        self._installed: list[str] = []
        self._requested: list[str] = []

    def isExtensionInstalled(self, name):
        return name in self._installed

    def installExtensionFromServer(self, name, *_):
        self._requested.append(name)
        return False


@standIn
class qSlicerApplication(QApplication):
    """The application object: settings, folders, scene, logics, views and file reading."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    renderPaused = Signal(bool)

    def __init__(self, folder: Path, version: tuple[int, int]):
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("NA-MIC")
        self._folder = folder
        self._version = version
        self._testing = False
        self._restarts = 0
        self._modules = qSlicerModuleManager()
        self._extensions = qSlicerExtensionsManagerModel()
        self._scene = self._ioManager = self._layoutManager = None
        for name in ("temporary", "home/share/ColorFiles", "cache"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    temporaryPath = Property(str, lambda self: str(self._folder / "temporary"))
    slicerHome = Property(str, lambda self: str(self._folder / "home"))
    slicerSharePath = Property(str, lambda self: "share")
    cachePath = Property(str, lambda self: str(self._folder / "cache"))
    slicerUserSettingsFilePath = Property(str, lambda self: str(self._folder / "Slicer.ini"))
    majorVersion = Property(int, lambda self: self._version[0])
    minorVersion = Property(int, lambda self: self._version[1])
    revision = Property(str, lambda self: "0")
    os = Property(str, lambda self: {"posix": "linux", "nt": "win"}[os.name])
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")
    documentationLanguage = Property(str, lambda self: "en")
    applicationLocale = Property("QLocale", lambda self: QLocale.c())
    defaultScenePath = stored("defaultScenePath", str, "")

    def mrmlScene(self):
        return self._scene.scene

    def applicationLogic(self):
        return self._scene.applicationLogic

    def moduleLogic(self, name):
        return self._scene.logics.get(name)

    def coreIOManager(self):
        return self._ioManager

    def ioManager(self):
        return self._ioManager

    def layoutManager(self):
        return self._layoutManager

    def moduleManager(self):
        return self._modules

    def extensionsManagerModel(self):
        return self._extensions

    def settings(self):
        return QSettings()

    def userSettings(self):
        return QSettings()

    def revisionUserSettings(self):
        return QSettings()

    def pythonConsole(self):
        return None

    def testingEnabled(self):
        return self._testing

    def commandOptions(self):
        return _CommandOptions()

    def startupEnvironment(self):
        return QProcessEnvironment.systemEnvironment()

    def environment(self):
        return QProcessEnvironment.systemEnvironment()

    def translate(self, context, text):
        return text

    def moduleDocumentationUrl(self, name):
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def openNodeModule(self, node, role="", context=""):
        pass

    def restart(self):
        self._restarts += 1

    def confirmRestart(self, reason=""):
        self._restarts += 1

    def pauseRender(self):
        self.setRenderPaused(True)

    def resumeRender(self):
        self.setRenderPaused(False)

    def setRenderPaused(self, paused):
        self._layoutManager.setRenderPaused(paused)
        self.renderPaused.emit(paused)

    def showConsoleMessage(self, message, error=True):
        print(message)


@standIn
class _CommandOptions(QObject):
    """The switches of the command line, none of them given."""

    noMainWindow = Property(bool, lambda self: slicer.util.mainWindow() is None)
    testingEnabled = Property(bool, lambda self: slicer.app.testingEnabled())
