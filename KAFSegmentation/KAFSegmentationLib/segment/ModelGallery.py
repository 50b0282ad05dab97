"""All models of this computer with a picture each: what they segment, in which scans, under which licence."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import qt
from slicer.i18n import tr as _

from kaf.modelfile.library import Entry
from KAFSegmentationLib.segment.ModelFit import bestFirst
from KAFSegmentationLib.segment.ModelPictures import SIZE, modelPicture
from KAFSegmentationLib.segment.ModelSelector import fullCardText
from KAFSegmentationLib.widgets.PlainText import richLabel

_USE, _SAMPLE = 1, 2
_WIDTH, _HEIGHT = 560, 620


class ModelGallery:
    """A dialog: a line to search, the models, and the card of the one that is marked.

    Args:
        parent: the widget that it belongs to.
        entries: the models.
        doubts: model -> why it may not suit the chosen scan; empty without a scan.
        samples: the models that there is sample data for.
        chosen: the model that is marked at first.
    """

    def __init__(self, parent: qt.QWidget, entries: Sequence[Entry], doubts: dict[str, tuple[str, ...]],
                 samples: Collection[str], chosen: str):
        self._entries, self._doubts, self._samples = bestFirst(entries, doubts), doubts, samples
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("Models"))
        self.dialog.resize(_WIDTH, _HEIGHT)
        layout = qt.QVBoxLayout(self.dialog)
        self.search = qt.QLineEdit()
        self.search.setPlaceholderText(_("Search for a structure, an organ or CT or MR"))
        self.search.setClearButtonEnabled(True)
        self.list = qt.QListWidget()
        self.list.setIconSize(qt.QSize(SIZE, SIZE))
        self.list.setWordWrap(True)
        self.list.setSpacing(2)
        self.card = richLabel()
        self.card.setWordWrap(True)
        self.card.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self.useButton = qt.QPushButton(_("&Use this model"))
        self.sampleButton = qt.QPushButton(_("Use it on the &sample heart"))
        cancel = qt.QPushButton(_("Cancel"))
        buttons = qt.QHBoxLayout()
        for button in (self.useButton, self.sampleButton, cancel):
            buttons.addWidget(button)
        for widget in (self.search, self.list, self.card):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self._fill(chosen)
        self.useButton.setDefault(True)
        self.search.connect("textChanged(QString)", self._onSearch)
        self.list.connect("currentRowChanged(int)", self._onRow)
        self.list.connect("itemDoubleClicked(QListWidgetItem*)", lambda item: self.dialog.done(_USE))
        self.useButton.connect("clicked()", lambda: self.dialog.done(_USE))
        self.sampleButton.connect("clicked()", lambda: self.dialog.done(_SAMPLE))
        cancel.connect("clicked()", self.dialog.reject)
        self._onRow(self.list.currentRow)

    def ask(self) -> tuple[str, bool]:
        """The model that a person has chosen ("" for none), and whether the sample is wanted, too."""
        pressed, entry = self.dialog.exec_(), self._marked()
        self.dialog.deleteLater()
        return (entry.name, pressed == _SAMPLE) if pressed in (_USE, _SAMPLE) and entry is not None else ("", False)

    def _fill(self, chosen):
        for entry in self._entries:
            item = qt.QListWidgetItem(qt.QIcon(modelPicture(entry)), self._text(entry))
            self.list.addItem(item)
        names = [entry.name for entry in self._entries]
        self.list.setCurrentRow(names.index(chosen) if chosen in names else 0)

    def _text(self, entry):
        """What stands beside the picture; an item of a list is plain text."""
        card = entry.card
        kind = {"CT": _("CT"), "MR": _("MR")}.get(card.modality, _("any modality"))
        structures = ", ".join(label.name for label in card.labels) or \
            _("pretrained weights, which segment nothing yet")
        lines = [_("{name} ({kind})").format(name=entry.name, kind=kind), structures]
        if entry.name in self._doubts:
            lines.append(_("Not made for the chosen scan") if self._doubts[entry.name] else _("Fits the chosen scan"))
        return "\n".join(lines)

    def _onSearch(self, text):
        words = text.casefold().split()
        for row, entry in enumerate(self._entries):
            said = _searched(entry)
            self.list.item(row).setHidden(not all(word in said for word in words))
        shown = [row for row in range(len(self._entries)) if not self.list.item(row).isHidden()]
        if self.list.currentRow not in shown:
            self.list.setCurrentRow(shown[0] if shown else -1)
        self._onRow(self.list.currentRow)

    def _marked(self):
        row = self.list.currentRow
        return self._entries[row] if 0 <= row < len(self._entries) else None

    def _onRow(self, row):
        entry = self._marked()
        self.card.setText("" if entry is None else fullCardText(entry.card))
        self.useButton.setEnabled(entry is not None)
        self.sampleButton.setVisible(entry is not None and entry.name in self._samples)


def _searched(entry):
    """All that a search looks at."""
    card = entry.card
    parts = [entry.name, card.description, card.modality, card.training_data, *(label.name for label in card.labels)]
    return " ".join(parts).casefold()
