"""Names of scans, models, files and structures come from others: they are shown as they are written.

Qt takes for HTML what looks like HTML, in labels, tool tips and message boxes alike, and loads the pictures in it. So
labels state how their text is read, and what cannot state it gets its text through :func:`tip`.
"""

from __future__ import annotations

from html import escape

import qt
import slicer

from kaf.runtime.errors import KafError


def rich(text: object) -> str:
    """A text from elsewhere as a part of rich text."""
    return escape(str(text)).replace("\n", "<br>")


def tip(text: object) -> str:
    """A text for a tool tip, or for a label that Qt makes inside a dialog of its own."""
    text = str(text)
    return f"<qt>{rich(text)}</qt>" if "<" in text or "&" in text else text


def problemWords(error: KafError) -> str:
    """A KafError in one line, as the forecasts of KAFPretrain show it."""
    return f"{error.subject} {error.reason}. {error.remedy}"


def plainLabel() -> qt.QLabel:
    """A label for texts from anywhere."""
    return _label(qt.Qt.PlainText)


def richLabel() -> qt.QLabel:
    """A label for rich text in which everything from elsewhere went through :func:`rich`."""
    return _label(qt.Qt.RichText)


def confirm(text: str, title: str, parent: qt.QWidget | None = None) -> bool:
    """Whether a person says OK; in Slicer's tests nobody is asked, and it is OK."""
    return slicer.util.confirmOkCancelDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText)


def tellError(text: str, title: str | None = None, parent: qt.QWidget | None = None) -> None:
    """An error in a window of its own; in batch mode a line in the log."""
    slicer.util.errorDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText)


def tellWarning(text: str, title: str | None = None, parent: qt.QWidget | None = None, detail: str = "") -> None:
    """A warning in a window of its own, with what can be unfolded; in batch mode a line in the log."""
    slicer.util.warningDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText, detailedText=detail)


def box(parent: qt.QWidget | None, title: str, textFormat: qt.Qt.TextFormat = qt.Qt.PlainText) -> qt.QMessageBox:
    """A message box for a question."""
    made = qt.QMessageBox(parent)
    made.setWindowTitle(title)
    made.setIcon(qt.QMessageBox.Question)
    made.setTextFormat(textFormat)
    return made


def _label(textFormat):
    made = qt.QLabel()
    made.setTextFormat(textFormat)
    return made
