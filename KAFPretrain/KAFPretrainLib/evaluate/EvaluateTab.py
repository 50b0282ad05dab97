"""The Evaluate tab: a model's segmentations compared with reference segmentations, case by case, and with those of a
second model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from kaf.runtime.errors import Cancelled, InputError, KafError
from kaf.runtime.files import atomic_write
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.evaluate.DotPlot import DotPlot
from KAFPretrainLib.evaluate.Evaluation import Evaluation, Scores
from KAFPretrainLib.evaluate.ScoreChart import ScoreChart
from KAFPretrainLib.evaluate.ScoreTable import ScoreTable
from KAFPretrainLib.models.Weights import WeightsChoice, modalityMismatch
from KAFPretrainLib.runs.Lineage import names
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFPretrainLib.widgets.Interfaces import Dataset, Runs, Services
from KAFPretrainLib.widgets.JobProgress import JobProgress
from KAFPretrainLib.widgets.PlotPanel import PlotPanel
from KAFSegmentationLib.widgets.FileDialogs import askSave
from KAFSegmentationLib.widgets.PlainText import rich

if TYPE_CHECKING:
    from KAFPretrainLib.widgets.Parameters import Parameters

_NARROWEST = 300  # pixels of the plot
TEST, VALIDATION, ALL = "test", "validation", "all"
_PARTS = (TEST, VALIDATION, ALL)


class EvaluateTab:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        data: the folder of scans.
        runs: which patients the models were trained on.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, data: Dataset, runs: Runs):
        self.ui, self._services, self._data, self._runs = ui, services, data, runs
        self.model = WeightsChoice(ui.evaluateModelComboBox, wanted=lambda item: item.segments, onChosen=self.update)
        self.baseline = WeightsChoice(ui.evaluateBaselineComboBox, _("no other model"), lambda item: item.segments,
                                      self.update)
        self.devices = DeviceChoice(ui.evaluateDeviceComboBox, self._onDevice)
        self.dots, self._plot = DotPlot(ui.evaluatePlotLayout), PlotPanel(None, ui.evaluateViewsButton, "Evaluate")
        self._chart, self._table = ScoreChart(), ScoreTable(ui.evaluateTable, self._onOpen)
        self.scores: list[Scores] = []
        self._running, self._waiting, self._cases = None, [], {}
        for title in (_("test patients"), _("validation patients"), _("all labelled patients")):
            ui.evaluatePartComboBox.addItem(title)
        ui.evaluatePartComboBox.connect("currentIndexChanged(int)", lambda index: self.update())
        ui.evaluateButton.connect("clicked()", self.onEvaluate)
        ui.reportButton.connect("clicked()", self._openReport)
        ui.evaluateCsvButton.connect("clicked()", self._saveTable)
        self._progress = JobProgress(ui.evaluateProgressBar, services.log)
        self._showScores()

    @property
    def isRunning(self) -> bool:
        """Whether a model is being evaluated."""
        return self._running is not None

    def setParameters(self, parameters: Parameters | None) -> None:
        """Shows the choices of a scene."""
        if parameters is not None:
            self.devices.show(parameters.evaluateDevice)
        self.update()

    def onEvaluate(self) -> None:
        """Evaluates the model, after the one to compare with; or stops."""
        if self._running is not None:
            self._waiting = []
            self._running.cancel()
            return
        if not self._services.makeReady():
            return
        cases = self._wanted()
        self._cases = {case.name: case for case in cases}
        self.scores = []
        self._waiting = [item for item in (self.baseline.chosen, self.model.chosen) if item is not None]
        self._next()

    def forget(self) -> None:
        """The scene is about to close; the scores stay."""
        self._plot.forget()
        self._chart.remove()

    def restore(self) -> None:
        """The scene was closed: the chart is drawn again."""
        if self.scores:
            self._showScores()

    def close(self) -> None:
        """The panel is closed for good."""
        if self._running is not None:
            self._running.close()
            self._running = None
        self._plot.close()
        self._chart.remove()

    def update(self) -> None:
        """Shows what can be done now, or what is missing."""
        running = self._running is not None
        problem = self._problem()
        self.ui.evaluateButton.text = _("Stop") if running else _("Evaluate")
        self.ui.evaluateButton.enabled = running or not problem
        self.ui.evaluateProgressBar.visible = running
        self.ui.evaluateHintLabel.text = rich(problem) if problem else self._hint()

    def _problem(self):
        data = self._data
        if data.inspection is None:
            return _("There are no cases yet. Scan a folder in the Data tab.")
        if self.model.chosen is None:
            return _("There is no model to evaluate. Fine-tune one, or import one in the Models tab.")
        if not self._wanted():
            return {TEST: _("There are no labelled test patients. Choose other cases, or change the split in the Data "
                            "tab."),
                    VALIDATION: _("There are no labelled validation patients. Choose other cases, or change the split "
                                  "in the Data tab."),
                    ALL: _("There are no labelled patients. Add label maps, then scan the folder again in the Data "
                           "tab.")}[self._part()]
        modality = data.inspection.modality
        return modalityMismatch(self.model.chosen, modality) or modalityMismatch(self.baseline.chosen, modality)

    def _hint(self):
        cases, patients = self._wanted(), {case.patient for case in self._wanted()}
        lines = [rich(_("Cases: {cases}. Patients: {patients}.").format(cases=len(cases), patients=len(patients)))]
        for item in filter(None, (self.model.chosen, self.baseline.chosen)):
            seen = sorted(self._runs.lineage.seenPatients(item, self._data.realFolder) & patients)
            if seen:
                warning = _("Patients used in training {model}: {patients}. Its scores on them are too high.").format(
                    model=item.title, patients=names(seen))
                remedy = _("Evaluate on test patients, or train again with this split.")
                lines.append(f"<b>{rich(warning)}</b> {rich(remedy)}")
        return " ".join(lines)

    def _part(self):
        return _PARTS[max(0, self.ui.evaluatePartComboBox.currentIndex)]

    def _wanted(self):
        data, part = self._data, self._part()
        if data.inspection is None or (data.split is None and part != ALL):
            return []
        patients = data.inspection.labelledPatients if part == ALL else getattr(data.split, part)
        return [case for case in data.inspection.labelled if case.patient in patients]

    def _next(self):
        if not self._waiting:
            self._running = None
            self._showScores()
            self.update()
            return
        item = self._waiting.pop(0)
        self._progress.start()
        folder = Path(Folders.runsFolder()) / "evaluations" / f"{Path(self._data.folder).name}-{self._part()}"
        try:
            self._running = Evaluation(self._services.setup.python(), item, list(self._cases.values()), folder,
                                       self.devices.device(), self._progress, self._onDone, self._data.folder)
        except KafError as error:
            self._onDone(None, error)
        self.update()

    def _onDone(self, scores, error):
        if error is not None:
            self._waiting = []
            if isinstance(error, Cancelled):
                self._services.message.show(_("The evaluation was stopped. Finished segmentations are kept, and "
                                              "Evaluate continues from there."))
            else:
                self._services.message.showError(error)
        else:
            self.scores.append(scores)
        self._next()

    def _showScores(self):
        """The table, the chart and a summary."""
        shown = bool(self.scores)
        for widget in (self.ui.evaluateTable, self.ui.evaluatePlotFrame, self.ui.evaluateViewsButton,
                       self.ui.reportButton, self.ui.evaluateCsvButton, self.ui.evaluateLabel):
            widget.visible = shown
        if not shown:
            return
        self._table.show(self.scores)
        self._chart.show(self._table.cases, self.scores)
        self.dots.show(self._table.cases, self.scores, max(_NARROWEST, self.ui.evaluateTable.width))
        self._plot.show(self._chart.chart)
        self.ui.evaluateLabel.text = self._summary()
        self._services.message.clear()

    def _summary(self):
        lines = [_("Mean Dice of {model}: {dice}.").format(model=found.name, dice=_number(found.mean, 2) or _("none"))
                 for found in self.scores]
        if len(self.scores) == 2:
            both = [case for case in self._table.cases
                    if all(found.dice.get(case) is not None for found in self.scores)]
            better = sum(self.scores[1].dice[case] > self.scores[0].dice[case] for case in both)
            lines.append(_("Cases in which {model} has the higher Dice: {count} of {total}.").format(
                model=self.scores[1].name, count=better, total=len(both)))
        else:
            lines.append(_("Cases: {count}.").format(count=len(self._table.cases)))
        notes = [note for found in self.scores for note in found.notes]
        lines += notes[:1]
        if len(notes) > 1:
            lines.append(_("More remarks in the report: {count}.").format(count=len(notes) - 1))
        return " ".join(lines)

    def _onOpen(self, name):
        case = self._cases.get(name)
        if case is None:
            return
        try:
            openCase(case.image, case.label, self.scores[-1].predictions.get(case.name, ""), case.name,
                     case.drawing)
        except KafError as error:
            self._services.message.showError(error)

    def _saveTable(self):
        path = askSave(self.ui.evaluateTab, _("Save table"), str(Path(Folders.runsFolder()) / "scores.csv"),
                       _("Tables (*.csv)"))
        if not path:
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, self._table.csv())
        except (KafError, OSError) as error:
            self._services.message.showError(error)
            return
        self._services.message.show(_("The table was saved to {path}.").format(path=path), "done")

    def _openReport(self):
        report = self.scores[-1].report
        if not Path(report).is_file() or not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(report)):
            self._services.message.showError(InputError(report, _("cannot be opened"), _(
                "Open it with a web browser, or press Evaluate again if it is gone.")))

    def _onDevice(self, device):
        parameters = self._services.parameters()
        if parameters is not None:
            parameters.evaluateDevice = device


def _number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
