"""The tab Models: the library of this computer; cards, import and export of one file, delete."""

from pathlib import Path

from kaf.modelfile import library
from kaf.runtime.errors import KafError
from KAFPretrainLib.data.Inspection import count
from KAFPretrainLib.models.CardDialog import CardDialog
from KAFPretrainLib.runs.ShortJob import ShortJob
from KAFPretrainLib.widgets.FileDialogs import askOpen, askSave
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.backend.Models import listModels
from KAFSegmentationLib.segment.ModelSelector import cardText
from KAFSegmentationLib.widgets.PlainText import confirm, rich


class ModelsTab:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``setup``, ``message``, ``onModelsChanged``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self._entries, self._job = [], None
        ui.modelsList.connect("currentRowChanged(int)", self._showCard)
        ui.importButton.connect("clicked()", self.onImport)
        ui.exportButton.connect("clicked()", self.onExport)
        ui.editCardButton.connect("clicked()", self.onEditCard)
        ui.deleteButton.connect("clicked()", self.onDelete)
        self._showCard()

    @property
    def chosen(self):
        """The entry of the library that is chosen, or None."""
        row = self.ui.modelsList.currentRow
        return self._entries[row] if 0 <= row < len(self._entries) else None

    @property
    def isImporting(self):
        return self._job is not None

    def refresh(self, name=""):
        """Reads the library again and chooses ``name``, or what was chosen."""
        before = name or (self.chosen.name if self.chosen else "")
        self._entries = listModels()
        names = [entry.name for entry in self._entries]
        self.ui.modelsList.clear()
        for entry in self._entries:
            kinds = ", ".join(entry.card.label_names.values()) or "pretrained weights"
            self.ui.modelsList.addItem(f"{entry.name}{' (comes with KAF)' if entry.bundled else ''}: {kinds}")
        self.ui.modelsList.setCurrentRow(names.index(before) if before in names else 0 if names else -1)
        self._showCard()

    def close(self):
        """The panel is taken apart."""
        if self._job is not None:
            self._job.close()
            self._job = None

    def onImport(self):
        """Adds a model file to the library; it is checked in another process first."""
        if not self._panel.makeReady():
            return
        path = askOpen(self.ui.modelsTab, "Import a model", "", "Models (*.safetensors)")
        if not path or not confirmAcceptance(path, self.ui.modelsTab):
            return
        self._panel.message.show(f"Checking {Path(path).name}…")
        self._job = ShortJob(self._panel.setup.python(), ["models", "add", path, "--accept"], lambda event: None,
                             self._onImported)
        self._showCard()

    def onExport(self):
        """Copies the chosen model to one file."""
        entry = self.chosen
        path = askSave(self.ui.modelsTab, "Export the model", f"{entry.name}.safetensors", "Models (*.safetensors)")
        if not path:
            return
        try:
            target = library.export_model(str(entry.path), Path(path), overwrite=True)  # the dialog has asked
        except KafError as error:
            self._panel.message.showError(error)
            return
        self._panel.message.show(f"Written: {target}. This one file is the whole model.", "done")

    def onEditCard(self):
        """Asks for the card's words and writes them; the weights stay byte for byte."""
        entry = self.chosen
        words = CardDialog(self.ui.modelsTab, entry.card).ask()
        if words is None:
            return
        try:
            library.change_card(entry.name, **words)
        except KafError as error:
            self._panel.message.showError(error)
            return
        self._panel.message.show(f"The card of {entry.name} is written.", "done")
        self._changed(entry.name)

    def onDelete(self):
        """Removes the chosen model after a question."""
        entry = self.chosen
        if not confirm(
                f"The model {entry.name} will be deleted from this computer. The run that made it stays, if it is "
                "still there.", "Delete the model", self.ui.modelsTab):
            return
        try:
            library.remove_model(entry.name)
        except KafError as error:
            self._panel.message.showError(error)
            return
        self._panel.message.show(f"{entry.name} is deleted.", "done")
        self._changed()

    def _onImported(self, values, error):
        self._job = None
        if error is not None:
            self._panel.message.showError(error)
            self._showCard()
            return
        self._panel.message.show(f"{values['name']} is in the library; KAF Segmentation has it now.", "done")
        self._changed(values["name"])

    def _changed(self, name=""):
        self.refresh(name)
        self._panel.onModelsChanged()

    def _showCard(self, row=None):
        entry = self.chosen
        self.ui.cardLabel.text = cardText(entry.card) + _more(entry.card) if entry else \
            "No model yet: fine-tune one, or import a file."
        own = entry is not None and not entry.bundled
        self.ui.importButton.enabled = self._job is None
        self.ui.exportButton.enabled = entry is not None
        self.ui.editCardButton.enabled = self.ui.deleteButton.enabled = own
        for button in (self.ui.editCardButton, self.ui.deleteButton):
            if not own:
                button.toolTip = "Models that come with KAF stay as they are"
        if own:
            self.ui.editCardButton.toolTip = "Says what the model is for and what it was trained on"
            self.ui.deleteButton.toolTip = "Removes the chosen model from the library"


def _more(card):
    """What only a researcher asks for."""
    patients = card.metrics.get("training_patients") or card.metrics.get("pretraining_patients")
    who = f" {count(patients, 'patient')}" if patients else ""
    made = f"KAF {rich(card.code_version)}" if card.code_version else "KAF"
    return f"<br>Trained on{who}: {rich((card.training_data or 'unspecified').rstrip('.'))}." \
        f"<br>Made with {made}, seed {card.seed}; weights SHA-256 {card.digest[:16]}…"
