"""What belongs to the result that is shown: the table of its structures and the button for 3D."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from KAFSegmentationLib.segment.StructureTable import StructureTable


class ResultView:
    """Args:
        ui: the widgets of the .ui file.
        onShow3D: called with whether a person wants surfaces, which then goes for later results, too.
    """

    def __init__(self, ui: Any, onShow3D: Callable[[bool], None]):
        self._button, self.table = ui.show3DButton, StructureTable(ui.structureTable)
        self._button.connect("toggled(bool)", onShow3D)

    def show(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Follows this segmentation."""
        if self._button.segmentationNode() is not node:
            self._button.setSegmentationNode(node)
        self.table.show(node)

    def close(self) -> None:
        """Follows nothing any more."""
        self._button.setSegmentationNode(None)
        self.table.close()
