"""Asks for the texts of a model card that only its author knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from KAFSegmentationLib.widgets.PlainText import tip

if TYPE_CHECKING:
    from kaf.modelfile.card import Card

_LICENCE, _NO_LICENCE = "weights_licence", "unspecified"


class CardDialog:
    """A form with the free texts of a card.

    Args:
        parent: the widget that it belongs to.
        card: whose texts are shown at first.
    """

    def __init__(self, parent: qt.QWidget, card: Card):
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("Model card of {name}").format(name=card.name))
        self.dialog.setMinimumWidth(520)
        form = qt.QFormLayout(self.dialog)
        self.edits = {}
        for name, title, toolTip in _fields():
            edit = qt.QLineEdit(getattr(card, name))
            edit.setToolTip(tip(toolTip))
            edit.setObjectName(name)
            form.addRow(title, edit)
            self.edits[name] = edit
        buttons = qt.QDialogButtonBox()
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        buttons.connect("accepted()", self.dialog.accept)
        buttons.connect("rejected()", self.dialog.reject)
        form.addRow(buttons)

    def ask(self) -> dict[str, str] | None:
        """The new texts by field of the card, or None when the dialog was cancelled."""
        if self.dialog.exec_() != qt.QDialog.Accepted:
            return None
        return {name: edit.text.strip() or (_NO_LICENCE if name == _LICENCE else "")
                for name, edit in self.edits.items()}


def _fields():
    """Field of the card, title and tool tip."""
    return (("description", _("Intended use:"), _("One sentence: which structures, on which scans")),
            ("training_data", _("Training data:"), _("The data set and its licence")),
            (_LICENCE, _("Licence of the weights:"), _("For example CC BY 4.0; empty means unspecified")))
