"""The choice of a model, and its card as text."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan

import qt
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.modelfile.library import Entry
from kaf.runtime.errors import ModelError
from KAFSegmentationLib.backend.Models import PretrainedOnlyError, isRefused, listModels, missingModel
from KAFSegmentationLib.widgets.PlainText import rich, tip


class ModelSelector:
    """A combo box of the library's models, and a label that shows the card of the chosen one.

    Args:
        comboBox, cardLabel: the widgets of the .ui file.
        onChosen: called with the name when a person chooses another model.
    """

    def __init__(self, comboBox: qt.QComboBox, cardLabel: qt.QLabel, onChosen: Callable[[str], None]):
        self._combo, self._cardLabel, self._onChosen = comboBox, cardLabel, onChosen
        self._entries: dict[str, Entry] = {}
        self._filling = False
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def refresh(self, name: str) -> str:
        """Reads the library again and chooses ``name``; one that is not here is shown as such.

        Returns:
            The name that is chosen now: the first model if ``name`` is empty.
        """
        # What segments comes first, and of that what comes with KAF.
        entries = sorted(listModels(), key=lambda entry: (not entry.card.labels, not entry.bundled, entry.name))
        self._entries = {entry.name: entry for entry in entries}
        names = list(self._entries)
        chosen = name or (names[0] if names else "")
        self._filling = True
        self._combo.clear()
        for known, entry in self._entries.items():
            text = "{name}" if entry.card.labels else _("{name} (pretrained weights)")
            self._combo.addItem(text.format(name=known))
        if chosen and chosen not in self._entries:
            text = _("{name} (cannot be used)") if isRefused(chosen) else _("{name} (not on this computer)")
            self._combo.addItem(text.format(name=chosen))
        self._combo.setCurrentIndex(names.index(chosen) if chosen in self._entries else self._combo.count - 1)
        self._combo.enabled = bool(names)
        self._filling = False
        self._showCard(chosen)
        return chosen

    def card(self, name: str) -> Card | None:
        """The card of a model that is here, or None."""
        entry = self._entries.get(name)
        return entry.card if entry else None

    def isBundled(self, name: str) -> bool:
        """Whether a model came with KAF."""
        return name in self._entries and self._entries[name].bundled

    def problem(self, name: str) -> ModelError | None:
        """The ModelError that keeps this model from segmenting, or None."""
        if name not in self._entries:
            return missingModel(name)
        return None if self._entries[name].card.labels else PretrainedOnlyError(name)

    def _onIndexChanged(self, index):
        names = list(self._entries)
        if not self._filling and 0 <= index < len(names):
            self._showCard(names[index])
            self._onChosen(names[index])

    def _showCard(self, name):
        card = self.card(name)
        self._cardLabel.text = "" if card is None else cardText(card)
        data = "" if card is None else _("Training data: {data}").format(data=card.training_data)
        self._cardLabel.toolTip = tip(data)


def cardText(card: Card) -> str:
    """What the model segments, on which scans, how well, and under which licence: a few lines of rich text."""
    structures = ", ".join(_swatch(label) + rich(label.name) for label in card.labels) or \
        _("Pretrained weights: they cannot segment until they have learned a structure.")
    intended = {"MR": _("For MR scans with a slice spacing of about {slices} mm and a pixel size of {pixels} mm."),
                "CT": _("For CT scans with a slice spacing of about {slices} mm and a pixel size of {pixels} mm.")}
    scans = intended.get(card.modality, _("For scans of any modality with a slice spacing of about {slices} mm and a "
                                          "pixel size of {pixels} mm."))
    lines = [structures, scans.format(slices=f"{card.slice_spacing:g}", pixels=f"{card.spacing:g}")]
    figures = _figures(card.metrics)
    if figures:
        lines.append(figures)
    known = card.weights_licence not in ("", "unspecified")
    version = _("Version {version}; licence of the weights: {licence}.") if known else \
        _("Version {version}; no licence is stated for the weights.")
    version = version.format(version=rich(card.version), licence=rich(card.weights_licence))
    lines.append(f"{rich(card.description)} {version}".strip())
    return "<br>".join(lines)


def _swatch(label):
    """A square in the colour of the structure; the gap after it does not break."""
    return '<span style="color:#{:02x}{:02x}{:02x}">&#9632;</span>&nbsp;'.format(*label.colour)


def _figures(metrics):
    """How good the model was on held-out cases, and on how many; else nothing is claimed."""
    for name in ("cross-validation", "validation"):
        found = metrics.get(name)
        if isinstance(found, dict) and isfinite(found.get("Dice", nan)):
            count = found.get("cases") or found.get("patients")
            text = _("Dice {dice} on 1 held-out case.") if count == 1 else _("Dice {dice} on {count} held-out cases.")
            return text.format(dice=f"{found['Dice']:.2f}", count=count)
    return ""
