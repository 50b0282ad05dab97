"""What happened, line by line, for whoever wants to know or to report it."""

import logging
import time

import qt
import slicer

_LINES = 2000


class LogView:
    """The log of the panel; Slicer's own log gets the same lines."""

    def __init__(self, text: qt.QPlainTextEdit, copyButton: qt.QPushButton):
        self._text = text
        self._text.setMaximumBlockCount(_LINES)
        copyButton.connect("clicked()", self._copy)

    def add(self, text: str) -> None:
        """A text of one or more lines, with the time."""
        logging.info("KAF: %s", text)
        self._text.appendPlainText(f"{time.strftime('%H:%M:%S')}  {text}")

    def _copy(self):
        slicer.app.clipboard().setText(self._text.plainText)
