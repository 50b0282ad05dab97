"""What to show of the attention: the view, the scale and the head, as far as the model has them."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from KAFSegmentationLib.attention.AttentionQuestion import scaleCount
from KAFSegmentationLib.attention.AttentionViews import ATTENTION, HINTS, NAMES, VIEWS, obstacle
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.PlainText import tip

_ENABLED = 33  # Qt's ItemIsSelectable and ItemIsEnabled


class AttentionChoices:
    """The combo boxes and the sliders of the section.

    Args:
        ui: the widgets of the .ui file.

    Attributes:
        parameters: where the choices are kept; None while the panel is closed.
    """

    def __init__(self, ui: Any):
        self.ui = ui
        self.parameters: Parameters | None = None
        self._filling = False
        for view in VIEWS:
            ui.viewComboBox.addItem(NAMES[view])
        ui.viewComboBox.connect("currentIndexChanged(int)", self._onViewChosen)
        ui.scaleComboBox.connect("currentIndexChanged(int)", self._onScaleChosen)
        ui.headComboBox.connect("currentIndexChanged(int)", self._onHeadChosen)

    def view(self, card: Card | None) -> str:
        """The chosen view; one that the model cannot show, or a word of another version, counts as off."""
        view = self.parameters.attentionView
        return "off" if view not in VIEWS or obstacle(card, view) else view

    def show(self, card: Card | None) -> None:
        """The combo boxes and the hint, for the model and the view that are chosen."""
        self._filling = True
        scales = scaleCount(card)
        heads = card.network["heads"] if scales else 0
        view = self.view(card)
        self._allowViews(card)
        self.ui.viewComboBox.setCurrentIndex(VIEWS.index(view))
        _fill(self.ui.scaleComboBox, [_("Mean of all"), *(_scaleName(i, scales) for i in range(scales))],
              self.parameters.attentionScale)
        names = [_("Head {number}").format(number=index + 1) for index in range(heads)]
        _fill(self.ui.headComboBox, [_("Mean of all"), *names], self.parameters.attentionHead)
        for widget in (self.ui.scaleComboBox, self.ui.headComboBox, self.ui.keypointSlider):
            widget.enabled = view in ATTENTION
        for widget in (self.ui.hideSlider, self.ui.legendCheckBox):
            widget.enabled = view not in ("off", "clusters")
        self.ui.opacitySlider.enabled = view != "off"
        self.ui.hintLabel.text = obstacle(card, self.parameters.attentionView) or HINTS[view]
        self._filling = False

    def _allowViews(self, card):
        """Only what the model can show can be chosen; the others say why not."""
        for index, view in enumerate(VIEWS):
            why = obstacle(card, view)
            self.ui.viewComboBox.setItemData(index, 0 if why else _ENABLED, qt.Qt.UserRole - 1)  # flags of the entry
            self.ui.viewComboBox.setItemData(index, tip(why or HINTS[view]), qt.Qt.ToolTipRole)

    def _onViewChosen(self, index):
        if not self._filling and self.parameters is not None:
            self.parameters.attentionView = VIEWS[index]

    def _onScaleChosen(self, index):
        if not self._filling and self.parameters is not None:
            self.parameters.attentionScale = index - 1

    def _onHeadChosen(self, index):
        if not self._filling and self.parameters is not None:
            self.parameters.attentionHead = index - 1


def _scaleName(index, count):
    text = {0: _("{number} (finest)"), count - 1: _("{number} (coarsest)")}.get(index, "{number}")
    return text.format(number=index + 1)


def _fill(comboBox, texts, chosen):
    """The texts of a combo box, and which is chosen: one further than ``chosen``, whose -1 is the first."""
    if [comboBox.itemText(index) for index in range(comboBox.count)] != texts:
        comboBox.clear()
        for text in texts:
            comboBox.addItem(text)
    comboBox.setCurrentIndex(chosen + 1 if 0 <= chosen + 1 < len(texts) else 0)
