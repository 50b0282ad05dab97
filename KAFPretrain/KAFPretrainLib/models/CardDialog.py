"""Asks for the words of a model's card that only its maker knows."""

import qt

from KAFSegmentationLib.widgets.PlainText import tip

FIELDS = (("description", "What it is for:", "A sentence: which structures, on which scans"),
          ("training_data", "Trained on:", "The data and its licence"),
          ("weights_licence", "Licence of the weights:", "For example CC BY 4.0; unspecified if you do not know"))


class CardDialog:
    """A form with the free text of a card.

    Args:
        parent: the widget that it belongs to.
        card: whose words stand there at first.
    """

    def __init__(self, parent, card):
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(f"Card of {card.name}")
        self.dialog.setMinimumWidth(520)
        form = qt.QFormLayout(self.dialog)
        self.edits = {}
        for name, title, words in FIELDS:
            edit = qt.QLineEdit(getattr(card, name))
            edit.setToolTip(tip(words))
            edit.setObjectName(name)
            form.addRow(title, edit)
            self.edits[name] = edit
        buttons = qt.QDialogButtonBox()
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        buttons.connect("accepted()", self.dialog.accept)
        buttons.connect("rejected()", self.dialog.reject)
        form.addRow(buttons)

    def ask(self):
        """The new words by name, or None where they were not wanted."""
        if self.dialog.exec_() != qt.QDialog.Accepted:
            return None
        return {name: edit.text.strip() or ("unspecified" if name == "weights_licence" else "")
                for name, edit in self.edits.items()}
