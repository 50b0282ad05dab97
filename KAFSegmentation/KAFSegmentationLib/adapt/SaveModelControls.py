"""The line of the panel that puts what was learned on a scan into the library of models."""

from kaf.runtime.errors import KafError


class SaveModelControls:
    """A name and a button.

    Args:
        ui: the widgets of the .ui file.
        logic: an AdaptationLogic.
        message: the MessageLine that tells how it went.
        onSaved: called when the library has a new model.
    """

    def __init__(self, ui, logic, message, onSaved):
        self.ui, self._logic, self._message, self._onSaved = ui, logic, message, onSaved
        self._volumeNode = self._named = None
        self._isRunning = False
        ui.saveModelButton.connect("clicked()", self.save)
        ui.modelNameEdit.connect("textChanged(QString)", lambda text: self._dress())
        ui.modelNameEdit.connect("returnPressed()", self._onReturn)

    def forgetScan(self):
        """Another scan was chosen: the name was for what was learned on the one before."""
        self._named = None
        self.ui.modelNameEdit.text = ""

    def update(self, volumeNode, isRunning):
        """What can be saved now, with this scan chosen."""
        self._volumeNode, self._isRunning = volumeNode, isRunning
        learned = self._learned()
        if learned is not self._named:
            self._named = learned
            if learned is not None and not self.ui.modelNameEdit.text:
                self.ui.modelNameEdit.text = f"{learned.model.base}-adapted"
        self._dress()

    def words(self, volumeNode):
        """Models that would be forgotten, a sentence, or nothing."""
        learned = self._logic.learned
        if learned.of(volumeNode) is None and learned.unsavedOfRemovedScan() is not None:
            name = learned.unsavedOfRemovedScan()[0]
            return f"The model adapted to '{name}', which is no longer in the scene, has not been saved yet."
        others = " and ".join(f"'{name}'" for name in learned.elsewhere(volumeNode))
        return f"The model adapted to {others} has not been saved. Select that scan to save it." if others else ""

    def save(self):
        """Puts the adapted model into the library."""
        try:
            entry = self._logic.saveModel(self.ui.modelNameEdit.text, self._learned())
        except KafError as error:
            self._message.showError(error)
            return
        self._onSaved()
        self._message.show(f"Saved as '{entry.name}'. Choose it under Model to use it on other scans.", "done")

    def _learned(self):
        """What was learned on the scan, or else what was not saved before its scan left the scene."""
        unsavedOfRemovedScan = self._logic.learned.unsavedOfRemovedScan()
        return self._logic.learned.of(self._volumeNode) or (unsavedOfRemovedScan and unsavedOfRemovedScan[1])

    def _dress(self):
        ui = self.ui
        ui.modelNameEdit.enabled = self._learned() is not None and not self._isRunning
        ui.saveModelButton.enabled = ui.modelNameEdit.enabled and bool(ui.modelNameEdit.text.strip())

    def _onReturn(self):
        if self.ui.saveModelButton.enabled:
            self.save()
