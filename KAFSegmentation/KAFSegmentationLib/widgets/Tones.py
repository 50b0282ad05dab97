"""Colours of words that warn, readable on the background that the application has."""

from __future__ import annotations

import slicer

_ON_LIGHT = {"error": "#c0392b", "warning": "#9a6200"}
_ON_DARK = {"error": "#ff8f85", "warning": "#f0b860"}
_MIDDLE = 128  # of 0..255


def tone(level: str) -> str:
    """The colour for "error" or "warning", as HTML has it."""
    return (_ON_DARK if isDark() else _ON_LIGHT)[level]


def isDark() -> bool:
    """Whether texts stand on a dark background."""
    return slicer.app.palette().window().color().lightness() < _MIDDLE
