"""What the model runs on, and why."""

import os
import platform
import shutil
import sys
from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from KAFSegmentationLib.backend.Devices import DEVICES, REMOTE, knownDevice
from KAFSegmentationLib.backend.RemoteComputer import chooseRemote, isRemoteChosen

_NAMES = {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("NVIDIA GPU"), "mps": _("Apple GPU")}


class DeviceSelector:
    """A combo box of devices and a label with the reason.

    Args:
        comboBox, reasonLabel: the widgets of the .ui file.
        onChosen: called with the device when a person chooses another one.
    """

    def __init__(self, comboBox: qt.QComboBox, reasonLabel: qt.QLabel, onChosen: Callable[[str], None]):
        self._combo, self._label, self._onChosen = comboBox, reasonLabel, onChosen
        for device in DEVICES:
            comboBox.addItem(_NAMES[device])
        comboBox.addItem(_("Another computer..."))
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)
        self._showReason("auto")

    def show(self, device: str) -> None:
        """Chooses a device; a word that is not known counts as automatic. Another computer, if this one's user has
        chosen it, wins over what a scene remembers."""
        device = REMOTE if isRemoteChosen() else knownDevice(device)
        self._combo.setCurrentIndex(len(DEVICES) if device == REMOTE else DEVICES.index(device))
        self._showReason(device)

    def showLastRun(self, device: str) -> None:
        """Which device the last run used, as the worker reports it."""
        self._label.text = _("Last run: {device}.").format(device=device)

    def _onIndexChanged(self, index):
        device = DEVICES[index] if index < len(DEVICES) else REMOTE
        chooseRemote(device == REMOTE)
        self._showReason(device)
        self._onChosen("auto" if device == REMOTE else device)

    def _showReason(self, device):
        self._label.text = automaticReason() if device == "auto" else {
            REMOTE: _("Scans and models travel through ssh, to this computer only; nothing of them is kept there."),
            "cpu": _("Always available; slower than a GPU."),
            "cuda": _("Requires an NVIDIA GPU and a PyTorch build with CUDA."),
            "mps": _("Requires a Mac with Apple silicon.")}[device]


def likelyDevice(device: str) -> str:
    """cpu, cuda or mps: what "auto" probably means here; the word for another computer stays. The worker
    decides, this is for the forecast only: importing torch to ask would cost seconds and memory."""
    if device != "auto":
        return device
    if os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi"):
        return "cuda"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def automaticReason() -> str:
    """One sentence about what automatic means on this computer."""
    return {"cuda": _("Uses the NVIDIA GPU of this computer."),
            "mps": _("Uses the Apple GPU of this computer."),
            "cpu": _("Uses the CPU: no NVIDIA driver was found.")}[likelyDevice("auto")]
