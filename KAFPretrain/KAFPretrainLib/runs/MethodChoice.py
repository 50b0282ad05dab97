"""Which methods learn, with which weights, and the presets that choose them."""

import json

from kaf.settings.methods import method_names, preset_files

OWN = ""  # no preset


def readPresets():
    """Name -> settings of every preset; ``about`` says what it is."""
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in preset_files().items()}


class MethodChoice:
    """A combo box of presets, a check box and a weight for each method.

    Args:
        ui: the widgets of the .ui file.
        onChanged: called when a person has changed something.
    """

    def __init__(self, ui, onChanged):
        self._combo, self._about, self._onChanged = ui.presetComboBox, ui.presetLabel, onChanged
        self._boxes = {name: getattr(ui, f"{name}CheckBox") for name in method_names()}
        self._weights = {name: getattr(ui, f"{name}WeightSpinBox") for name in method_names()}
        self._presets = readPresets()
        # Those for a processor first: whoever has none of the papers' GPUs is not led to a run of days.
        self._names = sorted(self._presets, key=lambda name: ("compact" not in name, name))
        self._names.append(OWN)
        self._filling = True
        for name in self._names:
            self._combo.addItem(name or "none: only what is said here")
        self._filling = False
        self._combo.connect("currentIndexChanged(int)", self._onPreset)
        for name in method_names():
            self._boxes[name].connect("toggled(bool)", self._onMethod)
            self._weights[name].connect("valueChanged(double)", self._onMethod)
        self.show(OWN, "kaf")

    @property
    def preset(self):
        """The name of the preset, or nothing."""
        return self._names[self._combo.currentIndex]

    @property
    def method(self):
        """What `kaf pretrain --method` takes; nothing where no method is chosen."""
        chosen = [(name, round(self._weights[name].value, 2)) for name in method_names() if self._boxes[name].checked]
        return "+".join(name if weight == 1 else f"{name}:{weight:g}" for name, weight in chosen)

    def minutes(self):
        """The budget of the preset in minutes, or None where it has another one."""
        return self._presets.get(self.preset, {}).get("minutes")

    def show(self, preset, method):
        """Shows choices; words that are not known count as the default."""
        self._filling = True
        self._combo.setCurrentIndex(self._names.index(preset if preset in self._names else OWN))
        weights = weightsOf(method) or {"kaf": 1.0}
        for name in method_names():
            self._boxes[name].checked = name in weights
            self._weights[name].value = weights.get(name, 1.0)
            self._weights[name].enabled = name in weights
        self._filling = False
        self._tell()

    def _tell(self):
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
        for name in method_names():
            self._weights[name].enabled = self._boxes[name].checked
        self._onChanged(False)


def weightsOf(method):
    """Method -> weight of "kaf+bim:0.5"; empty where it cannot be read."""
    try:
        pairs = [part.partition(":") for part in str(method).split("+")]
        weights = {name.strip(): float(weight or 1) for name, _, weight in pairs}
    except ValueError:
        return {}
    return weights if set(weights) <= set(method_names()) else {}
