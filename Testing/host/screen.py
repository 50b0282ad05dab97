"""What stands on the screen, for a test that fails: the panels' messages, their logs, and what was raised."""

import traceback

from PySide6.QtWidgets import QApplication, QLabel, QPlainTextEdit, QPushButton, QTextEdit, QWidget

from . import errors
from .startup import dialogs

LOG_LINES = 15


def seen() -> str:
    """Every visible label and button of the open panels, the end of their logs (visible or not), the dialogs that were
    shown, and the exceptions that slots raised."""
    parts = [_panel(window) for window in QApplication.topLevelWidgets() if window.isVisible()]
    parts += [f"dialog '{shown.title}': {shown.text}" for shown in dialogs().shown]
    parts += ["raised in a slot or observer:\n" + "".join(traceback.format_exception(error)) for error in errors.kept()]
    return "\n".join(part for part in parts if part) or "nothing is shown"


def _panel(window: QWidget) -> str:
    lines = [f"{kind} '{widget.objectName}': {widget.text}"
             for kind, cls in (("label", QLabel), ("button", QPushButton))
             for widget in window.findChildren(cls) if widget.isVisible() and widget.objectName and widget.text]
    for widget in [*window.findChildren(QPlainTextEdit), *window.findChildren(QTextEdit)]:
        text = widget.toPlainText().strip()
        if text:
            lines += [f"text '{widget.objectName}' ends:", *text.splitlines()[-LOG_LINES:]]
    return "\n".join(lines)
