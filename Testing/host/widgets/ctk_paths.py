"""ctkPathLineEdit and ctkDirectoryButton: choosing files and folders."""

import os
import re

from PySide6.QtCore import Property, QRegularExpression, QSettings, QSignalBlocker, Signal
from PySide6.QtGui import QRegularExpressionValidator
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from .declare import forwarded, standIn, stored

_REMEMBERED = 5  # paths that the list of a path edit shows


@standIn
class ctkPathLineEdit(QWidget):
    """A path to type, with a browse button and, behind an arrow, the paths of earlier days.

    As with the real one, every change of the text that leaves something to go by is emitted, key by key; for an emptied
    field there is `validInputChanged` alone.  The history moves the text about while it is put in order, and all who
    listen get that, too.
    """

    Dirs, Files, Drives, NoSymLinks, AllEntries, TypeMask = 0x001, 0x002, 0x004, 0x008, 0x007, 0x00F
    Readable, Writable, Executable, PermissionMask = 0x010, 0x020, 0x040, 0x070
    Modified, Hidden, System, AccessMask, AllDirs, CaseSensitive = 0x080, 0x100, 0x200, 0x3F0, 0x400, 0x800
    NoDotAndDotDot, NoDot, NoDotDot, NoFilter = 0x1000, 0x2000, 0x4000, -1
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = range(3)

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._valid = False
        self._combo = self._plain = None
        self._acceptable = QRegularExpressionValidator(self)
        self._browse = QToolButton(self)
        self._browse.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._browse)
        self._browse.clicked.connect(self.browse)
        self._accept()
        self._makeEdit(True)

    @Property(str, user=True)
    def currentPath(self):
        return self._edit().text

    @currentPath.setter
    def currentPath(self, path):
        self.setCurrentPath(path)

    @Property(bool)
    def showBrowseButton(self):
        return not self._browse.isHidden()

    @showBrowseButton.setter
    def showBrowseButton(self, visible):
        self._browse.setVisible(visible)

    @Property(bool)
    def showHistoryButton(self):
        return self._combo is not None

    @showHistoryButton.setter
    def showHistoryButton(self, visible):
        self._makeEdit(visible)

    label = stored("label", str, "")
    filters = stored("filters", int, AllEntries | NoDotAndDotDot | NoDot | NoDotDot | Readable | Executable)
    options = stored("options", int, 0)
    nameFilters = stored("nameFilters", "QStringList", [], "_accept")
    settingKey = stored("settingKey", str, "", "retrieveHistory")
    sizeAdjustPolicy = stored("sizeAdjustPolicy", int, AdjustToMinimumContentsLength)
    minimumContentsLength = stored("minimumContentsLength", int, 0)

    def comboBox(self):
        return self._combo

    def setCurrentPath(self, path):
        self._edit().setText(path)

    def browse(self):
        kinds = ";;".join(self.nameFilters)
        if self.filters & self.Files and self.filters & self.Writable:
            path = QFileDialog.getSaveFileName(self, "Select a file to save ", self.currentPath, kinds)
        elif self.filters & self.Files:
            path = QFileDialog.getOpenFileName(self, "Open a file", self.currentPath, kinds)
        else:
            path = QFileDialog.getExistingDirectory(self, "Select a directory...", self.currentPath)
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self):
        path = self.currentPath
        if self._combo is None or not path:
            return
        QSettings().setValue(self._place(), [path, *(known for known in self._kept() if known != path)])
        row = self._combo.findText(path)
        if row >= 0:
            self._combo.removeItem(row)  # while it is out, the field shows another one, or nothing
        while self._combo.count >= _REMEMBERED:
            self._combo.removeItem(self._combo.count - 1)
        self._combo.insertItem(0, path)
        self._combo.setCurrentIndex(0)

    def retrieveHistory(self):
        if self._combo is None:
            return
        path = self.currentPath
        with QSignalBlocker(self):
            self._combo.clear()
            self._combo.addItems(self._kept()[:_REMEMBERED])
            if path:
                self.setCurrentPath(path)
        if not path:
            self._combo.setCurrentIndex(0)

    def _place(self) -> str:
        return f"ctkPathLineEdit/{self.settingKey or self.objectName}"

    def _kept(self) -> list[str]:
        kept = QSettings().value(self._place()) or []
        return [kept] if isinstance(kept, str) else list(kept)

    def _edit(self) -> QLineEdit:
        # Asked for each time: a wrapper that is kept does not outlive the loading of a .ui file.
        return self._plain or self._combo.lineEdit()

    def _makeEdit(self, withHistory: bool) -> None:
        """The field, with or without the arrow; either way a new one, with the text of the old."""
        old = self._combo or self._plain
        path = self.currentPath if old is not None else ""
        self._combo = self._plain = None
        if withHistory:
            self._combo = QComboBox(self)
            self._combo.setEditable(True)
            self._combo.setInsertPolicy(QComboBox.NoInsert)
            self._combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
            self._edit().setCompleter(None)  # the real one completes from the disk, beside what it tells
        else:
            self._plain = QLineEdit(self)
        self._edit().setValidator(self._acceptable)
        self.layout().insertWidget(0, self._combo or self._plain)
        if old is not None:
            old.setParent(None)
            old.deleteLater()
        self.retrieveHistory()
        self.setCurrentPath(path)
        self._edit().textChanged.connect(self._onText)
        self.setFocusProxy(self._edit())

    def _accept(self) -> None:
        endings = [end for kind in self.nameFilters for end in re.findall(r"\*\.(\w+)", kind)]
        words = "|".join(rf".*\.{end}?$" for end in endings)
        self._acceptable.setRegularExpression(QRegularExpression(f"({words})" if words else ".+"))

    def _onText(self, path: str) -> None:
        was, self._valid = self._valid, self._edit().hasAcceptableInput()
        if self._valid:
            self.currentPathChanged.emit(path)
        if self._valid != was:
            self.validInputChanged.emit(self._valid)


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
