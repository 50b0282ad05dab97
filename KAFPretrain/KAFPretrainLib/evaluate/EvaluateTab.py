"""The tab Evaluate: a model's segmentations beside the labels, case by case, and beside a second model's."""

from pathlib import Path

import qt

from kaf.runtime.errors import Cancelled, InputError, KafError
from kaf.runtime.events import Message, Progress
from KAFPretrainLib.data.Inspection import count
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.evaluate.Evaluation import Evaluation
from KAFPretrainLib.evaluate.ScoreChart import ScoreChart
from KAFPretrainLib.models.Weights import WeightsChoice, misfit
from KAFPretrainLib.runs.Lineage import names
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFPretrainLib.widgets.PlotPanel import PlotPanel
from KAFPretrainLib.widgets.Tables import fillTable, fitColumns, setUpTable
from KAFSegmentationLib.widgets.PlainText import problemWords, rich

_PARTS = (("test", "the patients for the test"), ("validation", "the patients who validate"),
          ("all", "all labelled patients"))


class EvaluateTab:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``setup``, ``data``, ``jobs``, ``message``, ``parameters`` and ``log``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self.model = WeightsChoice(ui.evaluateModelComboBox, wanted=lambda item: item.segments, onChosen=self.update)
        self.baseline = WeightsChoice(ui.evaluateBaselineComboBox, "no other model", lambda item: item.segments,
                                      self.update)
        self.devices = DeviceChoice(ui.evaluateDeviceComboBox, self._onDevice)
        self._plot = PlotPanel(ui.evaluatePlotLayout, ui.evaluateViewsButton, "Evaluate")
        self._chart = ScoreChart()
        self._running, self._line, self.scores, self._cases, self._order = None, [], [], {}, []
        for _, words in _PARTS:
            ui.evaluatePartComboBox.addItem(words)
        ui.evaluatePartComboBox.connect("currentIndexChanged(int)", lambda index: self.update())
        ui.evaluateButton.connect("clicked()", self.onEvaluate)
        ui.reportButton.connect("clicked()", self._openReport)
        ui.evaluateTable.connect("cellClicked(int,int)", self._onOpen)
        ui.evaluateProgressBar.visible = False
        self._showScores()

    @property
    def isRunning(self):
        return self._running is not None

    def setParameters(self, parameters):
        """Shows the choices of a scene."""
        if parameters is not None:
            self.devices.show(parameters.evaluateDevice)
        self.update()

    def onEvaluate(self):
        """Evaluates the model, then the other one; or stops."""
        if self._running is not None:
            self._line = []
            self._running.cancel()
            return
        if not self._panel.makeReady():
            return
        cases = self._wanted()
        self._cases = {case.name: case for case in cases}
        self.scores = []
        self._line = [item for item in (self.baseline.chosen, self.model.chosen) if item is not None]
        self._next()

    def forget(self):
        """The scene is about to close; the scores stay."""
        self._plot.forget()
        self._chart.remove()

    def restore(self):
        """The scene was closed: the chart is drawn anew."""
        if self.scores:
            self._showScores()

    def close(self):
        """The panel is taken apart."""
        if self._running is not None:
            self._running.close()
            self._running = None
        self._plot.close()
        self._chart.remove()

    def update(self):
        """What can be done now, and what is in the way."""
        running = self._running is not None
        problem = self._problem()
        self.ui.evaluateButton.text = "Stop" if running else "Evaluate"
        self.ui.evaluateButton.enabled = running or problem is None
        self.ui.evaluateProgressBar.visible = running
        self.ui.evaluateHintLabel.text = rich(problemWords(problem)) \
            if problem is not None else self._hint()

    def _problem(self):
        data = self._panel.data
        if data.inspection is None:
            return InputError("The folder", "was not looked into yet", "Choose it in the tab Data.")
        if self.model.chosen is None:
            return InputError("No model", "is there that segments", "Fine-tune one, or import one in the tab Models.")
        if not self._wanted():
            return InputError("Nobody with labels", f"is among {self._part()[1]}", "Choose other cases, or change the "
                              "split in the tab Data.")
        kind = data.inspection.modality
        return misfit(self.model.chosen, kind) or misfit(self.baseline.chosen, kind)

    def _hint(self):
        cases, patients = self._wanted(), {case.patient for case in self._wanted()}
        words = f"{count(len(cases), 'case')} of {count(len(patients), 'patient')}."
        for item in filter(None, (self.model.chosen, self.baseline.chosen)):
            seen = sorted(self._panel.jobs.lineage.seenPatients(item, self._panel.data.realFolder) & patients)
            if seen:
                words += (f" <b>{rich(item.name)} was trained on {rich(names(seen))}: its figures will be too good."
                          "</b> Choose patients for the test only, or train again with this split.")
        return words

    def _part(self):
        return _PARTS[max(0, self.ui.evaluatePartComboBox.currentIndex)]

    def _wanted(self):
        data, part = self._panel.data, self._part()[0]
        if data.inspection is None or (data.split is None and part != "all"):
            return []
        patients = data.inspection.labelledPatients if part == "all" else getattr(data.split, part)
        return [case for case in data.inspection.labelled if case.patient in patients]

    def _next(self):
        if not self._line:
            self._running = None
            self._showScores()
            self.update()
            return
        item = self._line.pop(0)
        self.ui.evaluateProgressBar.maximum = 0
        folder = Path(Folders.runsFolder()) / "evaluations" / f"{Path(self._panel.data.folder).name}-{self._part()[0]}"
        try:
            self._running = Evaluation(self._panel.setup.python(), item, list(self._cases.values()), folder,
                                       self.devices.device(), self._onEvent, self._onDone)
        except KafError as error:
            self._onDone(None, error)
        self.update()

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.total:
            self.ui.evaluateProgressBar.maximum = 1000
            self.ui.evaluateProgressBar.value = round(1000 * event.done / event.total)
            self.ui.evaluateProgressBar.format = f"{event.stage.capitalize()}: %p%"
        elif isinstance(event, Message):
            self._panel.log.add(event.text)

    def _onDone(self, scores, error):
        if error is not None:
            self._line = []
            if isinstance(error, Cancelled):
                self._panel.message.show("Stopped. What was segmented is kept, and Evaluate goes on from there.")
            else:
                self._panel.message.showError(error)
        else:
            self.scores.append(scores)
        self._next()

    def _showScores(self):
        """The table, the chart and a sentence."""
        shown = bool(self.scores)
        for widget in (self.ui.evaluateTable, self.ui.evaluatePlotFrame, self.ui.evaluateViewsButton,
                       self.ui.reportButton, self.ui.evaluateLabel):
            widget.visible = shown
        if not shown:
            return
        names = [found.name for found in self.scores]
        setUpTable(self.ui.evaluateTable, ["Case", *(f"Dice, {name}" for name in names),
                                           *(["Gain"] if len(names) == 2 else []), "HD95 (mm)"])
        last = self.scores[-1]
        self._order = sorted(last.dice, key=lambda case: (last.dice[case] is not None, last.dice[case] or 0, case))
        fillTable(self.ui.evaluateTable, [self._row(case) for case in self._order])
        fitColumns(self.ui.evaluateTable)
        self._chart.show(self._order, self.scores)
        self._plot.show(self._chart.chart)
        self.ui.evaluateLabel.text = self._summary()
        self._panel.message.clear()

    def _row(self, case):
        dice = [found.dice.get(case) for found in self.scores]
        cells = [case, *(_number(value, 3) for value in dice)]
        if len(dice) == 2:
            gain = dice[1] - dice[0] if None not in dice else None
            cells.append((f"{gain:+.3f}", "", "error" if gain < -0.02 else "") if gain is not None else "")
        return [*cells, _number(self.scores[-1].hd95.get(case), 1)]

    def _summary(self):
        words = [f"Mean Dice {_number(found.mean, 3)} ({found.name})" for found in self.scores]
        text = ", ".join(words) + f", {len(self._order)} cases."
        if len(self.scores) == 2:
            both = [case for case in self._order if all(found.dice.get(case) is not None for found in self.scores)]
            better = sum(self.scores[1].dice[case] > self.scores[0].dice[case] for case in both)
            text += f" {self.scores[1].name} is better on {better} of {len(both)}."
        notes = [note for found in self.scores for note in found.notes]
        return text + (f" {notes[0]}" + (f" ({len(notes) - 1} more in the report)" if len(notes) > 1 else "")
                       if notes else "")

    def _onOpen(self, row, column):
        case = self._cases.get(self._order[row])
        try:
            openCase(case.image, case.label, self.scores[-1].predictions.get(case.name, ""), case.name)
        except KafError as error:
            self._panel.message.showError(error)

    def _openReport(self):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self.scores[-1].report))

    def _onDevice(self, device):
        if self._panel.parameters is not None:
            self._panel.parameters.evaluateDevice = device


def _number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
