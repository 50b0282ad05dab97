"""The direction of the slices that a person draws on."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

_CHOICES = {"auto": _("Slices of the model"), "axial": _("Axial slices"), "coronal": _("Coronal slices"),
            "sagittal": _("Sagittal slices")}


class DirectionChoice:
    """Args:
        box: the widget of the .ui file.
        onChosen: called with "auto" or a plane.
    """

    def __init__(self, box: qt.QComboBox, onChosen: Callable[[str], None]):
        self._box, self._onChosen = box, onChosen
        for text in _CHOICES.values():
            box.addItem(text)
        box.connect("activated(int)", self._onActivated)

    def show(self, plane: str) -> None:
        """Shows a direction; a word that is not known counts as "auto"."""
        self._box.setCurrentIndex(list(_CHOICES).index(plane if plane in _CHOICES else "auto"))

    def _onActivated(self, index):
        self._onChosen(list(_CHOICES)[index])
