"""The small CTK widgets that differ little from Qt's own."""

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QCheckBox, QColorDialog, QComboBox, QMessageBox, QPushButton

from .declare import standIn, stored


@standIn
class ctkComboBox(QComboBox):
    """A combo box with a text for when nothing is selected."""

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = range(4)

    defaultText = stored("defaultText", str, "")  # not the placeholder of Qt, which knows nothing of it
    forceDefault = stored("forceDefault", bool, False)
    elideMode = stored("elideMode", int, 3)
    scrollWheelEffect = stored("scrollWheelEffect", int, AlwaysScroll)

    @Property(str)
    def currentUserDataAsString(self):
        return str(self.currentData or "")

    @currentUserDataAsString.setter
    def currentUserDataAsString(self, text):
        self.setCurrentUserDataAsString(text)

    def setCurrentUserDataAsString(self, text):
        self.setCurrentIndex(self.findData(text))


@standIn
class ctkCheckBox(QCheckBox):
    """A check box that may show an icon instead of its mark."""


@standIn
class ctkPushButton(QPushButton):
    """A push button with aligned text."""

    buttonTextAlignment = stored("buttonTextAlignment", int, int(Qt.AlignCenter.value))
    iconAlignment = stored("iconAlignment", int, 0x81)
    elideMode = stored("elideMode", int, 3)


@standIn
class ctkCheckablePushButton(ctkPushButton):
    """A push button with a check box in it."""

    checkBoxToggled = Signal(bool)

    indicatorAlignment = stored("indicatorAlignment", int, 0x81)
    checkBoxControlsButton = stored("checkBoxControlsButton", bool, True)
    checkBoxControlsButtonToggleState = stored("checkBoxControlsButtonToggleState", bool, True)
    checkBoxUserCheckable = stored("checkBoxUserCheckable", bool, True)


@standIn
class ctkColorPickerButton(QPushButton):
    """A button that shows a colour and opens a dialog to choose another."""

    colorChanged = Signal(QColor)
    colorNameChanged = Signal(str)

    def __init__(self, *arguments):
        super().__init__(*(a for a in arguments if not isinstance(a, QColor | str)))
        self._color = next((a for a in arguments if isinstance(a, QColor)), QColor(Qt.black))
        self.clicked.connect(self.changeColor)
        self._show()

    @Property(QColor, notify=colorChanged, user=True)
    def color(self):
        return self._color

    @color.setter
    def color(self, color):
        self.setColor(color)

    displayColorName = stored("displayColorName", bool, True, "_show")

    def setColor(self, color):
        color = QColor(color)
        if color != self._color:
            self._color = color
            self._show()
            self.colorChanged.emit(color)
            self.colorNameChanged.emit(color.name())

    def setDisplayColorName(self, display):
        self.displayColorName = display

    def changeColor(self):
        color = QColorDialog.getColor(self._color, self)
        if color.isValid():
            self.setColor(color)

    def _show(self) -> None:
        swatch = QPixmap(16, 16)
        swatch.fill(self._color)
        self.setIcon(QIcon(swatch))
        self.setText(self._color.name() if self.displayColorName else "")


@standIn
class ctkMessageBox(QMessageBox):
    """A message box that can be told not to come back."""

    dontShowAgain = stored("dontShowAgain", bool, False)
    dontShowAgainVisible = stored("dontShowAgainVisible", bool, False)
    dontShowAgainSettingsKey = stored("dontShowAgainSettingsKey", str, "")
