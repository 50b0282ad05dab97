"""The tab Fine-tune: from weights and labelled cases to a model, or with folds to an honest comparison."""

from kaf.runtime.errors import InputError, KafError
from KAFPretrainLib.data.Inspection import count
from KAFPretrainLib.models.LibraryKeeper import libraryName
from KAFPretrainLib.models.Weights import WeightsChoice, misfit
from KAFPretrainLib.runs.Lineage import names
from KAFPretrainLib.runs.RunExport import RunExport
from KAFPretrainLib.runs.RunSettings import compareValues, finetuneValues, readMore
from KAFPretrainLib.runs.RunView import RunView
from KAFPretrainLib.runs.TransferReport import transferReport
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.widgets.PlainText import problemWords, rich, tip


class FinetuneTab:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``jobs``, ``data``, ``keeper``, ``message``, ``parameters``, ``evaluate(path)``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self.base = WeightsChoice(ui.baseComboBox, "nothing: random weights", onChosen=self.update)
        self.devices = DeviceChoice(ui.finetuneDeviceComboBox, self._onDevice)
        self.run = RunView(ui, "finetune", ("finetune", "compare"), panel, self.devices.device)
        self.run.onChange = self._showRun
        self.export = RunExport(ui, "finetune", self.settings, panel)
        ui.finetuneStartButton.connect("clicked()", self.onStart)
        ui.libraryButton.connect("clicked()", self.onKeep)
        ui.evaluateThisButton.connect("clicked()", lambda: panel.evaluate(str(self.run.job.model)))
        self._showRun()

    def setParameters(self, parameters):
        """Shows the choices of a scene."""
        if parameters is not None:
            self.devices.show(parameters.finetuneDevice)
        self.update()

    def settings(self):
        """(verb, values, name) of the run that Start would start.

        Raises:
            KafError: something is missing.
        """
        problem = self._problem()
        if problem is not None:
            raise problem
        data, parameters, base = self._panel.data, self._panel.parameters, self.base.chosen
        more, path = readMore(self.ui.finetuneFilePath.currentPath), base.path if base else ""
        name = parameters.finetuneName.strip() or "my-model"
        if parameters.folds > 1:
            values = compareValues(parameters, data.folder, data.inspection, path, base and base.recipe)
            values["finetune"] = more | values["finetune"]
            return "compare", values, f"{name}-folds"
        words = {"description": self.ui.descriptionLineEdit.text, "training_data": self.ui.trainingDataLineEdit.text,
                 "weights_licence": self.ui.licenceLineEdit.text}
        values = finetuneValues(parameters, data.folder, data.inspection, data.split, path, words)
        return "finetune", more | values, name

    def onStart(self):
        """Starts a run, after the set-up if that is missing."""
        if not self._panel.makeReady():
            return
        try:
            job = self._panel.jobs.start(*self.settings())
        except KafError as error:
            self._panel.message.showError(error)
            return
        self.ui.finetuneSettingsSection.collapsed = True
        self._panel.message.show(f"{job.folder.name} was started; it goes on when Slicer is closed.", "done")
        self.run.refresh(job.folder)
        self._panel.refreshRuns()

    def onKeep(self):
        """Puts the model of the run into the library, after a question where it did not beat doing nothing."""
        job = self.run.job
        if confirmAcceptance(job.model, self.ui.finetuneTab):
            self._panel.keeper.keep(job)

    def update(self):
        """What Start would do, and what is in the way."""
        problem = self._problem()
        self.ui.finetuneStartButton.enabled = problem is None
        self.export.allow(problem is None)
        self.ui.finetuneForecastLabel.text = rich(problemWords(problem)) \
            if problem is not None else self._forecast()
        folds = self._panel.parameters is not None and self._panel.parameters.folds > 1
        for widget in (self.ui.descriptionLineEdit, self.ui.trainingDataLineEdit, self.ui.licenceLineEdit):
            widget.enabled = not folds

    def _forecast(self):
        data, parameters = self._panel.data, self._panel.parameters
        patients = set(data.inspection.labelledPatients)
        if parameters.folds > 1:
            arms = 1 + (self.base.chosen is not None)
            words = f"Trains {arms * parameters.folds} networks of {parameters.finetuneMinutes:g} min each, so that " \
                "every patient is tested by one that did not see them"
            again = bool(self.base.chosen and self.base.chosen.recipe)
            seen = "" if again else self._seen(patients, "tested in a fold")
            return f"{words}{', and pretrains anew for each fold' if again else ''}. The split is not used.{seen}"
        train = len(patients & set(data.split.train))
        used = min(parameters.fewShot or train, train)
        validated = len(patients & set(data.split.validation))
        kept = len(patients & set(data.split.test))
        words = f"Trains on {count(used, 'labelled patient')} for {parameters.finetuneMinutes:g} min"
        test = f"{kept or 'nobody'} {'stay' if kept > 1 else 'stays'} for the test."
        words += f" and watches the Dice of {count(validated, 'other')}; {test}" if validated else \
            f". Nobody validates: there will be no live Dice; {test}"
        return words + self._seen(set(data.split.test), "for the test")

    def _seen(self, patients, what):
        """Whether the weights to start from were made on patients who test: said before hours are spent."""
        base = self.base.chosen
        seen = base and sorted(self._panel.jobs.lineage.seenPatients(base, self._panel.data.realFolder) & patients)
        if not seen:
            return ""
        return (f" <b>{rich(base.name)} was made on {rich(names(seen))}, who {'is' if len(seen) == 1 else 'are'} "
                f"{what}: the figures will be too good.</b> Choose other weights, or pretrain again with this split.")

    def _problem(self):
        data, parameters = self._panel.data, self._panel.parameters
        if parameters is None or not data.folder:
            return InputError("No folder", "is chosen", "Choose a folder of scans in the tab Data.")
        if data.inspection is None:
            return InputError("The folder", "was not looked into yet", "Press the button in the tab Data.")
        if not data.inspection.labelled:
            return InputError("The folder", "holds no label map", "Put label maps beside the scans, or in a folder "
                              "`labels`, and look into it again; or label some scans first (tab Data).")
        patients = data.inspection.labelledPatients
        if data.split is None or not set(patients) & set(data.split.train):
            return InputError("The split", "leaves no labelled patient to train on", "Change it in the tab Data.")
        bad = [case.name for case in data.inspection.unusable if case.label]
        if parameters.folds > 1 and bad:
            return InputError("Folds", f"take every label map of the folder, and {', '.join(bad[:3])} cannot be used",
                              "Mend it or take it out (tab Data), and look into the folder again; or do without folds.")
        if parameters.folds > len(patients):
            return InputError(f"{parameters.folds} folds", f"cannot be made of {len(patients)} labelled patients",
                              f"Ask for {len(patients)} at most.")
        return misfit(self.base.chosen, data.inspection.modality)

    def _showRun(self):
        """What belongs to the chosen run only."""
        job = self.run.job
        words, keys = transferReport(job.folder) if job is not None else ("", "")
        self.ui.transferLabel.text, self.ui.transferLabel.toolTip = words, tip(keys)
        self.ui.transferLabel.visible = bool(words)
        hasModel = job is not None and job.verb == "finetune" and job.model is not None
        self.ui.libraryButton.visible = self.ui.evaluateThisButton.visible = hasModel
        name = libraryName(job) if hasModel else ""
        self.ui.libraryButton.enabled = hasModel and not name
        self.ui.libraryButton.text = f"In the library: {name}" if name else "Put into the library"

    def _onDevice(self, device):
        if self._panel.parameters is not None:
            self._panel.parameters.finetuneDevice = device
