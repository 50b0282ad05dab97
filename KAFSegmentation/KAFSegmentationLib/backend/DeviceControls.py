"""Where models run: a device of this computer, or another computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from KAFSegmentationLib.backend.Backend import Backend
from KAFSegmentationLib.backend.DeviceSelector import DeviceSelector
from KAFSegmentationLib.backend.RemoteComputer import chosenRemote
from KAFSegmentationLib.backend.RemoteControls import RemoteControls


class DeviceControls(DeviceSelector):
    """The choice, and what another computer needs.

    Args:
        ui: the widgets of the .ui file.
        backend: will use the other computer.
        onChosen: called with the device when a person chooses another one.
        onChanged: called when the choice, or what it means, is another one.
    """

    def __init__(self, ui: Any, backend: Backend, onChosen: Callable[[str], None], onChanged: Callable[[], None]):
        self.remote = RemoteControls(ui, onChanged)
        backend.remote = chosenRemote

        def chosen(device):
            onChosen(device)
            self.remote.update()
            onChanged()

        super().__init__(ui.deviceComboBox, ui.deviceReasonLabel, chosen)

    def close(self) -> None:
        """Ends a test of the connection."""
        self.remote.close()
