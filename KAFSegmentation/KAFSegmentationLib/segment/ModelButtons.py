"""The buttons beside the choice of a model: see all, add a file (or drop one on the panel), remove what was added."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from kaf.modelfile import library
from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.backend.Models import addModel, listModels
from KAFSegmentationLib.scene.SampleDataSources import sampleOf
from KAFSegmentationLib.segment.ModelFit import doubtsOf
from KAFSegmentationLib.segment.ModelGallery import ModelGallery
from KAFSegmentationLib.segment.ModelSelector import ModelSelector
from KAFSegmentationLib.widgets.FileDrop import FileDrop
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.PlainText import confirm, tip
from KAFSegmentationLib.widgets.Questions import mayAsk


class ModelButtons:
    """Adds models to the library of this computer and removes them; both ask, so neither does anything in batch mode.

    Args:
        ui: the widgets of the .ui file.
        models: the ModelSelector.
        message: where the outcome is shown.
        onChanged: called with the name of the model to choose ("" for the first) when the library has changed.
        onSample: called when a person wants sample data.
        target: the panel, on which files can be dropped.
    """

    def __init__(self, ui: Any, models: ModelSelector, message: MessageLine, onChanged: Callable[[str], None],
                 onSample: Callable[[], None], target: qt.QWidget):
        self.ui, self._models, self._message, self._onChanged = ui, models, message, onChanged
        self._onSample, self._target = onSample, target
        self._name, self._scan = "", None
        self._drop = FileDrop(target, library.SUFFIX, self.addFile)
        icon = slicer.app.style().standardIcon(qt.QStyle.SP_FileDialogContentsView)
        ui.modelGalleryButton.setIcon(icon)
        ui.modelGalleryButton.connect("clicked()", self.browse)
        ui.addModelButton.connect("clicked()", self.add)
        ui.removeModelButton.connect("clicked()", self.remove)

    def update(self, name: str, running: bool, scan: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """What can be pressed, and why not.

        Args:
            name: of the chosen model.
            running: whether a model is running.
            scan: the chosen one, or None.
        """
        self._name, self._scan = name, scan
        if self._models.card(name) is None:
            why = _("There is no model to remove")
        elif self._models.isBundled(name):
            why = _("This model comes with KAF and cannot be removed")
        else:
            why = _("Wait until the run has finished") if running else ""
        self.ui.removeModelButton.visible = self._models.card(name) is not None and not self._models.isBundled(name)
        self.ui.removeModelButton.enabled = not why
        self.ui.removeModelButton.toolTip = tip(why) or _("Remove the chosen model from this computer")

    def add(self) -> None:
        """Lets a person choose a file; the model in it is added and chosen."""
        if not mayAsk():
            return
        chosen = qt.QFileDialog.getOpenFileName(self.ui.addModelButton.window(), _("Add model"), "",
                                                _("KAF models (*.safetensors);;All files (*)"))
        path = chosen[0] if isinstance(chosen, tuple) else chosen  # PythonQt gives the path alone
        if path:
            self.addFile(path)

    def addFile(self, path: str) -> None:
        """Adds the model in a file and chooses it."""
        if not mayAsk() or not confirmAcceptance(path, self._target.window()):
            return
        try:
            entry = addModel(path)
        except KafError as error:
            self._message.showError(error)
            return
        wasThere = self._models.card(entry.name) is not None
        self._onChanged(entry.name)
        text = _("This model is already in the list and is chosen now: {name}.") if wasThere else \
            _("Model added and chosen: {name}.")
        self._message.show(text.format(name=entry.name), "done")

    def browse(self) -> None:
        """Shows all models; one of them is chosen."""
        if not mayAsk():
            return
        entries = listModels()
        samples = [entry.name for entry in entries if sampleOf(entry.name)]
        gallery = ModelGallery(self._target.window(), entries, doubtsOf(self._scan, entries), samples, self._name)
        name, wantsSample = gallery.ask()
        if name:
            self._onChanged(name)
        if wantsSample:
            self._onSample()

    def remove(self) -> None:
        """Removes the chosen model after a question."""
        name = self._name
        if not mayAsk() or not confirm(
                _("Delete the model '{name}' from this computer? Its segmentations are kept.").format(name=name),
                _("Remove model"), self.ui.removeModelButton.window()):
            return
        try:
            library.remove_model(name)
        except (KafError, OSError) as error:
            self._message.showError(error)
            return
        self._onChanged("")
        self._message.show(_("Model removed: {name}.").format(name=name), "done")
