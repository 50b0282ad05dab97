"""What the model runs on, and why."""

import os
import platform
import shutil
import sys

from KAFSegmentationLib.segment.SegmentationLogic import DEVICES, knownDevice

_NAMES = {"auto": "Automatic", "cpu": "Processor", "cuda": "Graphics card (NVIDIA)", "mps": "Graphics (Apple)"}


class DeviceSelector:
    """A combo box of devices and a label with the reason.

    Args:
        comboBox, reasonLabel: the widgets of the .ui file.
        onChosen: called with the device when a person chooses another one.
    """

    def __init__(self, comboBox, reasonLabel, onChosen):
        self._combo, self._label, self._onChosen = comboBox, reasonLabel, onChosen
        for device in DEVICES:
            comboBox.addItem(_NAMES[device])
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)
        self._showReason("auto")

    def show(self, device):
        """Chooses a device; a word that is not known counts as automatic."""
        device = knownDevice(device)
        self._combo.setCurrentIndex(DEVICES.index(device))
        self._showReason(device)

    def showPlace(self, place):
        """Where the last run really was, in the worker's words."""
        self._label.text = f"Last run: {place}."

    def _onIndexChanged(self, index):
        self._showReason(DEVICES[index])
        self._onChosen(DEVICES[index])

    def _showReason(self, device):
        self._label.text = automaticReason() if device == "auto" else {
            "cpu": "Always there; slower than a graphics card.",
            "cuda": "Needs an NVIDIA card and a PyTorch built for it.",
            "mps": "Needs a Mac with Apple silicon."}[device]


def likelyDevice(device):
    """cpu, cuda or mps: what "auto" probably means here. The worker decides, this is for the forecast only:
    importing torch to ask would cost seconds and memory."""
    if device != "auto":
        return device
    if os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi"):
        return "cuda"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def automaticReason():
    """One sentence about what automatic means on this computer."""
    return {"cuda": "Takes the NVIDIA graphics card that was found.",
            "mps": "Takes the graphics part of the Apple chip.",
            "cpu": "Takes the processor: no NVIDIA driver was found."}[likelyDevice("auto")]
