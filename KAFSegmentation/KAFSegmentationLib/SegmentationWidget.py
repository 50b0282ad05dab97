"""The panel: from a scan and a model to segments, with everything a person should know on the way."""

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from kaf.errors import Cancelled, KafError
from kaf.events import Message

from .AdaptPanel import AdaptPanel
from .AttentionPanel import AttentionPanel
from .DeviceSelector import DeviceSelector
from .EditorUndo import saveSegmentEditorState
from .Forecast import forecast, learnSpeed
from .LogView import LogView
from .MessageLine import MessageLine, sentence
from .ModelButtons import ModelButtons
from .Models import Untaught
from .ModelSelector import ModelSelector
from .RunControls import RunControls
from .ShownScan import shownScan
from .VolumeGeometry import VolumeGeometry
from .VolumeSequence import VolumeSequence

STARTING = "Starting the model; the first time in a session this takes some seconds."


class SegmentationWidget(VTKObservationMixin):
    """Puts the parts of the panel together.

    Args:
        uiWidget: the loaded .ui file.
        logic: an AdaptationLogic.
        setup: a Setup, or what has its isReady, python, statusText, mustContinue, run, useOtherPython and diagnose.
    """

    def __init__(self, uiWidget, logic, setup):
        VTKObservationMixin.__init__(self)
        self.logic, self.setup, self._uiWidget = logic, setup, uiWidget
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.log = LogView(self.ui.logText, self.ui.copyLogButton)
        self.message = MessageLine(self.ui.messageFrame, self.ui.messageIcon, self.ui.messageLabel, self.log.add)
        self.models = ModelSelector(self.ui.modelComboBox, self.ui.modelCardLabel, self._onModelChosen)
        self.modelButtons = ModelButtons(self.ui, self.models, self.message, self._onLibraryChanged)
        self.devices = DeviceSelector(self.ui.deviceComboBox, self.ui.deviceReasonLabel, self._onDeviceChosen)
        self.controls = RunControls(self.ui.applyButton, self.ui.progressBar, self.onApply, self.onCancel)
        self.attention = AttentionPanel(self.ui, logic.backend, self.message)
        self.adaptation = AdaptPanel(self.ui, logic, self)
        self.parameters = None
        self._guiTag = None
        self._forecast = self._model = self._said = None
        self._isWarm = self._hasRun = False
        logic.backend.onLog = self.log.add
        logic.beforeWrite.append(saveSegmentEditorState)
        self.ui.undoButton.connect("clicked()", self.onUndo)
        self.ui.setUpButton.connect("clicked()", self.onSetUp)
        self.ui.otherPythonButton.connect("clicked()", self.onOtherPython)
        self.ui.diagnoseButton.connect("clicked()", self.onDiagnose)
        self._shortcuts = [self._shortcut(uiWidget, "Ctrl+Return", self.controls.press),
                           self._shortcut(uiWidget, "Ctrl+Shift+Return", self.adaptation.controls.press)]
        self._escape = self._shortcut(uiWidget, "Esc", self._onEscape)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.ui.messageFrame.visible = False

    def enter(self):
        """The panel is opened, or the scene it was open on has changed."""
        self.attention.enter()
        self.setParameters(self.logic.getParameterNode())
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = shownScan()
        if self.setup.mustContinue():
            qt.QTimer.singleShot(0, self._continueSetUp)  # not before the panel is drawn

    def exit(self):
        """Another module is opened; a run goes on."""
        self.attention.exit()
        self.setParameters(None)

    def cleanup(self):
        """The panel is taken apart: at the end of Slicer, or to be loaded again."""
        self.attention.close()
        self.adaptation.close()
        self.setParameters(None)
        if saveSegmentEditorState in self.logic.beforeWrite:
            self.logic.beforeWrite.remove(saveSegmentEditorState)
        self.logic.close()
        self.removeObservers()

    def setParameters(self, parameters):
        """Binds the panel to the choices of a scene, or with None to nothing."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.parameters = parameters
        self.attention.parameters = self.adaptation.parameters = parameters
        if parameters is None:
            return
        parameters.modelName = self.models.refresh(parameters.modelName)
        self._guiTag = parameters.connectGui(self.ui)
        self.devices.show(parameters.device)
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.update()

    def onApply(self):
        """Segments, after the set-up if that is missing."""
        if not self.makeReady():
            return
        parameters = self.parameters
        try:
            self._forecast, self._model = self._newForecast(), parameters.modelName
            self.logic.start(
                parameters.inputVolume, self.logic.settings(parameters), parameters.outputSegmentation,
                parameters.roi, parameters.allFrames and self._isSequence(), self._onEvent, self._onDone)
        except KafError as error:
            self.message.showError(error)
            return
        self.controls.start()
        self.message.show(STARTING)
        self.update()

    def onCancel(self):
        """Stops the run."""
        self.logic.cancel(Cancelled("The run", "was stopped", "Nothing was changed."))

    def onUndo(self):
        """Takes back what the last run wrote."""
        if self.takeBack():
            self.message.show("The last run is undone; everything else is as it was.", "done")

    def takeBack(self):
        """Takes back what the last run wrote, but asks if that would lose what was drawn over it; whether it did."""
        changed = self.logic.changedSinceRun()
        if changed and not slicer.util.confirmOkCancelDisplay(
                f"{', '.join(changed)}: changed since the run. Undo takes these changes back, too.",
                "Undo the last run", parent=self._uiWidget):
            return False
        self.logic.undo()
        self.update()
        return True

    def onSetUp(self):
        """Gets what is missing; returns whether it is there now."""
        return self._setUp(self.setup.run)

    def onOtherPython(self):
        """Lets a person choose another Python; returns whether it can be used."""
        return self._setUp(self.setup.useOtherPython)

    def onDiagnose(self):
        """Copies a report about the Python and the packages that KAF runs in."""
        try:
            report = self.setup.diagnose()
        except KafError as error:
            self.message.showError(error)
            return
        self.log.add(report)
        slicer.app.clipboard().setText(report)
        self.message.show("The report is in the log and on the clipboard.", "done")

    def _continueSetUp(self):
        """Goes on with a set-up that Slicer was restarted in the middle of, if the panel is still open."""
        if self.parameters is not None and self.setup.mustContinue():
            self.onSetUp()

    def makeReady(self):
        """Sets up what is missing; whether all is there then."""
        return self.setup.isReady() or self.onSetUp()

    def refreshModels(self):
        """The library has a new model."""
        self.parameters.modelName = self.models.refresh(self.parameters.modelName)

    def _onLibraryChanged(self, name):
        """A model was added, which is chosen at once, or the chosen one was removed."""
        self.parameters.modelName = self.models.refresh(name)

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

    def _onEvent(self, event):
        self.controls.showProgress(event)
        if isinstance(event, Message) and event.level != "info":
            self.log.add(event.text)  # told with the result, where it still stands when the run is over
        elif not isinstance(event, Message) and self.message.level == "info":
            self.message.clear()

    def _onDone(self, result, error):
        """The run is over, well or badly."""
        self.controls.stop()
        if isinstance(error, Cancelled):
            self.message.show(sentence(error))
        elif error is not None:
            self.message.showError(error)
        else:
            self._showResult(result)
        if self.parameters is not None:
            self.update()

    def _showResult(self, result):
        node = result.segmentationNode
        parameters = self.parameters or self.logic.getParameterNode()  # the panel may be closed by now
        parameters.outputSegmentation = node
        if parameters.showSurface:
            node.CreateClosedSurfaceRepresentation()
        self._hasRun = True
        learnSpeed(self._model, self._forecast.device, self._forecast.pixels, result.seconds.get("network", 0.0))
        self.devices.showPlace(result.place)
        found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in result.volumes.items())
        text = f"Done in {max(0.1, sum(result.seconds.values())):.1f} s: {found}."
        self.message.show(" ".join([text, *result.warnings]), "warning" if result.warnings else "done")

    def update(self, caller=None, event=None):
        """Shows what can be done now, and what is in the way."""
        if self.parameters is None:
            return
        isReady = self.setup.isReady()
        self.ui.setUpFrame.visible = not isReady
        if not isReady:
            self.ui.setUpLabel.text = self.setup.statusText()
        self.ui.framesCheckBox.enabled = self._isSequence()
        running = self.logic.isRunning()
        self._escape.enabled = running  # the segment editor wants that key, too
        self.ui.undoButton.enabled = self.logic.canUndo() and not running
        card = self.models.card(self.parameters.modelName)
        self.modelButtons.update(self.parameters.modelName, running)
        self.attention.update(card)
        self.adaptation.update(card)
        if running:
            self.controls.allow(self.controls.running, "The model is learning: wait, or press Cancel below")
            return
        problem = self._problem()
        if self.parameters.inputVolume is None:
            self.ui.forecastLabel.text = "Choose a scan to begin."
            self.controls.allow(False, "Choose a scan first")
        else:
            self.ui.forecastLabel.text = self._forecast.text() if problem is None else \
                sentence(problem) if isinstance(problem, Untaught) else ""
            self.controls.allow(problem is None, sentence(problem) if problem else "Segment the scan (Ctrl+Return)")
        self.ui.forecastLabel.visible = bool(self.ui.forecastLabel.text)
        self._tell(None if isinstance(problem, Untaught) else problem)  # they are of use all the same
        if problem is None and self.setup.isReady() and not self._isWarm:
            self._isWarm = True
            self.logic.backend.start()  # loads while the person still looks

    def _problem(self):
        """The KafError that is in the way of a run, or None."""
        try:
            self._forecast = self._newForecast()
        except KafError as error:
            return error
        return None

    def _newForecast(self):
        geometry = VolumeGeometry(self.parameters.inputVolume)
        geometry.check()
        name = self.parameters.modelName
        problem = self.models.problem(name)
        if problem is not None:
            raise problem
        return forecast(geometry, name, self.models.card(name), self.logic.settings(self.parameters), self._hasRun)

    def _tell(self, problem):
        """Says a new problem once, and takes back one that is gone."""
        said, self._said = self._said, str(problem) if problem else None
        if problem is not None and self.parameters.inputVolume is not None:
            self.message.showError(problem)
        elif said is not None and problem is None and self.message.level == "error":
            self.message.clear()

    def _isSequence(self):
        return VolumeSequence.of(self.parameters.inputVolume) is not None

    def _onModelChosen(self, name):
        if self.parameters is not None:
            self.parameters.modelName = name

    def _onDeviceChosen(self, device):
        if self.parameters is not None:
            self.parameters.device = device

    def _onEscape(self):
        if self.controls.running:
            self.onCancel()
        elif self.adaptation.controls.running:
            self.adaptation.cancel()

    def _onSceneStartClose(self, caller, event):
        """Every node is about to go."""
        self.attention.forget()
        self.adaptation.forget()
        self.setParameters(None)

    def _shortcut(self, uiWidget, keys, function):
        shortcut = qt.QShortcut(qt.QKeySequence(keys), uiWidget)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", function)
        return shortcut
