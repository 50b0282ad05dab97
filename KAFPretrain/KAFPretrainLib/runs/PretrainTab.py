"""The tab Pretrain: choose methods and a budget, start, watch."""

from kaf.runtime.errors import InputError, KafError, SettingsError
from KAFPretrainLib.data.Inspection import count
from KAFPretrainLib.runs.MethodChoice import MethodChoice
from KAFPretrainLib.runs.RunExport import RunExport
from KAFPretrainLib.runs.RunSettings import leaveOut, pretrainValues, readMore
from KAFPretrainLib.runs.RunView import RunView
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFSegmentationLib.widgets.PlainText import problemWords


class PretrainTab:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``jobs``, ``data`` (a DataTab), ``message``, ``parameters``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self.methods = MethodChoice(ui, self._onMethods)
        self.devices = DeviceChoice(ui.pretrainDeviceComboBox, self._onDevice)
        self.run = RunView(ui, "pretrain", ("pretrain",), panel, self.devices.device, True)
        self.export = RunExport(ui, "pretrain", self.settings, panel)
        ui.pretrainStartButton.connect("clicked()", self.onStart)
        ui.probeCheckBox.connect("toggled(bool)", lambda checked: self.update())

    def setParameters(self, parameters):
        """Shows the choices of a scene."""
        if parameters is not None:
            self.methods.show(parameters.preset, parameters.method)
            self.devices.show(parameters.pretrainDevice)
        self.update()

    def settings(self):
        """(verb, values, name) of the run that Start would start.

        Raises:
            KafError: something is missing.
        """
        problem = self._problem()
        if problem is not None:
            raise problem
        data, parameters = self._panel.data, self._panel.parameters
        values = readMore(self.ui.pretrainFilePath.currentPath) | pretrainValues(
            parameters, data.folder, data.inspection, data.split, self.ui.probeCheckBox.checked)
        return "pretrain", values, values["name"]

    def onStart(self):
        """Starts a run, after the set-up if that is missing."""
        if not self._panel.makeReady():
            return
        try:
            verb, values, name = self.settings()
            job = self._panel.jobs.start(verb, values, name)
        except KafError as error:
            self._panel.message.showError(error)
            return
        self.ui.pretrainSettingsSection.collapsed = True  # what matters now is the run below
        self._panel.message.show(f"{job.folder.name} was started; it goes on when Slicer is closed.", "done")
        self.run.refresh(job.folder)
        self._panel.refreshRuns()

    def update(self):
        """What Start would do, and what is in the way."""
        data = self._panel.data
        hasLabels = data.inspection is not None and bool(data.inspection.labelled)
        self.ui.probeCheckBox.enabled = hasLabels
        problem = self._problem()
        self.ui.pretrainStartButton.enabled = problem is None
        self.export.allow(problem is None)
        self.ui.pretrainForecastLabel.text = problemWords(problem) \
            if problem is not None else self._forecast()

    def _forecast(self):
        data, minutes = self._panel.data, self._panel.parameters.pretrainMinutes
        left = set(leaveOut(data.split, data.inspection.patients))
        kept = sum(case.patient in left for case in data.inspection.cases)
        broken = sum(case.patient not in left and not case.size for case in data.inspection.cases)
        seen = len(data.inspection.cases) - kept - broken
        words = f"Learns from {count(seen, 'scan')} for {minutes:g} min without looking at a label"
        words += f"; {count(kept, 'scan')} of patients for the test stay{'s' if kept == 1 else ''} out" if kept else ""
        words += f"; {broken} cannot be read (tab Data)." if broken else "."
        return f"{words} How many steps fit, and how much memory they take, is measured when it begins."

    def _problem(self):
        data = self._panel.data
        if self._panel.parameters is None or not data.folder:
            return InputError("No folder", "is chosen", "Choose a folder of scans in the tab Data.")
        if data.inspection is None:
            return InputError("The folder", "was not looked into yet", "Press the button in the tab Data.")
        if data.split is None:
            return InputError("The split", "leaves nobody to train on", "Change its shares in the tab Data.")
        if not self.methods.method:
            return SettingsError("No method", "is chosen", "Tick one of the methods.")
        return None

    def _onMethods(self, isPreset):
        parameters = self._panel.parameters
        if parameters is None:
            return
        parameters.preset, parameters.method = self.methods.preset, self.methods.method or parameters.method
        if isPreset and self.methods.minutes():
            parameters.pretrainMinutes = self.methods.minutes()
        self.update()

    def _onDevice(self, device):
        if self._panel.parameters is not None:
            self._panel.parameters.pretrainDevice = device
