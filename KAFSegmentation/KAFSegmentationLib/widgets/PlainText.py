"""Names of scans, models, files and structures come from others: they are shown as they are written.

Qt takes for HTML what looks like HTML, in labels, tool tips and message boxes alike, and loads the pictures in it. So
labels state how their text is read, and what cannot state it gets its text through :func:`tip`.
"""

from html import escape

import qt
import slicer


def rich(text):
    """A text from elsewhere as a part of rich text."""
    return escape(str(text)).replace("\n", "<br>")


def tip(text):
    """A text for a tool tip, or for a label that Qt makes inside a dialog of its own."""
    text = str(text)
    return f"<qt>{rich(text)}</qt>" if "<" in text or "&" in text else text


def problemWords(error):
    """A KafError in one line, as the forecasts of KAFPretrain show it."""
    return f"{error.subject} {error.reason}. {error.remedy}"


def plainLabel():
    """A label for texts from anywhere."""
    return _label(qt.Qt.PlainText)


def richLabel():
    """A label for rich text in which everything from elsewhere went through :func:`rich`."""
    return _label(qt.Qt.RichText)


def confirm(text, title, parent=None):
    """Whether a person says OK; in Slicer's tests nobody is asked, and it is OK."""
    return slicer.util.confirmOkCancelDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText)


def tellError(text, title=None, parent=None):
    """An error in a window of its own; in batch mode a line in the log."""
    slicer.util.errorDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText)


def tellWarning(text, title=None, parent=None, detail=""):
    """A warning in a window of its own, with what can be unfolded; in batch mode a line in the log."""
    slicer.util.warningDisplay(text, title, parent=parent, textFormat=qt.Qt.PlainText, detailedText=detail)


def box(parent, title, textFormat=qt.Qt.PlainText):
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
