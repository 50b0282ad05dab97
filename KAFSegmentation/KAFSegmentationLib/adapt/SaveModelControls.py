"""The line of the panel that saves an adapted model to the library of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.Adaptations import Adaptation
from KAFSegmentationLib.widgets.MessageLine import MessageLine


class SaveModelControls:
    """A name and a button.

    Args:
        ui: the widgets of the .ui file.
        logic: has the adapted models.
        message: where the outcome is shown.
        onSaved: called when the library has a new model.
    """

    def __init__(self, ui: Any, logic: AdaptationLogic, message: MessageLine, onSaved: Callable[[], None]):
        self.ui, self._logic, self._message, self._onSaved = ui, logic, message, onSaved
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._named: Adaptation | None = None
        self._isRunning = False
        ui.saveModelButton.connect("clicked()", self.save)
        ui.modelNameEdit.connect("textChanged(QString)", lambda text: self._updateButton())
        ui.modelNameEdit.connect("returnPressed()", self._onReturn)

    def forgetScan(self) -> None:
        """Another scan was chosen: the name was for the model adapted to the one before."""
        self._named = None
        self.ui.modelNameEdit.text = ""

    def update(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None, isRunning: bool) -> None:
        """What can be saved now, with this scan chosen."""
        self._volumeNode, self._isRunning = volumeNode, isRunning
        adaptation = self._adaptation()
        if adaptation is not self._named:
            self._named = adaptation
            if adaptation is not None and not self.ui.modelNameEdit.text:
                self.ui.modelNameEdit.text = f"{adaptation.model.base}-adapted"
        self._updateButton()

    def unsavedText(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> str:
        """Adapted models that are not saved, a sentence, or nothing."""
        adaptations = self._logic.adaptations
        removed = adaptations.unsavedOfRemovedScan()
        if adaptations.of(volumeNode) is None and removed is not None:
            return _("The model adapted to '{scan}', which is no longer in the scene, has not been saved yet.").format(
                scan=removed[0])
        others = adaptations.unsavedOfOtherScans(volumeNode)
        if not others:
            return ""
        text = _("The model adapted to '{scans}' has not been saved. Select that scan to save it.") \
            if len(others) == 1 else \
            _("The models adapted to '{scans}' have not been saved. Select these scans to save them.")
        return text.format(scans="', '".join(others))

    def save(self) -> None:
        """Saves the adapted model to the library."""
        try:
            entry = self._logic.saveModel(self.ui.modelNameEdit.text, self._adaptation())
        except KafError as error:
            self._message.showError(error)
            return
        self._onSaved()
        text = _("Model saved as '{name}'. Choose it under Model to use it on other scans.")
        self._message.show(text.format(name=entry.name), "done")

    def _adaptation(self) -> Adaptation | None:
        """That of the scan, or else what was not saved before its scan left the scene."""
        removed = self._logic.adaptations.unsavedOfRemovedScan()
        return self._logic.adaptations.of(self._volumeNode) or (removed and removed[1])

    def _updateButton(self):
        ui = self.ui
        ui.modelNameEdit.enabled = self._adaptation() is not None and not self._isRunning
        ui.saveModelButton.enabled = ui.modelNameEdit.enabled and bool(ui.modelNameEdit.text.strip())

    def _onReturn(self):
        if self.ui.saveModelButton.enabled:
            self.save()
