"""A combo box of devices: those that a run could use, and once it was looked, those that are there."""

_NAMES = {"auto": "Automatic", "cpu": "Processor", "cuda": "Graphics card (NVIDIA)", "mps": "Graphics (Apple)"}


class DeviceChoice:
    """Args:
        comboBox: the widget of the .ui file.
        onChosen: called with the device, "auto", "cpu", "cuda:1", when a person chooses another one.
    """

    def __init__(self, comboBox, onChosen):
        self._combo, self._onChosen, self._filling = comboBox, onChosen, False
        self._devices = []
        self.offer(list(_NAMES.items()))
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, devices):
        """Device and name of each that can be chosen."""
        chosen = self.device()
        self._devices = [device for device, _ in devices]
        self._filling = True
        self._combo.clear()
        for _, name in devices:
            self._combo.addItem(name)
        self._filling = False
        self.show(chosen)

    def device(self):
        """What is chosen."""
        index = self._combo.currentIndex
        return self._devices[index] if 0 <= index < len(self._devices) else "auto"

    def show(self, device):
        """Chooses a device; one that is not here is shown as such, and a run says what to do."""
        self._filling = True
        if device not in self._devices:
            self._devices.append(device)
            self._combo.addItem(f"{_NAMES.get(device, device)} (not found here)")
        self._combo.setCurrentIndex(self._devices.index(device))
        self._filling = False

    def _onIndexChanged(self, index):
        if not self._filling and 0 <= index < len(self._devices):
            self._onChosen(self._devices[index])


def devicesOf(values):
    """Device and name of each, from the JSON of `kaf devices`."""
    found = [(item["name"], f"{item['name']}: {item['description']}") for item in values["found"]]
    return [("auto", "Automatic"), *found]
