"""The choice of a model, and its card as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite, nan
from typing import Any

from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.modelfile.library import Entry
from kaf.runtime.errors import ModelError
from KAFSegmentationLib.backend.Models import PretrainedOnlyError, isRefused, listModels, missingModel
from KAFSegmentationLib.widgets.PlainText import rich, tip

_ROOM = 42  # characters for the names of structures in one line
_SIGN = 24  # and for the licence
_SWATCHES = 8
_SWATCH = '<span style="color:#{:02x}{:02x}{:02x}">&#9632;</span>'  # a square in the colour of a structure


class ModelSelector:
    """A combo box of the library's models, one line about the chosen one, and its card for those who want it.

    Args:
        ui: the widgets of the .ui file.
        onChosen: called with the name when a person chooses another model.
    """

    def __init__(self, ui: Any, onChosen: Callable[[str], None]):
        self._combo, self._onChosen = ui.modelComboBox, onChosen
        self._lineLabel, self._cardLabel, self._details = ui.modelLineLabel, ui.modelCardLabel, ui.modelDetailsButton
        self._entries: dict[str, Entry] = {}
        self._filling = False
        self._combo.connect("currentIndexChanged(int)", self._onIndexChanged)
        self._details.connect("toggled(bool)", self._onDetails)

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

    def _onDetails(self, checked):
        self._cardLabel.visible = checked and bool(self._cardLabel.text)

    def _showCard(self, name):
        card = self.card(name)
        self._lineLabel.text = "" if card is None else cardLine(card)
        names = "" if card is None else ", ".join(label.name for label in card.labels)
        self._lineLabel.toolTip = tip(names)  # where they have no room
        self._cardLabel.text = "" if card is None else cardText(card)
        self._lineLabel.visible = self._details.visible = card is not None
        self._onDetails(self._details.checked)


def cardLine(card: Card) -> str:
    """What the model segments, how well, and a sign of its licence: one line of rich text."""
    swatches = "".join(_SWATCH.format(*label.colour) for label in card.labels[:_SWATCHES])
    count = _("1 structure") if len(card.labels) == 1 else _("{count} structures")
    parts = [_structures(card) if _fit(card) else f"{swatches}&nbsp;{rich(count.format(count=len(card.labels)))}"]
    dice = _validation(card.metrics)[0]
    if dice is not None:
        parts.append(_together(_("Dice {dice}").format(dice=f"{dice:.2f}")))
    if _isStated(card):
        parts.append(_together(re.split(r"[;,(]", card.weights_licence)[0].strip()[:_SIGN]))
    return " &#183; ".join(parts)


def cardText(card: Card, isNamed: bool = False) -> str:
    """On which scans the model works, how it was validated, and its licence: a few lines of rich text. What the line
    above them says is not said again.

    Args:
        isNamed: whether the structures are named above.
    """
    intended = {"MR": _("For MR scans with a slice spacing of about {slices} mm and a pixel size of {pixels} mm."),
                "CT": _("For CT scans with a slice spacing of about {slices} mm and a pixel size of {pixels} mm.")}
    scans = intended.get(card.modality, _("For scans of any modality with a slice spacing of about {slices} mm and a "
                                          "pixel size of {pixels} mm."))
    names = [label.name for label in card.labels]
    said = card.description.casefold()
    isNamed = isNamed or _fit(card) or all(name.casefold() in said for name in names)
    lines = [] if isNamed else [_structures(card)]
    lines.append(rich(card.description))
    lines.append(scans.format(slices=f"{card.slice_spacing:g}", pixels=f"{card.spacing:g}"))
    figures = _figures(card.metrics)
    if figures:
        lines.append(figures)
    version = _("Version {version}; licence of the weights: {licence}.") if _isStated(card) else \
        _("Version {version}; no licence is stated for the weights.")
    version = version.format(version=rich(card.version), licence=rich(card.weights_licence))
    lines.append(version)
    lines.append(rich(_("Training data: {data}").format(data=card.training_data)))
    return "<br>".join(filter(None, lines))


def fullCardText(card: Card) -> str:
    """All of it, where no line stands above: structures, Dice and the rest."""
    dice = _validation(card.metrics)[0]
    lines = [_structures(card), rich(_("Dice {dice}").format(dice=f"{dice:.2f}")) if dice is not None else "",
             cardText(card, True)]
    return "<br>".join(filter(None, lines))


def _structures(card):
    return ", ".join(f"{_SWATCH.format(*label.colour)}&nbsp;{_together(label.name)}" for label in card.labels) or \
        rich(_("Pretrained weights: they cannot segment until they have learned a structure."))


def _fit(card):
    """Whether the names of the structures have room in one line."""
    return sum(len(label.name) + 4 for label in card.labels) <= _ROOM


def _together(text):
    """Rich text that does not break."""
    return rich(text).replace(" ", "&nbsp;")


def _isStated(card):
    return card.weights_licence not in ("", "unspecified")


def _validation(metrics):
    """Dice on held-out cases, and how many; None where nothing is claimed."""
    for name in ("cross-validation", "validation"):
        found = metrics.get(name)
        if isinstance(found, dict) and isfinite(found.get("Dice", nan)):
            return found["Dice"], found.get("cases") or found.get("patients")
    return None, None


def _figures(metrics):
    """How good the model was on held-out cases, and on how many; else nothing is claimed."""
    dice, count = _validation(metrics)
    if dice is None:
        return ""
    text = _("Validated on 1 held-out case.") if count == 1 else _("Validated on {count} held-out cases.")
    return text.format(count=count)
