"""The slices that a person added as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.widgets.Parameters import Parameters


class ExampleList:
    """Shows them and keeps them in the scene. They belong to one scan and to the axis that its slices are stacked
    along: another scan has its own, and they come back with the scan. A saved scene holds those of the last one.

    Args:
        ui: the widgets of the .ui file.
        onChosen: called with a slice that is chosen in the list, to be shown.
    """

    def __init__(self, ui: Any, onChosen: Callable[[int], None]):
        self.ui, self._onChosen = ui, onChosen
        self.parameters: Parameters | None = None
        self.scan: ScanSlices | None = None
        # By the id of a scan: (axis, slices) that the scene has no place for.
        self._others: dict[str, tuple[int, list[int]]] = {}
        self._filling = False
        ui.exampleList.connect("currentRowChanged(int)", self._onRowChanged)
        ui.removeExampleButton.connect("clicked()", self.remove)
        ui.clearExamplesButton.connect("clicked()", self.clear)

    def slices(self) -> list[int]:
        """The examples, counted as the scan is stored, from 0."""
        parameters, scan = self.parameters, self.scan
        if scan is None or parameters.exampleVolume is not scan.geometry.node or parameters.exampleAxis != scan.axis:
            return []
        return [index for index in parameters.exampleSlices if 0 <= index < scan.count]

    def forget(self) -> None:
        """The scene is closing."""
        self._others = {}

    def update(self, scan: ScanSlices | None) -> None:
        """Shows the examples of a scan."""
        self.scan = scan
        if scan is not None and scan.geometry.node.GetID() in self._others:
            axis, slices = self._others.pop(scan.geometry.node.GetID())
            self._keep(slices, axis)
        slices, rows = self.slices(), self.ui.exampleList
        texts = [scan.text(index) for index in slices]
        self._filling = True
        if [rows.item(row).text() for row in range(rows.count)] != texts:
            rows.clear()
            for text in texts:
                rows.addItem(text)
        self._filling = False
        self.updateButtons(True)

    def updateButtons(self, editable: bool) -> None:
        """Which buttons can be pressed."""
        count = self.ui.exampleList.count
        self.ui.removeExampleButton.enabled = editable and count > 0 and self.ui.exampleList.currentRow >= 0
        self.ui.clearExamplesButton.enabled = editable and count > 0

    def add(self, slices: Iterable[int]) -> list[int]:
        """Adds slices; returns those that were no examples before."""
        before = self.slices()
        new = [index for index in slices if index not in before]
        self._keep([*before, *new])
        return new

    def remove(self) -> None:
        """Removes the slice that is chosen in the list."""
        row = self.ui.exampleList.currentRow
        slices = self.slices()
        if 0 <= row < len(slices):
            self._keep(slices[:row] + slices[row + 1:])

    def clear(self) -> None:
        """Removes all slices."""
        self._keep([])

    def _keep(self, slices, axis=None):
        parameters, before = self.parameters, self.parameters.exampleVolume
        if before is not None and before is not self.scan.geometry.node:
            self._others[before.GetID()] = parameters.exampleAxis, list(parameters.exampleSlices)
        parameters.exampleVolume = self.scan.geometry.node
        parameters.exampleAxis = self.scan.axis if axis is None else axis
        parameters.exampleSlices = sorted(slices)

    def _onRowChanged(self, row):
        slices = self.slices() if self.parameters is not None else []
        if not self._filling and 0 <= row < len(slices):
            self.updateButtons(True)
            self._onChosen(slices[row])
