"""The section "Label these first": which of the scans without labels are worth a person's time."""

import qt

from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Message, Progress
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.models.Weights import WeightsChoice, misfit
from KAFPretrainLib.runs.RunSettings import leaveOut
from KAFPretrainLib.runs.ShortJob import ShortJob
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.Tables import fillTable, fitColumns, setUpTable
from KAFSegmentationLib.widgets.PlainText import problemWords


class Selection:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``setup``, ``data``, ``message``, ``parameters`` and ``log``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self.model = WeightsChoice(ui.selectionModelComboBox, onChosen=self.update)
        self._job, self._choices = None, []
        setUpTable(ui.selectionTable, ("", "Scan", "Why"))
        ui.selectionProgressBar.visible = ui.selectionTable.visible = False
        ui.selectButton.connect("clicked()", self.onSelect)
        ui.selectionTable.connect("cellDoubleClicked(int,int)", self._onOpen)

    @property
    def isRunning(self):
        return self._job is not None

    def onSelect(self):
        """Orders the scans, or stops doing so."""
        if self._job is not None:
            self._job.cancel()
            return
        if not self._panel.makeReady():
            return
        data = self._panel.data
        output = Folders.newFolder(Folders.runsFolder(), "selection")
        arguments = ["select", data.folder, "--model", self.model.chosen.path, "--count",
                     str(self._panel.parameters.selectionCount), "--output", output]
        left = leaveOut(data.split, data.inspection.patients) if data.split is not None else []
        if left:
            arguments += ["--leave-out", ",".join(left)]
        self.ui.selectionProgressBar.maximum = 0
        self._job = ShortJob(self._panel.setup.python(), arguments, self._onEvent, self._onDone)
        self.update()

    def close(self):
        """The panel is taken apart."""
        if self._job is not None:
            self._job.close()
            self._job = None

    def update(self):
        """What can be done now."""
        data, running = self._panel.data, self._job is not None
        waiting = len(data.inspection.unlabelled) if data.inspection is not None else 0
        self.ui.selectionProgressBar.visible = running
        self.ui.selectButton.text = "Stop" if running else "Suggest scans to label"
        problem = misfit(self.model.chosen, data.inspection.modality) if data.inspection is not None else None
        self.ui.selectButton.enabled = running or bool(waiting and self.model.chosen and problem is None)
        if self._choices:
            return
        if data.inspection is None:
            words = "Look into a folder first."
        elif not waiting:
            words = "Every scan of this folder has a label map."
        elif self.model.chosen is None:
            words = "Pretrain on this folder first (tab Pretrain), or choose a model."
        elif problem is not None:
            words = problemWords(problem)
        elif self.model.chosen.segments:
            words = f"{waiting} scans have no labels. This model chooses those that it is least sure of."
        else:
            words = f"{waiting} scans have no labels. These weights choose scans that together cover the others."
        self.ui.selectionLabel.text = words

    def forget(self):
        """Another folder: its choices are no more."""
        self._choices = []
        fillTable(self.ui.selectionTable, [])
        self.ui.selectionTable.visible = False

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.total:
            self.ui.selectionProgressBar.maximum = 1000
            self.ui.selectionProgressBar.value = round(1000 * event.done / event.total)
            self.ui.selectionProgressBar.format = f"{event.stage.capitalize()}: %p%"
        elif isinstance(event, Message):
            self._panel.log.add(event.text)

    def _onDone(self, values, error):
        self._job = None
        self.forget()
        if isinstance(error, Cancelled):
            self._panel.message.show("Stopped.")
        elif error is not None:
            self._panel.message.showError(error)
        else:
            self._choices = values["choices"]
            fillTable(self.ui.selectionTable, [
                (str(item["rank"]), item["case"], (item["reason"], item["reason"])) for item in self._choices])
            self.ui.selectionTable.visible = True
            qt.QTimer.singleShot(0, self._fitTable)  # how its lines break depends on its width
            self.ui.selectionLabel.text = (f"Label these first, of {values['candidates']} patients without labels. "
                                           f"The list is in {values['table']}.")
        self.update()

    def _fitTable(self):
        if self._choices:
            fitColumns(self.ui.selectionTable)

    def _onOpen(self, row, column):
        choice = self._choices[row]
        try:
            openCase(choice["image"], name=choice["case"])
        except KafError as error:
            self._panel.message.showError(error)
