"""The methods of a pretraining, their weights, and the presets that choose them."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import qt
from slicer.i18n import tr as _

from kaf.settings.methods import MethodInfo, preset_files, registry
from KAFSegmentationLib.widgets.PlainText import tip

NO_PRESET = ""
_PER_ROW = 2


def readPresets() -> dict[str, dict[str, Any]]:
    """Name -> settings of every preset; ``about`` describes it."""
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in preset_files().items()}


class MethodChoice:
    """A combo box of presets, and a check box and a weight for every method that is registered.

    Args:
        ui: the widgets of the .ui file.
        onChanged: called when a person has changed something, with whether it was the preset.
    """

    def __init__(self, ui: SimpleNamespace, onChanged: Callable[[bool], None]):
        self._combo, self._about, self._onChanged = ui.presetComboBox, ui.presetLabel, onChanged
        self._filling = True
        self._boxes, self._weights = {}, {}
        for index, (name, method) in enumerate(registry().methods.items()):
            self._addMethod(ui.methodsFrame.layout(), index, name, method.info)
        self._orderTabs(ui.presetComboBox)
        self._presets = readPresets()
        # Those for a CPU first: without the GPUs of the papers, their presets run for days.
        self._names = sorted(self._presets, key=lambda name: ("compact" not in name, name))
        self._names.append(NO_PRESET)
        for name in self._names:
            self._combo.addItem(name or _("none: the settings of this panel only"))
        self._filling = False
        self._combo.connect("currentIndexChanged(int)", self._onPreset)
        self.show(NO_PRESET, "kaf")

    def _addMethod(self, layout: Any, index: int, name: str, info: MethodInfo) -> None:
        box, weight = qt.QCheckBox(info.title), qt.QDoubleSpinBox()
        box.objectName, weight.objectName = f"{name}CheckBox", f"{name}WeightSpinBox"
        box.toolTip = tip(f"{info.title}: {info.description} ({info.trained})")
        weight.toolTip = tip(_("Weight of {method} in the sum of losses").format(method=info.title))
        weight.decimals, weight.minimum, weight.maximum, weight.singleStep = 2, 0.01, 100.0, 0.1
        row, column = divmod(index, _PER_ROW)
        layout.addWidget(box, row, 2 * column)
        layout.addWidget(weight, row, 2 * column + 1)
        self._boxes[name], self._weights[name] = box, weight
        box.connect("toggled(bool)", self._onMethod)
        weight.connect("valueChanged(double)", self._onMethod)

    def _orderTabs(self, before):
        """Tab goes on from the presets to the methods, each with its weight."""
        for name in self._boxes:
            for widget in (self._boxes[name], self._weights[name]):
                qt.QWidget.setTabOrder(before, widget)
                before = widget

    @property
    def preset(self) -> str:
        """The name of the preset, or nothing."""
        return self._names[self._combo.currentIndex]

    @property
    def method(self) -> str:
        """What `kaf pretrain --method` takes; nothing where no method is chosen."""
        chosen = [(name, round(self._weights[name].value, 2)) for name in self._boxes if self._boxes[name].checked]
        return "+".join(name if weight == 1 else f"{name}:{weight:g}" for name, weight in chosen)

    def minutes(self) -> float | None:
        """The time of the preset in minutes; None where it counts steps or epochs."""
        return self._presets.get(self.preset, {}).get("minutes")

    def show(self, preset: str, method: str) -> None:
        """Shows choices; values that are not known count as the default."""
        self._filling = True
        self._combo.setCurrentIndex(self._names.index(preset if preset in self._names else NO_PRESET))
        weights = weightsOf(method) or {"kaf": 1.0}
        for name in self._boxes:
            self._boxes[name].checked = name in weights
            self._weights[name].value = weights.get(name, 1.0)
            self._weights[name].enabled = name in weights
        self._filling = False
        self._showDescription()

    def _showDescription(self):
        about = self._presets.get(self.preset, {}).get("about", "")
        self._about.text = f"{about[:1].upper()}{about[1:]}." if about else ""
        self._about.visible = bool(about)

    def _onPreset(self, index):
        if self._filling:
            return
        self.show(self.preset, self._presets.get(self.preset, {}).get("method", self.method))
        self._onChanged(True)

    def _onMethod(self, value):
        if self._filling:
            return
        for name in self._boxes:
            self._weights[name].enabled = self._boxes[name].checked
        self._onChanged(False)


def weightsOf(method: str) -> dict[str, float]:
    """Method -> weight of "kaf+bim:0.5"; empty where it cannot be read."""
    try:
        pairs = [part.partition(":") for part in str(method).split("+")]
        weights = {name.strip(): float(weight or 1) for name, _colon, weight in pairs}
    except ValueError:
        return {}
    return weights if set(weights) <= set(registry().methods) else {}
