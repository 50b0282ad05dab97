"""Draws monitors as traffic lights: a coloured disc, a name, a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from KAFPretrainLib.runs.Monitors import BAD, GOOD, WARNING, Light
from KAFSegmentationLib.widgets.PlainText import plainLabel, richLabel, tip

_COLORS = {GOOD: "#2e9e5b", WARNING: "#e0a100", BAD: "#cf3b2e"}
_UNKNOWN = "#9a9a9a"


class MonitorView:
    """Rows in a grid layout; labels are kept and only their texts change."""

    def __init__(self, layout: qt.QGridLayout):
        self._layout, self._rows, self._shown = layout, [], None
        layout.setColumnStretch(2, 1)

    def show(self, lights: Sequence[Light]) -> None:
        """Shows these lights in place of those before."""
        if lights == self._shown:
            return
        self._shown = list(lights)
        while len(self._rows) < len(lights):
            self._addRow()
        for index, row in enumerate(self._rows):
            for label in row:
                label.visible = index < len(lights)
        titles = {GOOD: _("Good"), WARNING: _("Warning"), BAD: _("Problem")}
        for (disc, name, text), light in zip(self._rows, lights, strict=False):
            disc.text = f'<span style="color:{_COLORS.get(light.level, _UNKNOWN)}; font-size:13px">&#9679;</span>'
            disc.toolTip = tip(titles.get(light.level, _("Not known yet")))
            name.text = light.name
            text.text = light.text

    def _addRow(self):
        labels = []
        for column in range(3):
            label = plainLabel() if column else richLabel()
            label.setAlignment(qt.Qt.AlignTop | qt.Qt.AlignLeft)
            label.wordWrap = column == 2
            self._layout.addWidget(label, len(self._rows), column)
            labels.append(label)
        labels[2].setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self._rows.append(labels)
