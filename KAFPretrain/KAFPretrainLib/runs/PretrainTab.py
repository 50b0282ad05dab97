"""The Pretrain tab: methods and a time budget are chosen, a run is started and watched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFPretrainLib.runs.MethodChoice import MethodChoice
from KAFPretrainLib.runs.RunExport import RunExport, RunRequest
from KAFPretrainLib.runs.RunSettings import leaveOut, pretrainValues, readMore
from KAFPretrainLib.runs.RunStart import startRun
from KAFPretrainLib.runs.RunView import RunView
from KAFPretrainLib.widgets.DeviceChoice import DeviceChoice
from KAFPretrainLib.widgets.Interfaces import Dataset, RunCallbacks, Runs, Services

if TYPE_CHECKING:
    from KAFPretrainLib.widgets.Parameters import Parameters


class PretrainTab:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        data: the folder of scans.
        runs: where runs are started and resumed.
        callbacks: for what the view of the run reports.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, data: Dataset, runs: Runs, callbacks: RunCallbacks):
        self.ui, self._services, self._data, self._runs, self._callbacks = ui, services, data, runs, callbacks
        self.methods = MethodChoice(ui, self._onMethods)
        self.devices = DeviceChoice(ui.pretrainDeviceComboBox, self._onDevice)
        self.run = RunView(ui, "pretrain", ("pretrain",), services, runs, callbacks, self.devices.device, True)
        self.export = RunExport(ui, "pretrain", self.request, services.message, services.setup.python)
        ui.pretrainStartButton.connect("clicked()", self.onStart)
        ui.probeCheckBox.connect("toggled(bool)", lambda checked: self.update())

    def setParameters(self, parameters: Parameters | None) -> None:
        """Shows the choices of a scene."""
        if parameters is not None:
            self.methods.show(parameters.preset, parameters.method)
            self.devices.show(parameters.pretrainDevice)
        self.update()

    def request(self) -> RunRequest | None:
        """The run that Start would start; None, after a message, where something is missing."""
        problem = self._problem()
        if problem:
            self._services.message.show(problem, "error")
            return None
        data = self._data
        try:
            more = readMore(self.ui.pretrainFilePath.currentPath)
        except KafError as error:
            self._services.message.showError(error)
            return None
        values = more | pretrainValues(self._services.parameters(), data.folder, data.inspection, data.split,
                                       self.ui.probeCheckBox.checked)
        return RunRequest("pretrain", values, values["name"])

    def onStart(self) -> None:
        """Starts a run, after the set-up if that is missing."""
        startRun(self.request, self._services, self._runs, self.run, self._callbacks,
                 self.ui.pretrainSettingsSection)

    def update(self) -> None:
        """Shows what Start would do, or what is missing."""
        inspection = self._data.inspection
        self.ui.probeCheckBox.enabled = inspection is not None and bool(inspection.labelled)
        problem = self._problem()
        self.ui.pretrainStartButton.enabled = not problem
        self.export.allow(not problem)
        self.ui.pretrainForecastLabel.text = problem or self._forecast()

    def _forecast(self):
        data, minutes = self._data, self._services.parameters().pretrainMinutes
        left = set(leaveOut(data.split, data.inspection.patients))
        heldOut = sum(case.patient in left for case in data.inspection.cases)
        unreadable = sum(case.patient not in left and not case.size for case in data.inspection.cases)
        lines = [_("Scans for pretraining: {scans}. Time: {minutes} min. No label is used.").format(
            scans=len(data.inspection.cases) - heldOut - unreadable, minutes=f"{minutes:g}")]
        if heldOut:
            lines.append(_("Held-out scans: {count}.").format(count=heldOut))
        if unreadable:
            lines.append(_("Unreadable scans: {count} (see the Data tab).").format(count=unreadable))
        lines.append(_("The number of steps and the memory are estimated when the run starts."))
        return " ".join(lines)

    def _problem(self):
        if self._services.parameters() is None or not self._data.folder:
            return _("There are no scans yet. Choose a folder in the Data tab.")
        if self._data.inspection is None:
            return _("The folder has not been scanned yet. Press Scan folder in the Data tab.")
        if self._data.split is None:
            return _("The split leaves no patient for training. Change the shares in the Data tab.")
        if not self.methods.method:
            return _("No method is selected. Tick at least one.")
        return ""

    def _onMethods(self, isPreset):
        parameters = self._services.parameters()
        if parameters is None:
            return
        parameters.preset, parameters.method = self.methods.preset, self.methods.method or parameters.method
        if isPreset and self.methods.minutes():
            parameters.pretrainMinutes = self.methods.minutes()
        self.update()

    def _onDevice(self, device):
        parameters = self._services.parameters()
        if parameters is not None:
            parameters.pretrainDevice = device
