"""The finished slices: those that a person accepted. What the others are labelled from, and a model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer

from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.widgets.Parameters import Parameters

Finished = dict[int, list[int]]
"""Axis of the array -> slices along it, counted as the scan is stored, from 0."""


class ExampleList:
    """Shows them and keeps them in the scene. They belong to one scan: another has its own, and they come back with the
    scan. A saved scene holds those of the last one.

    Args:
        ui: the widgets of the .ui file.
        onChosen: called with (axis, slice) that is chosen in the list, to be shown.
        onChanged: called when a person has removed some.
    """

    def __init__(self, ui: Any, onChosen: Callable[[int, int], None], onChanged: Callable[[Finished], None]):
        self.ui, self._onChosen, self._onChanged = ui, onChosen, onChanged
        self.parameters: Parameters | None = None
        self.scan: ScanSlices | None = None
        self._others: dict[str, Finished] = {}  # by the id of a scan: what the scene has no place for
        self._filling = False
        ui.exampleList.connect("currentRowChanged(int)", self._onRowChanged)
        ui.removeExampleButton.connect("clicked()", self.remove)
        ui.clearExamplesButton.connect("clicked()", self.clear)

    def finished(self) -> Finished:
        """All of the scan."""
        parameters, scan = self.parameters, self.scan
        if scan is None or parameters.exampleVolume is not scan.geometry.node:
            return {}
        counts, found = scan.geometry.shape(), {}
        pairs = [(parameters.exampleAxis, index) for index in parameters.exampleSlices]
        pairs += zip(parameters.acrossAxes, parameters.acrossSlices, strict=False)
        for axis, index in sorted(set(pairs)):
            if 0 <= axis < 3 and 0 <= index < counts[axis]:
                found.setdefault(axis, []).append(index)
        return found

    def along(self, axis: int) -> list[int]:
        """Those along one axis of the array."""
        return self.finished().get(axis, [])

    def slices(self) -> list[int]:
        """Those in the direction that is worked in."""
        return self.along(self.scan.axis) if self.scan is not None else []

    def forget(self) -> None:
        """The scene is closing."""
        self._others = {}

    def update(self, scan: ScanSlices | None) -> None:
        """Shows the finished slices of a scan."""
        self.scan = scan
        if scan is not None and scan.geometry.node.GetID() in self._others:
            self.keep(self._others.pop(scan.geometry.node.GetID()))
        rows = self.ui.exampleList
        texts = [text for axis, slices in self._rows().items()
                 for along in (scan.along(axis),) for text in map(along.text, slices)]
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

    def add(self, slices: Iterable[int], axis: int | None = None) -> list[int]:
        """Adds slices, in the direction that is worked in unless ``axis`` is given; returns those that were not there.
        """
        axis = self.scan.axis if axis is None else axis
        found = self.finished()
        new = [index for index in slices if index not in found.get(axis, [])]
        self.keep({**found, axis: [*found.get(axis, []), *new]})
        return new

    def remove(self) -> None:
        """Removes the slice that is chosen in the list."""
        chosen = self._pairs()[self.ui.exampleList.currentRow]
        before = self.finished()
        self.keep({axis: [index for index in slices if (axis, index) != chosen] for axis, slices in before.items()})
        self._onChanged(before)

    def clear(self) -> None:
        """Removes all slices."""
        before = self.finished()
        self.keep({})
        self._onChanged(before)

    def keep(self, finished: Finished) -> None:
        """Exactly these are finished."""
        parameters = self.parameters
        before, node = parameters.exampleVolume, self.scan.geometry.node
        if before is not None and before is not node:
            self._others[before.GetID()] = self._stored(parameters)
        finished = {axis: sorted(slices) for axis, slices in finished.items() if slices}
        main = max(finished, key=lambda axis: len(finished[axis]), default=self.scan.axis)
        across = [(axis, index) for axis, slices in finished.items() if axis != main for index in slices]
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.exampleVolume, parameters.exampleAxis = node, main
            parameters.exampleSlices = finished.get(main, [])
            parameters.acrossAxes = [axis for axis, _index in across]
            parameters.acrossSlices = [index for _axis, index in across]

    def _stored(self, parameters):
        found = {parameters.exampleAxis: list(parameters.exampleSlices)}
        for axis, index in zip(parameters.acrossAxes, parameters.acrossSlices, strict=False):
            found.setdefault(axis, []).append(index)
        return found

    def _rows(self):
        """Those of the direction that is worked in first."""
        found = self.finished()
        return {axis: found[axis] for axis in sorted(found, key=lambda axis: (axis != self.scan.axis, axis))}

    def _pairs(self):
        return [(axis, index) for axis, slices in self._rows().items() for index in slices]

    def _onRowChanged(self, row):
        pairs = self._pairs() if self.parameters is not None else []
        if not self._filling and 0 <= row < len(pairs):
            self.updateButtons(True)
            self._onChosen(*pairs[row])
