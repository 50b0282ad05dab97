"""A combo box of devices: those that a run could use, and once they are known, those of this computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _


class DeviceChoice:
    """Args:
        comboBox: the widget of the .ui file.
        onChosen: called with the device, "auto", "cpu", "cuda:1", when a person chooses another one.
    """

    def __init__(self, comboBox: qt.QComboBox, onChosen: Callable[[str], None]):
        self._combo, self._onChosen, self._filling = comboBox, onChosen, False
        self._devices: list[str] = []
        self.offer(list(_titles().items()))
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, devices: list[tuple[str, str]]) -> None:
        """Shows devices to choose from, each as (device, title)."""
        chosen = self.device()
        self._devices = [device for device, _title in devices]
        self._filling = True
        self._combo.clear()
        for _device, title in devices:
            self._combo.addItem(title)
        self._filling = False
        self.show(chosen)

    def device(self) -> str:
        """The device that is chosen."""
        index = self._combo.currentIndex
        return self._devices[index] if 0 <= index < len(self._devices) else "auto"

    def show(self, device: str) -> None:
        """Chooses a device; one that this computer lacks is marked as such, and a run reports what to do."""
        self._filling = True
        if device not in self._devices:
            self._devices.append(device)
            title = _titles().get(device, device)
            self._combo.addItem(_("{device} (not found on this computer)").format(device=title))
        self._combo.setCurrentIndex(self._devices.index(device))
        self._filling = False

    def _onIndexChanged(self, index):
        if not self._filling and 0 <= index < len(self._devices):
            self._onChosen(self._devices[index])


def _titles():
    return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("NVIDIA GPU"), "mps": _("Apple GPU")}


def devicesOf(values: dict[str, Any]) -> list[tuple[str, str]]:
    """(device, title) of each device in the JSON of `kaf devices`."""
    found = [(item["name"], f"{item['name']}: {item['description']}") for item in values["found"]]
    return [("auto", _("Automatic")), *found]
