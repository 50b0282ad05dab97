"""The section "Which scans to label first": orders the unlabelled scans by what can be learned from their labels."""

from __future__ import annotations

from types import SimpleNamespace

import qt
from slicer.i18n import tr as _

from kaf.runtime.errors import Cancelled, KafError
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.models.Weights import WeightsChoice, modalityMismatch
from KAFPretrainLib.runs.RunSettings import leaveOut
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.Interfaces import Dataset, Services
from KAFPretrainLib.widgets.JobProgress import JobProgress
from KAFPretrainLib.widgets.Plurals import forCount
from KAFSegmentationLib.backend.ShortJob import ShortJob
from KAFSegmentationLib.widgets.Tables import fillTable, fitColumns, setUpTable


class Selection:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        data: the folder of scans.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, data: Dataset):
        self.ui, self._services, self._data = ui, services, data
        self.model = WeightsChoice(ui.selectionModelComboBox, onChosen=self.update)
        self._job, self._choices = None, []
        setUpTable(ui.selectionTable, ("", _("Scan"), _("Reason")))
        self._progress = JobProgress(ui.selectionProgressBar, services.log)
        ui.selectionTable.visible = False
        ui.selectButton.connect("clicked()", self.onSelect)
        ui.selectionTable.connect("cellDoubleClicked(int,int)", self._onOpen)

    @property
    def isRunning(self) -> bool:
        """Whether scans are being ordered."""
        return self._job is not None

    def onSelect(self) -> None:
        """Orders the scans, or stops doing so."""
        if self._job is not None:
            self._job.cancel()
            return
        if not self._services.makeReady():
            return
        data = self._data
        output = Folders.newFolder(Folders.runsFolder(), "selection")
        arguments = ["select", data.folder, "--model", self.model.chosen.path, "--count",
                     str(self._services.parameters().selectionCount), "--output", output]
        left = leaveOut(data.split, data.inspection.patients) if data.split is not None else []
        if left:
            arguments += ["--leave-out", ",".join(left)]
        self._progress.start()
        self._job = ShortJob(self._services.setup.python(), arguments, self._progress, self._onDone)
        self.update()

    def close(self) -> None:
        """The panel is closed for good."""
        if self._job is not None:
            self._job.close()
            self._job = None

    def update(self) -> None:
        """Shows what can be done now."""
        inspection, running = self._data.inspection, self._job is not None
        waiting = len(inspection.unlabelled) if inspection is not None else 0
        mismatch = modalityMismatch(self.model.chosen, inspection.modality) if inspection is not None else ""
        self.ui.selectionProgressBar.visible = running
        self.ui.selectButton.text = _("Stop") if running else _("Suggest scans")
        self.ui.selectButton.enabled = running or bool(waiting and self.model.chosen and not mismatch)
        if not self._choices:
            self.ui.selectionLabel.text = self._hint(waiting, mismatch)

    def forget(self) -> None:
        """Another folder was chosen: its suggestions are no longer valid."""
        self._choices = []
        fillTable(self.ui.selectionTable, [])
        self.ui.selectionTable.visible = False

    def _hint(self, waiting, mismatch):
        if self._data.inspection is None:
            return _("Suggestions need the scans of the folder: scan it first.")
        if not waiting:
            return _("Every scan of this folder has a label map.")
        if self.model.chosen is None:
            return _("Pretrain on this folder first (Pretrain tab), or import a model (Models tab).")
        if mismatch:
            return mismatch
        if self.model.chosen.segments:
            text = _("Unlabelled scans: {count}. This model suggests those that it segments with the least certainty.")
        else:
            text = _("Unlabelled scans: {count}. These weights suggest scans that together cover the others.")
        return text.format(count=waiting)

    def _onDone(self, values, error):
        self._job = None
        self.forget()
        if isinstance(error, Cancelled):
            self._services.message.show(_("The suggestion of scans was stopped."))
        elif error is not None:
            self._services.message.showError(error)
        else:
            self._choices = values["choices"]
            fillTable(self.ui.selectionTable, [
                (str(item["rank"]), item["case"], (item["reason"], item["reason"])) for item in self._choices])
            self.ui.selectionTable.visible = True
            qt.QTimer.singleShot(0, self._fitTable)  # how its lines break depends on its width
            text = forCount(values["candidates"], _("Only one patient has no labels."),
                            _("Suggested from {count} patients without labels."))
            saved = _("The list was saved to {path}.").format(path=values["table"])
            self.ui.selectionLabel.text = f"{text} {saved}"
        self.update()

    def _fitTable(self):
        if self._choices:
            fitColumns(self.ui.selectionTable)

    def _onOpen(self, row, column):
        choice = self._choices[row]
        try:
            openCase(choice["image"], name=choice["case"])
        except KafError as error:
            self._services.message.showError(error)
