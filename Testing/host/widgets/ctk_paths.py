"""ctkPathLineEdit and ctkDirectoryButton: choosing files and folders."""

import os

from PySide6.QtCore import Property, QSettings, QSignalBlocker, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from .declare import forwarded, standIn, stored


@standIn
class ctkPathLineEdit(QWidget):
    """A path in an editable combo box with a browse button and a history."""

    Dirs, Files, Drives, NoSymLinks, AllEntries = 0x001, 0x002, 0x004, 0x008, 0x007
    Readable, Writable, Executable, Hidden, NoDotAndDotDot, NoDot, NoDotDot, NoFilter = (
        0x010, 0x020, 0x040, 0x100, 0x1000, 0x2000, 0x4000, -1,
    )  # fmt: skip

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._valid = False
        self._combo = QComboBox(self)
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self._browse = QToolButton(self)
        self._browse.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        layout.addWidget(self._browse)
        self._combo.currentTextChanged.connect(self._onText)
        self._browse.clicked.connect(self.browse)

    @Property(str, notify=currentPathChanged, user=True)
    def currentPath(self):
        return self._combo.currentText

    @currentPath.setter
    def currentPath(self, path):
        self.setCurrentPath(path)

    @Property(bool)
    def showBrowseButton(self):
        return not self._browse.isHidden()

    @showBrowseButton.setter
    def showBrowseButton(self, visible):
        self._browse.setVisible(visible)

    label = stored("label", str, "")
    filters = stored("filters", int, AllEntries)
    options = stored("options", int, 0)
    nameFilters = stored("nameFilters", "QStringList", [])
    settingKey = stored("settingKey", str, "", "retrieveHistory")
    showHistoryButton = stored("showHistoryButton", bool, True)
    sizeAdjustPolicy = stored("sizeAdjustPolicy", int, 0)
    minimumContentsLength = forwarded(int, "_combo", "minimumContentsLength")

    def comboBox(self):
        return self._combo

    def setCurrentPath(self, path):
        self._combo.setEditText(path)

    def browse(self):
        if self.filters & self.Files and self.filters & self.Writable:
            path = QFileDialog.getSaveFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        elif self.filters & self.Files:
            path = QFileDialog.getOpenFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        else:
            path = QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self):
        known = [self._combo.itemText(i) for i in range(self._combo.count)]
        if self.currentPath and self.currentPath not in known:
            with QSignalBlocker(self._combo):
                path = self.currentPath
                self._combo.insertItem(0, path)
                self._combo.setCurrentIndex(0)
        if self.settingKey:
            known = [self._combo.itemText(i) for i in range(self._combo.count)]
            QSettings().setValue(self.settingKey, known[:10])

    def retrieveHistory(self):
        known = QSettings().value(self.settingKey) or []
        with QSignalBlocker(self._combo):
            self._combo.clear()
            self._combo.addItems([known] if isinstance(known, str) else known)
        if self._combo.count:
            self._onText(self._combo.currentText)

    def _onText(self, path: str) -> None:
        wanted = os.path.isdir if not self.filters & self.Files else os.path.exists
        valid = bool(path) and wanted(path)
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)
        self.currentPathChanged.emit(path)


@standIn
class ctkDirectoryButton(QWidget):
    """A button that shows a folder and opens a dialog to choose another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._directory = next((a for a in arguments if isinstance(a, str)), os.getcwd())
        self._button = QPushButton(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)
        self._show()

    @Property(str, notify=directoryChanged, user=True)
    def directory(self):
        return self._directory

    @directory.setter
    def directory(self, path):
        path = os.path.abspath(path or os.getcwd())
        if path != self._directory:
            self._directory = path
            self._show()
            self.directoryChanged.emit(path)

    text = stored("text", str, "", "_show")
    caption = stored("caption", str, "")
    icon = forwarded("QIcon", "_button", "icon")
    acceptMode = stored("acceptMode", int, 0)
    elideMode = stored("elideMode", int, 3)
    options = stored("options", int, 1)

    def browse(self):
        chosen = QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if chosen:
            self.directory = chosen
            self.directorySelected.emit(chosen)
        return chosen

    def _show(self) -> None:
        self._button.setText(self.__dict__.get("_text") or self._directory)
