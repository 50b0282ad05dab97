"""The Fine-tune tab: from weights and labelled cases to a model, or with folds to a cross-validated comparison."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFPretrainLib.models.ModelRegistration import libraryName
from KAFPretrainLib.models.Weights import WeightsChoice, modalityMismatch
from KAFPretrainLib.runs.Lineage import names
from KAFPretrainLib.runs.RunExport import RunExport, RunRequest
from KAFPretrainLib.runs.RunSettings import compareValues, finetuneValues, readMore
from KAFPretrainLib.runs.RunStart import startRun
from KAFPretrainLib.runs.RunView import RunView
from KAFPretrainLib.runs.TransferReport import transferReport
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFPretrainLib.widgets.Interfaces import Dataset, RunCallbacks, Runs, Services
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.widgets.PlainText import rich, tip

if TYPE_CHECKING:
    from kaf.runs.job import Job
    from KAFPretrainLib.widgets.Parameters import Parameters

_SHOWN = 3  # cases that are named in a sentence


class FinetuneTab:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        data: the folder of scans.
        runs: where runs are started and resumed, and which patients weights were trained on.
        callbacks: for what the view of the run reports.
        keep: adds the model of a run to the library.
        evaluate: opens the Evaluate tab with a model file chosen.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, data: Dataset, runs: Runs, callbacks: RunCallbacks,
                 keep: Callable[[Job], None], evaluate: Callable[[str], None]):
        self.ui, self._services, self._data, self._runs, self._callbacks = ui, services, data, runs, callbacks
        self._keep = keep
        self.base = WeightsChoice(ui.baseComboBox, _("random weights"), onChosen=self.update)
        self.devices = DeviceChoice(ui.finetuneDeviceComboBox, self._onDevice)
        self.run = RunView(ui, "finetune", ("finetune", "compare"), services, runs, callbacks, self.devices.device)
        self.run.onChange = self._showRun
        self.export = RunExport(ui, "finetune", self.request, services.message, services.setup.python)
        ui.finetuneStartButton.connect("clicked()", self.onStart)
        ui.libraryButton.connect("clicked()", self.onKeep)
        ui.evaluateThisButton.connect("clicked()", lambda: evaluate(str(self.run.job.model)))
        ui.finetuneReportButton.connect("clicked()", self.run.openReport)
        self._showRun()

    def setParameters(self, parameters: Parameters | None) -> None:
        """Shows the choices of a scene."""
        if parameters is not None:
            self.devices.show(parameters.finetuneDevice)
        self.update()

    def request(self) -> RunRequest | None:
        """The run that Start would start; None, after a message, where something is missing."""
        problem = self._problem()
        if problem:
            self._services.message.show(problem, "error")
            return None
        data, parameters, base = self._data, self._services.parameters(), self.base.chosen
        try:
            more = readMore(self.ui.finetuneFilePath.currentPath)
        except KafError as error:
            self._services.message.showError(error)
            return None
        path, name = base.path if base else "", parameters.finetuneName.strip() or "my-model"
        if parameters.folds > 1:
            values = compareValues(parameters, data.folder, data.inspection, path, base and base.recipe)
            values["finetune"] = more | values["finetune"]
            return RunRequest("compare", values, f"{name}-folds")
        texts = {"description": self.ui.descriptionLineEdit.text, "training_data": self.ui.trainingDataLineEdit.text,
                 "weights_licence": self.ui.licenceLineEdit.text}
        values = finetuneValues(parameters, data.folder, data.inspection, data.split, path, texts)
        return RunRequest("finetune", more | values, name)

    def onStart(self) -> None:
        """Starts a run, after the set-up if that is missing."""
        startRun(self.request, self._services, self._runs, self.run, self._callbacks,
                 self.ui.finetuneSettingsSection)

    def onKeep(self) -> None:
        """Adds the model of the run to the library, after a question where it did not beat a constant prediction."""
        job = self.run.job
        if confirmAcceptance(job.model, self.ui.finetuneTab):
            self._keep(job)

    def update(self) -> None:
        """Shows what Start would do, or what is missing."""
        problem = self._problem()
        self.ui.finetuneStartButton.enabled = not problem
        self.export.allow(not problem)
        self.ui.finetuneForecastLabel.text = rich(problem) if problem else self._forecast()
        parameters = self._services.parameters()
        folds = parameters is not None and parameters.folds > 1
        for widget in (self.ui.descriptionLineEdit, self.ui.trainingDataLineEdit, self.ui.licenceLineEdit):
            widget.enabled = not folds

    def _forecast(self):
        data, parameters = self._data, self._services.parameters()
        patients = set(data.inspection.labelledPatients)
        minutes = f"{parameters.finetuneMinutes:g}"
        if parameters.folds > 1:
            return self._foldsForecast(parameters, patients, minutes)
        train, validation = (len(patients & set(part)) for part in (data.split.train, data.split.validation))
        lines = [_("Labelled patients: {train} for training, {validation} for validation, {test} held out for testing. "
                   "Time: {minutes} min.").format(
                       train=min(parameters.fewShot or train, train), validation=validation,
                       test=len(patients & set(data.split.test)), minutes=minutes)]
        if not validation:
            lines.append(_("No validation set: there will be no Dice during training."))
        return " ".join([rich(" ".join(lines)), *self._seen(set(data.split.test), _(
            "Test patients used in training {weights}: {patients}. The scores on them will be too high."))])

    def _foldsForecast(self, parameters, patients, minutes):
        base = self.base.chosen
        lines = [_("Trains {count} networks for {minutes} min each. Every patient is tested by a network that was not "
                   "trained on them. The split of the Data tab is not used.").format(
                       count=(1 + (base is not None)) * parameters.folds, minutes=minutes)]
        if base is not None and base.recipe:
            return rich(" ".join([*lines, _("Pretraining is repeated for every fold.")]))
        return " ".join([rich(" ".join(lines)), *self._seen(patients, _(
            "Patients used in training {weights}: {patients}. They are tested in a fold, so the scores will be too "
            "high."))])

    def _seen(self, patients, warning):
        """A warning, before hours are spent, where the weights to start from were trained on test patients: rich text
        in a list."""
        base = self.base.chosen
        seen = base and sorted(self._runs.lineage.seenPatients(base, self._data.realFolder) & patients)
        if not seen:
            return []
        text = warning.format(weights=base.title, patients=names(seen))
        return [f"<b>{rich(text)}</b>", rich(_("Choose other weights, or pretrain again with this split."))]

    def _problem(self):
        data, parameters = self._data, self._services.parameters()
        if parameters is None or not data.folder:
            return _("There are no scans yet. Choose a folder in the Data tab.")
        if data.inspection is None:
            return _("The folder has not been scanned yet. Press Scan folder in the Data tab.")
        if not data.inspection.labelled:
            return _("The folder contains no label map. Save label maps next to the scans or in a folder named labels, "
                     "then scan it again (Data tab).")
        patients = data.inspection.labelledPatients
        if data.split is None or not set(patients) & set(data.split.train):
            return _("The split leaves no labelled patient for training. Change it in the Data tab.")
        bad = [case.name for case in data.inspection.unusable if case.label]
        if parameters.folds > 1 and bad:
            return _("Cross-validation uses every label map of the folder, and these cannot be used: {cases}. Fix or "
                     "remove them and scan the folder again, or set the folds to none.").format(
                         cases=", ".join(bad[:_SHOWN]))
        if parameters.folds > len(patients):
            return _("{folds} folds need as many labelled patients, and there are {patients}. Choose fewer "
                     "folds.").format(folds=parameters.folds, patients=len(patients))
        return modalityMismatch(self.base.chosen, data.inspection.modality)

    def _showRun(self):
        """What belongs to the chosen run only."""
        job = self.run.job
        text, keys = transferReport(job.folder) if job is not None else ("", "")
        self.ui.transferLabel.text, self.ui.transferLabel.toolTip = text, tip(keys)
        self.ui.transferLabel.visible = bool(text)
        hasModel = job is not None and job.verb == "finetune" and job.model is not None
        self.ui.libraryButton.visible = self.ui.evaluateThisButton.visible = hasModel
        self.ui.finetuneReportButton.visible = job is not None
        name = libraryName(job) if hasModel else ""
        self.ui.libraryButton.enabled = hasModel and not name
        self.ui.libraryButton.text = _("In the library as {name}").format(name=name) if name else _("Add to library")

    def _onDevice(self, device):
        parameters = self._services.parameters()
        if parameters is not None:
            parameters.finetuneDevice = device
