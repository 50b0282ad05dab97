"""Modal dialogs never block a test: each is recorded and answered.

A message with one button is answered by that button.  A question needs an answer that the test gave before
with `answer(...)`; without one the dialog is an error, because in Slicer it would wait for a person.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtWidgets import (
    QApplication,
    QColorDialog,
    QDialog,
    QFileDialog,
    QInputDialog,
    QMenu,
    QMessageBox,
)


class UnansweredDialog(AssertionError):
    """A dialog asked something that the test did not foresee."""


@dataclass(frozen=True)
class Shown:
    """A dialog that was shown: its kind (class or function), its title, its text, and what it got."""

    kind: str
    title: str
    text: str
    answer: object


class Dialogs:
    """The record of all dialogs, and the answers that wait for the next ones."""

    def __init__(self):
        self.shown: list[Shown] = []
        self._answers: deque = deque()

    def answer(self, *answers) -> None:
        """What the next dialogs get, in order.

        A standard button for a message box; the path, text or colour for Qt's ready-made dialogs (None
        cancels); for any other dialog a result code, or a function that is given the dialog, acts on it and
        may return one.
        """
        self._answers.extend(answers)

    def clear(self) -> None:
        """Forget what was shown and what was still to be answered."""
        self.shown.clear()
        self._answers.clear()

    def texts(self) -> list[str]:
        """The texts of all dialogs shown, oldest first."""
        return [shown.text for shown in self.shown]

    def install(self) -> None:
        """Take over every way that Qt has of waiting for a person."""
        dialogs = self

        def execute(dialog):
            return dialogs._execute(dialog)

        for cls in (QDialog, QMessageBox, QFileDialog, QInputDialog, QColorDialog):
            cls.exec = cls.exec_ = execute
        for name in ("information", "warning", "critical", "question", "about"):
            setattr(QMessageBox, name, staticmethod(self._messageFunction(name)))
        for owner, name, cancelled in (
            (QFileDialog, "getOpenFileName", ("", "")),
            (QFileDialog, "getOpenFileNames", ([], "")),
            (QFileDialog, "getSaveFileName", ("", "")),
            (QFileDialog, "getExistingDirectory", ""),
            (QInputDialog, "getText", ("", False)),
            (QInputDialog, "getItem", ("", False)),
            (QInputDialog, "getInt", (0, False)),
            (QInputDialog, "getDouble", (0.0, False)),
            (QColorDialog, "getColor", None),
        ):
            setattr(owner, name, staticmethod(self._readyMade(name, cancelled)))
        QMenu.exec = QMenu.exec_ = lambda menu, *_: self._next("QMenu", menu.title, "")

    def _next(self, kind: str, title: str, text: str, only=None):
        if self._answers:
            answer = self._answers.popleft()
        elif only is not None:
            answer = only
        else:
            raise UnansweredDialog(f"{kind} '{title}' would wait for a person: {text}")
        if not callable(answer):
            self.shown.append(Shown(kind, title.strip(), text, answer))
        return answer

    def _execute(self, dialog: QDialog):
        kind = dialog.className()
        if isinstance(dialog, QMessageBox):
            answers = [b for b in map(dialog.standardButton, dialog.buttons()) if b != QMessageBox.NoButton]
            own = [b for b in dialog.buttons() if dialog.buttonRole(b) != QMessageBox.ActionRole]  # no "Details"
            only = (answers or [QMessageBox.Ok])[0] if len(own) <= 1 else None
            answer = self._next(kind, dialog.windowTitle, dialog.text, only)
            text = dialog.text
        else:
            text = ""
            answer = self._next(kind, dialog.windowTitle, text)
        if isinstance(answer, Callable) and not isinstance(answer, type(QMessageBox.Ok)):
            answer = self._actOn(dialog, answer, kind, text)
        return answer

    def _actOn(self, dialog: QDialog, action: Callable, kind: str, text: str):
        title = dialog.windowTitle
        dialog.show()
        QApplication.processEvents()
        result = action(dialog)
        result = dialog.result() if result is None else result
        self.shown.append(Shown(kind, title.strip(), text, result))
        dialog.hide()
        return result

    def _messageFunction(self, name: str):
        def show(parent=None, title="", text="", buttons=QMessageBox.Ok, defaultButton=None):
            only = QMessageBox.Ok if name != "question" and buttons == QMessageBox.Ok else None
            return self._next(f"QMessageBox.{name}", title, text, only)

        return show

    def _readyMade(self, name: str, cancelled):
        def show(parent=None, title="", *arguments, **named):
            text = str(arguments[0]) if arguments else ""
            answer = self._next(name, str(title), text)
            if answer is None:
                return cancelled
            if isinstance(cancelled, tuple) and not isinstance(answer, tuple):
                return (answer, True if isinstance(cancelled[1], bool) else "")
            return answer

        return show
