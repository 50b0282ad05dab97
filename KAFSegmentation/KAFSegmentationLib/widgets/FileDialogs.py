"""File dialogs that return a path or nothing. PythonQt gives the path alone, other bindings of Qt also the filter."""

import qt


def askOpen(parent: qt.QWidget, title: str, folder: str, kinds: str) -> str:
    """Asks for an existing file."""
    return _path(qt.QFileDialog.getOpenFileName(parent, title, folder, kinds))


def askSave(parent: qt.QWidget, title: str, path: str, kinds: str) -> str:
    """Asks for a file to write; the dialog itself asks whether an existing one may be replaced."""
    return _path(qt.QFileDialog.getSaveFileName(parent, title, path, kinds))


def askFolder(parent: qt.QWidget, title: str, folder: str) -> str:
    """Asks for an existing folder."""
    return _path(qt.QFileDialog.getExistingDirectory(parent, title, folder))


def _path(answer):
    return (answer[0] if isinstance(answer, tuple) else answer) or ""
