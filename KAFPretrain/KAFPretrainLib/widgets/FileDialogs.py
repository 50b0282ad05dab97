"""Questions for files, answered with a path or nothing. PythonQt gives the path alone, other Qt also the filter."""

import qt


def askOpen(parent, title, folder, kinds):
    """A file that is there."""
    return _path(qt.QFileDialog.getOpenFileName(parent, title, folder, kinds))


def askSave(parent, title, path, kinds):
    """A file to write; the dialog has asked whether one that is there may be replaced."""
    return _path(qt.QFileDialog.getSaveFileName(parent, title, path, kinds))


def askFolder(parent, title, folder):
    """A folder."""
    return _path(qt.QFileDialog.getExistingDirectory(parent, title, folder))


def _path(answer):
    return (answer[0] if isinstance(answer, tuple) else answer) or ""
