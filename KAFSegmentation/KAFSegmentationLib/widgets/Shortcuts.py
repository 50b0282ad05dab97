"""Keys of a panel."""

from collections.abc import Callable

import qt


def shortcut(widget: qt.QWidget, keys: str, function: Callable[[], None]) -> qt.QShortcut:
    """Calls a function when these keys are pressed anywhere in a widget."""
    made = qt.QShortcut(qt.QKeySequence(keys), widget)
    made.setContext(qt.Qt.WidgetWithChildrenShortcut)
    made.connect("activated()", function)
    return made
