"""The panel: from a folder of scans to an evaluated model. Everything that computes is another process."""

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from kaf.runs import start as jobs
from kaf.runtime.errors import KafError
from KAFPretrainLib.data.DataTab import DataTab
from KAFPretrainLib.data.Selection import Selection
from KAFPretrainLib.evaluate.EvaluateTab import EvaluateTab
from KAFPretrainLib.models.LibraryKeeper import LibraryKeeper
from KAFPretrainLib.models.ModelsTab import ModelsTab
from KAFPretrainLib.runs.FinetuneTab import FinetuneTab
from KAFPretrainLib.runs.JobList import JobList
from KAFPretrainLib.runs.PretrainTab import PretrainTab
from KAFPretrainLib.runs.ShortJob import ShortJob
from KAFPretrainLib.widgets.DeviceChoice import devicesOf
from KAFPretrainLib.widgets.Parameters import Parameters
from KAFPretrainLib.widgets.TabHeights import fitTabHeights
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.widgets.MessageLine import MessageLine

POLL_MILLISECONDS = 500


class PretrainWidget(VTKObservationMixin):
    """Puts the tabs together.

    Args:
        uiWidget: the loaded .ui file.
        logic: a ScriptedLoadableModuleLogic, which keeps the choices in the scene.
        setup: a KAFSegmentationLib.setup.Setup, or what has its isReady, python, statusText, run, useOtherPython.
    """

    def __init__(self, uiWidget, logic, setup):
        VTKObservationMixin.__init__(self)
        self.setup, self._uiWidget, self._logic = setup, uiWidget, logic
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.log = LogView(self.ui.logText, self.ui.copyLogButton)
        self.message = MessageLine(self.ui.messageFrame, self.ui.messageIcon, self.ui.messageLabel, self.log.add)
        self.parameters = self._guiTag = self._lookingForDevices = None
        self.jobs = JobList(setup)
        self.keeper = LibraryKeeper(setup, self._onKept, self.message.showError)
        self.data = DataTab(self.ui, self)
        self.selection = Selection(self.ui, self)
        self.pretraining = PretrainTab(self.ui, self)
        self.finetuning = FinetuneTab(self.ui, self)
        self.evaluation = EvaluateTab(self.ui, self)
        self.models = ModelsTab(self.ui, self)
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

    def enter(self):
        """The panel is opened."""
        self._entered = True
        self.data.enter()
        self.setParameters(self._parameterNode())
        self.refreshRuns()
        self._timer.start()
        if self.setup.isReady():
            self._findDevices()

    def exit(self):
        """Another module is opened; runs go on, and are still watched: a model that is finished is handed over."""
        self._entered = False
        self.setParameters(None)

    def cleanup(self):
        """The panel is taken apart: at the end of Slicer, or to be loaded again. Runs go on."""
        self._timer.stop()
        self.setParameters(None)
        for part in (self.data, self.selection, self.evaluation, self.models, self.keeper, self.jobs):
            part.close()
        if self._lookingForDevices is not None:
            self._lookingForDevices.close()
            self._lookingForDevices = None
        for view in self._views:
            view.close()
        self.removeObservers()

    def setParameters(self, parameters):
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

    def update(self, caller=None, event=None):
        """Shows what can be done now, and what is in the way."""
        isReady = self.setup.isReady()
        self.ui.setUpFrame.visible = not isReady
        if not isReady:
            self.ui.setUpLabel.text = self.setup.statusText()
        if self.parameters is None:
            return
        for tab in [*self._tabs, self.selection]:
            tab.update()

    def refreshRuns(self):
        """Looks for runs again, also those that other programs have started; shows them when they are found."""
        self.jobs.look(self._onRunsFound)

    def _onRunsFound(self):
        for view in self._views:
            view.refresh()
        if self.setup.isReady():
            self.keeper.offer(self.jobs.ready)
        self.models.refresh()
        self._offerWeights()

    def onModelsChanged(self):
        """The library is another one: there are other weights to choose from."""
        self.refreshRuns()

    def _offerWeights(self):
        weights = self.jobs.weights
        for choice in (self.finetuning.base, self.evaluation.model, self.evaluation.baseline, self.selection.model):
            choice.offer(weights)
        self.update()

    def onDataChanged(self):
        """The folder, what is known of it, or the split has changed."""
        self.selection.forget()
        self.update()

    def evaluate(self, path):
        """Goes to the tab Evaluate with this model chosen."""
        self.evaluation.model.choose(path)
        self.ui.tabs.setCurrentWidget(self.ui.evaluateTab)

    def onRunEnded(self, job, state, story):
        """A run that was watched has come to its end, well or badly."""
        if state == jobs.FINISHED:
            self.message.show(f"{job.folder.name} is finished.", "done")
        elif state in (jobs.FAILED, jobs.LOST):
            self.message.show(f"{job.folder.name}: {job.error or story.errorText}", "error")
        self.refreshRuns()

    def makeReady(self):
        """Takes the folders as they stand and sets up what is missing; whether all is there then."""
        self.data.settle()
        return self.setup.isReady() or self.onSetUp()

    def onSetUp(self):
        """Gets what is missing; returns whether it is there now."""
        return self._setUp(self.setup.run)

    def onOtherPython(self):
        """Lets a person choose another Python; returns whether it can be used."""
        return self._setUp(self.setup.useOtherPython)

    def showLog(self):
        """Unfolds the log."""
        self.ui.logSection.collapsed = False

    def _setUp(self, action):
        try:
            ready = action(self._uiWidget)
        except KafError as error:
            self.message.showError(error)
            ready = False
        else:
            self.message.show(self.setup.statusText(), "done" if ready else "error")
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
        if self._lookingForDevices is None:
            self._lookingForDevices = ShortJob(self.setup.python(), ["devices"], lambda event: None,
                                               self._onDevices)

    def _onKept(self, job, name):
        """The model of a run is in the library."""
        self.message.show(f"The model of {job.folder.name} is in the library as {name}; KAF Segmentation has it now. "
                          "Its card can be edited in the tab Models.", "done")
        self.models.refresh(name)
        self.onModelsChanged()
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
