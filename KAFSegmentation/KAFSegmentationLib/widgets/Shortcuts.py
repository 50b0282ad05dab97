"""Keys of a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer


def shortcut(widget: qt.QWidget, keys: str, function: Callable[[], None]) -> qt.QShortcut:
    """Calls a function when these keys are pressed anywhere in a widget."""
    made = qt.QShortcut(qt.QKeySequence(keys), widget)
    made.setContext(qt.Qt.WidgetWithChildrenShortcut)
    made.connect("activated()", function)
    return made


class SectionKeys:
    """Keys that count in the whole main window, as those of the segment editor do, because whoever draws has the mouse
    in a slice view; without a main window, in the section. A field that takes text keeps its letters.

    Args:
        section: the widget.
        keys: key -> what it calls.
    """

    def __init__(self, section: qt.QWidget, keys: Mapping[str, Callable[[], None]]):
        self._section, self._keys = section, dict(keys)
        self._made: list[qt.QShortcut] = []

    def enable(self, isEnabled: bool) -> None:
        """Whether the keys count."""
        if isEnabled and not self._made:
            window = slicer.util.mainWindow()
            parent = window if window is not None and window.isVisible() else self._section
            self._made = [shortcut(parent, keys, function) for keys, function in self._keys.items()]
        elif not isEnabled:
            self.close()

    def close(self) -> None:
        """Gives the keys back."""
        for made in self._made:
            made.setEnabled(False)
            made.deleteLater()
        self._made = []
