"""Every Qt class that PySide6 offers, by name.

PySide6 creates its classes on first access, so the module dictionaries alone are not the whole list.
"""

from functools import cache

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)


@cache
def qtNames() -> dict[str, object]:
    """All public names of Qt as one flat dictionary, as PythonQt's module `qt` has them."""
    return {
        name: getattr(module, name)
        for module in MODULES
        for name in dir(module)
        if name.startswith("Q") and not name.startswith("QML")
    }


@cache
def qtObjectClasses() -> tuple[type, ...]:
    """The classes derived from QObject, base classes before derived ones."""
    classes = {value for value in qtNames().values() if isinstance(value, type)}
    return tuple(sorted((c for c in classes if issubclass(c, QtCore.QObject)), key=lambda c: len(c.__mro__)))
