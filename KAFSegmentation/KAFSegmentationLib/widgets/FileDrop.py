"""Files that are dropped onto a panel."""

from __future__ import annotations

from collections.abc import Callable

import qt


class FileDrop(qt.QWidget):
    """Takes dropped files of one kind; all others go where Slicer takes them.

    Args:
        target: the widget that takes them, wherever on it they are dropped.
        suffix: of the files, e.g. ".safetensors".
        onFile: called with the path of each.
    """

    def __init__(self, target: qt.QWidget, suffix: str, onFile: Callable[[str], None]):
        qt.QWidget.__init__(self)
        self._suffix, self._onFile = suffix, onFile
        target.acceptDrops = True
        target.installEventFilter(self)

    def eventFilter(self, watched: qt.QObject, event: qt.QEvent) -> bool:
        """Accepts what is dragged over the widget, and takes what is dropped."""
        if event.type() not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        paths = self._paths(event.mimeData())
        if not paths:
            return False
        event.acceptProposedAction()
        if event.type() == qt.QEvent.Drop:
            # After the drop: a question must not hold the program that the files come from.
            qt.QTimer.singleShot(0, lambda: [self._onFile(path) for path in paths])
        return True

    def _paths(self, data):
        paths = [url.toLocalFile() for url in data.urls()] if data.hasUrls() else []
        return paths if paths and all(path.lower().endswith(self._suffix) for path in paths) else []
