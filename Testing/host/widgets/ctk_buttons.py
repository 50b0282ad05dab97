"""The small CTK widgets that differ little from Qt's own."""

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QMessageBox, QPushButton

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
class ctkMessageBox(QMessageBox):
    """A message box that can be known not to come back."""

    dontShowAgain = stored("dontShowAgain", bool, False)
    dontShowAgainVisible = stored("dontShowAgainVisible", bool, False)
    dontShowAgainSettingsKey = stored("dontShowAgainSettingsKey", str, "")
