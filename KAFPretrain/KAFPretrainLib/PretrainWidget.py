"""The panel: from a folder of scans to an evaluated model. Everything that computes is another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from kaf.runs import start as jobs
from kaf.runtime.errors import KafError
from KAFPretrainLib.data.DataTab import DataTab
from KAFPretrainLib.data.Selection import Selection
from KAFPretrainLib.evaluate.EvaluateTab import EvaluateTab
from KAFPretrainLib.models.ModelRegistration import ModelRegistration
from KAFPretrainLib.models.ModelsTab import ModelsTab
from KAFPretrainLib.runs.FinetuneTab import FinetuneTab
from KAFPretrainLib.runs.JobList import JobList
from KAFPretrainLib.runs.PretrainTab import PretrainTab
from KAFPretrainLib.widgets.DeviceChoice import devicesOf
from KAFPretrainLib.widgets.Interfaces import RunCallbacks, Services, Setup
from KAFPretrainLib.widgets.Parameters import Parameters
from KAFPretrainLib.widgets.TabHeights import fitTabHeights
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.backend.ShortJob import ShortJob
from KAFSegmentationLib.widgets.MessageLine import MessageLine

if TYPE_CHECKING:
    from kaf.runs.job import Job

POLL_MILLISECONDS = 500


class PretrainWidget(VTKObservationMixin):
    """Puts the tabs together.

    Args:
        uiWidget: the loaded .ui file.
        logic: keeps the choices in the scene.
        setup: finds and installs the packages.
    """

    def __init__(self, uiWidget: qt.QWidget, logic: slicer.ScriptedLoadableModule.ScriptedLoadableModuleLogic,
                 setup: Setup):
        VTKObservationMixin.__init__(self)
        self.setup, self._uiWidget, self._logic = setup, uiWidget, logic
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.log = LogView(self.ui.logText, self.ui.copyLogButton)
        self.message = MessageLine(self.ui.messageFrame, self.ui.messageIcon, self.ui.messageLabel, self.log.add)
        self.parameters = self._guiTag = self._deviceSearch = None
        self._makeParts()
        self._tabs = [self.pretraining, self.finetuning, self.evaluation]
        self._views = [self.pretraining.run, self.finetuning.run]
        fitTabHeights(self.ui.tabs)
        self.ui.tabs.connect("currentChanged(int)", self._onTab)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)
        self.ui.setUpButton.connect("clicked()", self.onSetUp)
        self.ui.otherPythonButton.connect("clicked()", self.onOtherPython)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneEndImport)
        self._entered = False

    def _makeParts(self):
        """Each part gets the services, the parts that it asks, and callbacks for what it reports."""
        ui = self.ui
        services = Services(self.setup, self.message, self.log, self.makeReady, lambda: self.parameters)
        callbacks = RunCallbacks(self.onRunEnded, self.refreshRuns, self.showLog)
        self.jobs = JobList(self.setup)
        self.registration = ModelRegistration(self.setup, self._onAdded, self.message.showError)
        self.data = DataTab(ui, services, self.onDataChanged, self.update, self.refreshRuns)
        self.selection = Selection(ui, services, self.data)
        self.pretraining = PretrainTab(ui, services, self.data, self.jobs, callbacks)
        self.finetuning = FinetuneTab(ui, services, self.data, self.jobs, callbacks, self.registration.add,
                                      self.evaluate)
        self.evaluation = EvaluateTab(ui, services, self.data, self.jobs)
        self.models = ModelsTab(ui, services, self.refreshRuns)

    def enter(self) -> None:
        """The panel is opened."""
        self._entered = True
        self.data.enter()
        self.setParameters(self._parameterNode())
        self.refreshRuns()
        self._timer.start()
        if self.setup.isReady():
            self._findDevices()

    def exit(self) -> None:
        """Another module is opened; runs continue and are still watched: a model that is finished enters the library.
        """
        self._entered = False
        self.setParameters(None)

    def cleanup(self) -> None:
        """The panel is closed for good: at the end of Slicer, or to be loaded again. Runs continue."""
        self._timer.stop()
        self.setParameters(None)
        for part in (self.data, self.selection, self.evaluation, self.models, self.registration, self.jobs):
            part.close()
        if self._deviceSearch is not None:
            self._deviceSearch.close()
            self._deviceSearch = None
        for view in self._views:
            view.close()
        self.removeObservers()

    def setParameters(self, parameters: Parameters | None) -> None:
        """Binds the panel to the choices of a scene, or with None to nothing."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        for tab in self._tabs:
            tab.setParameters(parameters)
        self.update()

    def update(self, caller: vtk.vtkObject | None = None, event: str | None = None) -> None:
        """Shows what can be done now, and what is missing."""
        isReady = self.setup.isReady()
        self.ui.setUpFrame.visible = not isReady
        if not isReady:
            self.ui.setUpLabel.text = self.setup.statusText()
        if self.parameters is None:
            return
        for tab in [*self._tabs, self.selection]:
            tab.update()

    def refreshRuns(self) -> None:
        """Searches for runs and models again, also those of other programs; shows them when they are found."""
        self.jobs.search(self._onRunsFound)

    def _onRunsFound(self):
        for view in self._views:
            view.refresh()
        if self.setup.isReady():
            self.registration.offer(self.jobs.ready)
        self.models.show(self.jobs.entries)
        self._offerWeights()

    def _offerWeights(self):
        weights = self.jobs.weights
        for choice in (self.finetuning.base, self.evaluation.model, self.evaluation.baseline, self.selection.model):
            choice.offer(weights)
        self.update()

    def onDataChanged(self) -> None:
        """The folder, what is known of it, or the split has changed."""
        self.selection.forget()
        self.update()

    def evaluate(self, path: str) -> None:
        """Opens the Evaluate tab with this model chosen."""
        self.evaluation.model.choose(path)
        self.ui.tabs.setCurrentWidget(self.ui.evaluateTab)

    def onRunEnded(self, job: Job, state: str, error: str) -> None:
        """A run that was watched has come to its end, well or badly."""
        if state == jobs.FINISHED:
            self.message.show(_("The run {name} finished.").format(name=job.folder.name), "done")
        elif state in (jobs.FAILED, jobs.LOST):
            text = _("The run {name} failed. The Fine-tune tab shows why, and what to do.")
            if job.verb == "pretrain":
                text = _("The run {name} failed. The Pretrain tab shows why, and what to do.")
            self.log.add(f"{job.folder.name}: {error}")
            self.message.show(text.format(name=job.folder.name), "error")
        self.refreshRuns()

    def makeReady(self) -> bool:
        """Takes the folders as they stand and sets up what is missing; returns whether all is there then."""
        self.data.settle()
        return self.setup.isReady() or self.onSetUp()

    def onSetUp(self) -> bool:
        """Installs what is missing; returns whether it is there now."""
        return self._setUp(self.setup.run)

    def onOtherPython(self) -> bool:
        """Lets a person choose another Python; returns whether it can be used."""
        return self._setUp(self.setup.useOtherPython)

    def showLog(self) -> None:
        """Unfolds the log."""
        self.ui.logSection.collapsed = False

    def _setUp(self, action):
        try:
            ready = action(self._uiWidget)
        except KafError as error:
            self.message.showError(error)
            ready = False
        else:
            if ready:
                self.message.show(self.setup.statusText(), "done")
            else:
                self.message.clear()  # the line above the tabs says what is missing
        self.update()
        return ready

    def _parameterNode(self):
        return Parameters(self._logic.getParameterNode())

    def _onTab(self, index):
        qt.QTimer.singleShot(0, self.pretraining.run.fitPictures)  # once the tab has its size

    def _tick(self):
        for view in self._views:
            view.tick()

    def _findDevices(self):
        if self._deviceSearch is None:
            self._deviceSearch = ShortJob(self.setup.python(), ["devices"], lambda event: None, self._onDevices)

    def _onAdded(self, job, name):
        """The model of a run is in the library."""
        self.message.show(_("The model of the run {run} was added to the library as {name} and can be used in KAF "
                            "Segmentation. Its card can be edited in the Models tab.").format(
                                run=job.folder.name, name=name), "done")
        self.models.refresh(name)
        self.refreshRuns()
        self.finetuning.run.onChange()
        other = getattr(getattr(slicer.modules, "KAFSegmentationWidget", None), "segmentation", None)
        if other is not None and other.parameters is not None:  # the panel of KAF Segmentation is open
            other.refreshModels()

    def _onDevices(self, values, error):
        if error is not None:
            self.log.add(str(error))
            return
        for tab in self._tabs:
            tab.devices.offer(devicesOf(values))

    def _onSceneStartClose(self, caller, event):
        """Every node is about to go."""
        for view in [*self._views, self.evaluation]:
            view.forget()
        self.setParameters(None)

    def _onSceneEndClose(self, caller, event):
        if self._entered:
            self.setParameters(self._parameterNode())
        for view in [*self._views, self.evaluation]:
            view.restore()

    def _onSceneEndImport(self, caller, event):
        if self._entered:
            self.setParameters(None)
            self.setParameters(self._parameterNode())
