"""Undo: one button for the last run, whether it was Apply or Adapt."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.PlainText import confirm


class UndoButton:
    """Args:
        button: the widget of the .ui file.
        logic: knows what the last run wrote.
        onUndone: called when that was undone.
    """

    def __init__(self, button: qt.QPushButton, logic: SegmentationLogic, onUndone: Callable[[], None]):
        self._button, self._logic, self._onUndone = button, logic, onUndone
        self._isPossible = False
        button.connect("clicked()", self.undo)

    def update(self, parameters: Parameters) -> None:
        """Allows it where the last run was of the scan and the segmentation that are shown."""
        self._isPossible = not self._logic.isRunning() and self._logic.canUndo(parameters.inputVolume,
                                                                                parameters.outputSegmentation)
        self._button.enabled = self._isPossible

    def undo(self) -> None:
        """Undoes what the last run wrote, but asks if that would lose what was drawn over it."""
        if not self._isPossible:
            return
        changed = self._logic.changedSinceRun()
        if changed and not confirm(
                _("These segments were changed after the run: {segments}. Undo reverts these changes, too.").format(
                    segments=", ".join(changed)),
                _("Undo the last run"), self._button.window()):
            return
        self._logic.undo()
        self._onUndone()
