"""The Models tab: the model library of this computer; cards, import and export of one file, deletion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.modelfile import library
from kaf.runtime.errors import KafError
from KAFPretrainLib.models.CardDialog import CardDialog
from KAFPretrainLib.widgets.Interfaces import Services
from KAFPretrainLib.widgets.Plurals import forCount
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.backend.Models import listModels
from KAFSegmentationLib.backend.ShortJob import ShortJob
from KAFSegmentationLib.segment.ModelSelector import fullCardText
from KAFSegmentationLib.widgets.FileDialogs import askOpen, askSave
from KAFSegmentationLib.widgets.PlainText import confirm, rich, tip

if TYPE_CHECKING:
    from kaf.modelfile.library import Entry


class ModelsTab:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        onChanged: called when the library has changed.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, onChanged: Callable[[], None]):
        self.ui, self._services, self._onChanged = ui, services, onChanged
        self._entries, self._job = [], None
        ui.modelsList.connect("currentRowChanged(int)", self._showCard)
        ui.importButton.connect("clicked()", self.onImport)
        ui.exportButton.connect("clicked()", self.onExport)
        ui.editCardButton.connect("clicked()", self.onEditCard)
        ui.deleteButton.connect("clicked()", self.onDelete)
        self._toolTips = {button: button.toolTip for button in (ui.editCardButton, ui.deleteButton)}
        self._showCard()

    @property
    def chosen(self) -> Entry | None:
        """The entry of the library that is chosen, or None."""
        row = self.ui.modelsList.currentRow
        return self._entries[row] if 0 <= row < len(self._entries) else None

    @property
    def isImporting(self) -> bool:
        """Whether a file is being checked."""
        return self._job is not None

    def refresh(self, name: str = "") -> None:
        """Reads the library again and chooses ``name``, or what was chosen."""
        self.show(listModels(), name)

    def show(self, entries: list[Entry], name: str = "") -> None:
        """Shows these models of the library and chooses ``name``, or what was chosen."""
        before = name or (self.chosen.name if self.chosen else "")
        self._entries = entries
        names = [entry.name for entry in self._entries]
        self.ui.modelsList.clear()
        for entry in self._entries:
            structures = ", ".join(entry.card.label_names.values()) or _("pretrained weights")
            text = _("{name} (built in): {structures}") if entry.bundled else _("{name}: {structures}")
            self.ui.modelsList.addItem(text.format(name=entry.name, structures=structures))
        self.ui.modelsList.setCurrentRow(names.index(before) if before in names else 0 if names else -1)
        self._showCard()

    def close(self) -> None:
        """The panel is closed for good."""
        if self._job is not None:
            self._job.close()
            self._job = None

    def onImport(self) -> None:
        """Adds a model file to the library; it is checked in another process first."""
        if not self._services.makeReady():
            return
        path = askOpen(self.ui.modelsTab, _("Import model"), "", _("Models (*.safetensors)"))
        if not path or not confirmAcceptance(path, self.ui.modelsTab):
            return
        self._services.message.show(_("Checking {file}…").format(file=Path(path).name))
        self._job = ShortJob(self._services.setup.python(), ["models", "add", path, "--accept"], lambda event: None,
                             self._onImported)
        self._showCard()

    def onExport(self) -> None:
        """Copies the chosen model to one file."""
        entry = self.chosen
        path = askSave(self.ui.modelsTab, _("Export model"), f"{entry.name}.safetensors", _("Models (*.safetensors)"))
        if not path:
            return
        try:
            target = library.export_model(str(entry.path), Path(path), overwrite=True)  # the dialog has asked
        except KafError as error:
            self._services.message.showError(error)
            return
        self._services.message.show(
            _("The model was exported to {path}. This one file contains all of it.").format(path=target), "done")

    def onEditCard(self) -> None:
        """Asks for the texts of the card and writes them; the weights stay byte for byte."""
        entry = self.chosen
        texts = CardDialog(self.ui.modelsTab, entry.card).ask()
        if texts is None:
            return
        try:
            library.change_card(entry.name, **texts)
        except KafError as error:
            self._services.message.showError(error)
            return
        self._services.message.show(_("The model card of {name} was saved.").format(name=entry.name), "done")
        self._changed(entry.name)

    def onDelete(self) -> None:
        """Removes the chosen model after a question."""
        entry = self.chosen
        question = _("Delete the model {name} from this computer? The run that produced it is kept.")
        if not confirm(question.format(name=entry.name), _("Delete model"), self.ui.modelsTab):
            return
        try:
            library.remove_model(entry.name)
        except KafError as error:
            self._services.message.showError(error)
            return
        self._services.message.show(_("The model {name} was deleted.").format(name=entry.name), "done")
        self._changed()

    def _onImported(self, values, error):
        self._job = None
        if error is not None:
            self._services.message.showError(error)
            self._showCard()
            return
        self._services.message.show(
            _("The model {name} was added to the library and can be used in KAF Segmentation.").format(
                name=values["name"]), "done")
        self._changed(values["name"])

    def _changed(self, name=""):
        self.refresh(name)
        self._onChanged()

    def _showCard(self, row=None):
        entry = self.chosen
        self.ui.cardLabel.text = f"{fullCardText(entry.card)}<br>{_provenance(entry.card)}" if entry else \
            rich(_("The library is empty: fine-tune a model, or import one."))
        isOwn = entry is not None and not entry.bundled
        self.ui.importButton.enabled = self._job is None
        self.ui.exportButton.enabled = entry is not None
        for button, toolTip in self._toolTips.items():
            button.enabled = isOwn
            isBuiltIn = entry is not None and entry.bundled
            button.toolTip = _("Built-in models cannot be changed") if isBuiltIn else tip(toolTip)


def _provenance(card):
    """How the model was made, as rich text; its training data stand above."""
    patients = card.metrics.get("training_patients") or card.metrics.get("pretraining_patients")
    count = forCount(patients, _("Trained on one patient."), _("Trained on {count} patients.")) if patients else ""
    made = _("Made with KAF {version}, seed {seed}; SHA-256 of the weights: {digest}…") if card.code_version else \
        _("Seed {seed}; SHA-256 of the weights: {digest}…")
    made = made.format(version=card.code_version, seed=card.seed, digest=card.digest[:16])
    return "<br>".join(rich(line) for line in (count, made) if line)
