"""Keeps Qt's and VTK's remarks about the missing screen out of the test output."""

from PySide6.QtCore import QtMsgType, qInstallMessageHandler

_HARMLESS = ("This plugin does not support propagateSizeHints",)
_kept: list[str] = []


def install() -> None:
    """Print Qt's messages except the harmless ones; warnings and worse are kept."""
    qInstallMessageHandler(_handle)


def qt_messages() -> list[str]:
    """Qt's warnings since the last call."""
    messages, _kept[:] = list(_kept), []
    return messages


def _handle(kind, context, message: str) -> None:
    if message.startswith(_HARMLESS):
        return
    if kind != QtMsgType.QtDebugMsg:
        _kept.append(message)
    print(f"Qt: {message}", flush=True)
