"""The choice of a model, and its card in words."""

from math import isfinite, nan

from KAFSegmentationLib.backend.Models import PretrainedOnlyError, isRefused, listModels, missingModel
from KAFSegmentationLib.widgets.PlainText import rich, tip


class ModelSelector:
    """A combo box of the library's models, and a label that shows the card of the chosen one.

    Args:
        comboBox, cardLabel: the widgets of the .ui file.
        onChosen: called with the name when a person chooses another model.
    """

    def __init__(self, comboBox, cardLabel, onChosen):
        self._combo, self._cardLabel, self._onChosen = comboBox, cardLabel, onChosen
        self._entries = {}
        self._filling = False
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def refresh(self, name):
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
            self._combo.addItem(known if entry.card.labels else f"{known} (pretrained weights)")
        if chosen and chosen not in self._entries:
            self._combo.addItem(f"{chosen} ({'cannot be used' if isRefused(chosen) else 'not on this computer'})")
        self._combo.setCurrentIndex(names.index(chosen) if chosen in self._entries else self._combo.count - 1)
        self._combo.enabled = bool(names)
        self._filling = False
        self._showCard(chosen)
        return chosen

    def card(self, name):
        """The card of a model that is here, or None."""
        entry = self._entries.get(name)
        return entry.card if entry else None

    def isBundled(self, name):
        """Whether a model came with KAF."""
        return name in self._entries and self._entries[name].bundled

    def problem(self, name):
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
        self._cardLabel.toolTip = "" if card is None else tip(f"Trained on: {card.training_data}")


def cardText(card):
    """What the model segments, on which scans, how well, and under which licence: a few lines of rich text."""
    structures = ", ".join(_swatch(label) + rich(label.name) for label in card.labels) or \
        "Pretrained weights: they know no structure yet and segment nothing by themselves."
    scans = {"MR": "MR scans", "CT": "CT scans"}.get(card.modality, "scans of any kind")
    lines = [structures, f"Made for {scans} with slices about {card.slice_spacing:g} mm apart, "
             f"pixels of {card.spacing:g} mm."]
    figures = _figures(card.metrics)
    if figures:
        lines.append(figures)
    known = card.weights_licence not in ("", "unspecified")
    licence = f"weights: {rich(card.weights_licence)}" if known else "no licence is stated for the weights"
    lines.append(f"{rich(card.description)} Version {rich(card.version)}; {licence}.".strip())
    return "<br>".join(lines)


def _swatch(label):
    """A square in the colour of the structure; the gap after it does not break."""
    return '<span style="color:#{:02x}{:02x}{:02x}">&#9632;</span>&nbsp;'.format(*label.colour)


def _figures(metrics):
    """How good the model was on cases that it had not seen, and on how many; else nothing is claimed."""
    for name in ("cross-validation", "validation"):
        found = metrics.get(name)
        if isinstance(found, dict) and isfinite(found.get("Dice", nan)):
            count = found.get("cases") or found.get("patients")
            cases = "one case" if count == 1 else f"{count} cases"
            return f"Dice {found['Dice']:.2f} on {cases} that it had not seen."
    return ""
