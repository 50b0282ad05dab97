"""A field for the path of a folder that reports a path once, when a person has entered it."""

from __future__ import annotations

from collections.abc import Callable

import ctk
import qt

PAUSE_MILLISECONDS = 400  # without another key: the path is typed


class PathField:
    """The widget signals every key, when it is emptied only that it is not valid, and while its history is put in
    order the other paths that it shows for a moment.

    Args:
        edit: a ctkPathLineEdit.
        onSettled: called with the path once a person has typed or chosen it.
        onTyped: called at every change before that; must not touch the disk.
    """

    def __init__(self, edit: ctk.ctkPathLineEdit, onSettled: Callable[[str], None],
                 onTyped: Callable[[], None] = lambda: None):
        self._edit, self._onSettled, self._onTyped = edit, onSettled, onTyped
        self._shown, self._isQuiet, self._isPending = self.path, False, False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MILLISECONDS)
        self._timer.connect("timeout()", self.settle)
        edit.connect("currentPathChanged(QString)", self._onChanged)
        edit.connect("validInputChanged(bool)", self._onChanged)

    @property
    def path(self) -> str:
        """The path in the field, or nothing."""
        return self._edit.currentPath.strip()

    def show(self, path: str) -> None:
        """Shows a path and calls nobody."""
        self._quietly(lambda: self._edit.setCurrentPath(path))

    def remember(self) -> None:
        """Adds the path to the history behind the arrow."""
        self._quietly(self._edit.addCurrentPathToHistory)

    def settle(self) -> None:
        """Takes the path as it stands, if it was not reported yet."""
        if self._isPending:
            self._timer.stop()
            self._isPending = False
            self._onSettled(self._shown)

    def close(self) -> None:
        """The panel is closed for good."""
        self._timer.stop()

    def _quietly(self, action):
        self._isQuiet = True
        action()
        self._isQuiet = False
        if self.path != self._shown:
            self._shown, self._isPending = self.path, False
            self._timer.stop()

    def _onChanged(self, value):
        if self._isQuiet or self.path == self._shown:
            return
        self._shown, self._isPending = self.path, True
        self._onTyped()
        self._timer.start()
