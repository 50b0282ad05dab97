"""The panel: from a scan and a model to segments."""

from __future__ import annotations

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Message
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptPanel import AdaptPanel
from KAFSegmentationLib.attention.AttentionPanel import AttentionPanel
from KAFSegmentationLib.backend.DeviceControls import DeviceControls
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.backend.Models import PretrainedOnlyError
from KAFSegmentationLib.backend.RemoteComputer import isRemoteChosen
from KAFSegmentationLib.batch.ManyScansPanel import ManyScansPanel
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter
from KAFSegmentationLib.scene.ShownScan import shownScan, showScan
from KAFSegmentationLib.scene.VolumeSequence import VolumeSequence
from KAFSegmentationLib.segment.EditorUndo import saveSegmentEditorState
from KAFSegmentationLib.segment.Forecast import rememberSpeed
from KAFSegmentationLib.segment.ModelButtons import ModelButtons
from KAFSegmentationLib.segment.ModelSelector import ModelSelector
from KAFSegmentationLib.segment.PreRunChecks import PreRunChecks
from KAFSegmentationLib.segment.ResultChoice import ResultChoice
from KAFSegmentationLib.segment.ResultView import ResultView
from KAFSegmentationLib.segment.SampleButton import SampleButton
from KAFSegmentationLib.segment.SegmentationLogic import cancelled
from KAFSegmentationLib.segment.SegmentationRun import doneText, volumesText
from KAFSegmentationLib.segment.UndoButton import UndoButton
from KAFSegmentationLib.segment.WriteConfirmation import WriteConfirmation
from KAFSegmentationLib.setup.SetupControls import PanelSetup, SetupControls
from KAFSegmentationLib.widgets.MessageLine import MessageLine, sentence
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.RunControls import RunControls
from KAFSegmentationLib.widgets.Shortcuts import shortcut

STARTING = _("Starting the model. The first run of a session takes a few seconds longer.")


class SegmentationWidget(VTKObservationMixin):
    """Puts the parts of the panel together.

    Args:
        uiWidget: the loaded .ui file.
        logic: segments, and adapts models.
        setup: gets the packages that a model runs on.
    """

    def __init__(self, uiWidget: qt.QWidget, logic: AdaptationLogic, setup: PanelSetup):
        VTKObservationMixin.__init__(self)
        self.logic, self._uiWidget = logic, uiWidget
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.log = LogView(self.ui.logText, self.ui.copyLogButton)
        self.message = MessageLine(self.ui.messageFrame, self.ui.messageIcon, self.ui.messageLabel, self.log.add)
        self.models = ModelSelector(self.ui, self._keeper("modelName"))
        self.modelButtons = ModelButtons(self.ui, self.models, self.message, self.refreshModels,
                                         lambda: self.sample.load(), uiWidget)
        self.devices = DeviceControls(self.ui, logic.backend, self._keeper("device"), self.update)
        self.controls = RunControls(self.ui.applyButton, self.ui.progressBar, self.onApply, self.onCancel, _("Apply"))
        self.undo = UndoButton(self.ui.undoButton, logic, self._onUndone)
        self.results = ResultView(self.ui, self._keeper("showSurface"))
        self.writeConfirmation, self._choice = WriteConfirmation(uiWidget), ResultChoice()
        self.setUp = SetupControls(self.ui, uiWidget, setup, self.message, self.log,
                                   lambda: self.parameters is not None, self.update, isRemoteChosen)
        self.attention = AttentionPanel(self.ui, logic.backend, self.message, self.runsChanged)
        self.adaptation = AdaptPanel(self.ui, logic, self.log, self.writeConfirmation, self)
        self.manyScans = ManyScansPanel(self.ui, logic, setup.python, self.message, self.log, self)
        self.sample = SampleButton(self.ui.sampleButton, setup, self.message, self.setUp.makeReadyHere,
                                   self._keeper("inputVolume"))
        self._stoppable = self.manyScans, self.adaptation, self.attention
        self.preRunChecks = PreRunChecks(self.ui, self.log, self.models, logic, self.writeConfirmation,
                                         self.refreshModels)
        self.parameters = self._guiTag = self._shownProblem = None
        self._hasWorker = False
        logic.backend.onLog = self.log.add
        logic.beforeWrite.append(saveSegmentEditorState)
        self.ui.outputSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onSegmentationAdded)
        self._shortcuts = [shortcut(uiWidget, "Ctrl+Return", self.controls.press),
                           shortcut(uiWidget, "Ctrl+Shift+Return", self.adaptation.controls.press)]
        self._escape = shortcut(uiWidget, "Esc", self._onEscape)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)

    def enter(self) -> None:
        """The panel is opened, or the scene it was open on has changed."""
        self.attention.enter()
        self.setParameters(self.logic.getParameterNode())
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = shownScan()
        self.setUp.resume()

    def exit(self) -> None:
        """Another module is opened; a run continues."""
        self.attention.exit()
        self.setParameters(None)

    def cleanup(self) -> None:
        """The panel is taken apart: at the end of Slicer, or to be loaded again."""
        self.attention.close()
        self.adaptation.close()
        self.manyScans.close()
        self.devices.close()
        self.setParameters(None)
        self.results.close()
        if saveSegmentEditorState in self.logic.beforeWrite:
            self.logic.beforeWrite.remove(saveSegmentEditorState)
        self.logic.close()
        self.removeObservers()

    def setParameters(self, parameters: Parameters | None) -> None:
        """Binds the panel to the choices of a scene, or with None to nothing."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.parameters = parameters
        self.attention.parameters = self.adaptation.parameters = self.manyScans.parameters = parameters
        if parameters is None:
            return
        parameters.modelName = self.models.refresh(parameters.modelName)
        self._guiTag = parameters.connectGui(self.ui)
        self.devices.show(parameters.device)
        if self._choice.bind(parameters):
            self._forgetScan()
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.update()

    def onApply(self) -> None:
        """Segments, after the set-up if that is missing."""
        if not self.makeReady():
            return
        parameters = self.parameters
        scan, model = parameters.inputVolume, parameters.modelName
        problem, forecast = self.preRunChecks.update(parameters), self.preRunChecks.forecast
        if problem is not None:
            self.message.showError(problem)
            return
        if not self.preRunChecks.confirm(self._uiWidget, parameters):
            return
        mayGoOn, result = self.writeConfirmation.confirm(parameters.outputSegmentation, scan, _("Segment the scan"))
        if not mayGoOn:
            return
        try:
            self.logic.start(
                scan, self.logic.settings(parameters), result, parameters.roi,
                parameters.allFrames and self._isSequence(), self._onEvent,
                lambda *done: self._onDone(scan, model, forecast, *done),
                self.writeConfirmation.isConfirmed(result, scan))
        except KafError as error:
            self.message.showError(error)
            return
        parameters.outputSegmentation = result
        self.controls.start()
        self.message.show(STARTING)
        self.update()

    def onCancel(self) -> None:
        """Stops the run."""
        self.logic.cancel(cancelled(_("Segmentation")))

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""
        return self.setUp.makeReady()

    def runsChanged(self) -> None:
        """Esc stops what runs; else the segment editor wants that key."""
        self._escape.enabled = self.logic.isRunning() or any(part.isRunning for part in self._stoppable)

    def clearMessage(self) -> None:
        """What the message reports has been replaced."""
        self.message.clear()

    def refreshModels(self, name: str | None = None) -> None:
        """The library has changed; ``name`` is chosen, or what was."""
        self.parameters.modelName = self.models.refresh(self.parameters.modelName if name is None else name)

    def _onEvent(self, event):
        self.controls.showProgress(event)
        if isinstance(event, Message) and event.level != "info":
            self.log.add(event.text)  # shown with the result, too, where it stays
        elif not isinstance(event, Message) and self.message.level == "info":
            self.message.clear()

    def _onDone(self, scan, model, forecast, result, error):
        """The run is over, well or badly; meanwhile another scan may have been chosen."""
        self.controls.stop()
        if isinstance(error, Cancelled):
            self.message.show(sentence(error))
        elif error is not None:
            isShown = self.parameters is None or self.parameters.inputVolume in (scan, None)
            text = _("'{scan}' was not segmented.").format(scan=scan.GetName())
            self.message.showError(error, "" if isShown else text)
        else:
            rememberSpeed(model, forecast.device, forecast.pixels, result.seconds.get("network", 0.0))
            self._showResult(scan, result)
        if self.parameters is not None:
            self.update()

    def _showResult(self, scan, result):
        node = result.segmentationNode
        parameters = self.parameters or self.logic.getParameterNode()  # the panel may be closed by now
        if parameters.showSurface:
            node.CreateClosedSurfaceRepresentation()
        self.preRunChecks.isWarm = True
        self.devices.showLastRun(result.place)
        isShown = parameters.inputVolume is scan
        said = self.preRunChecks.warnings if isShown else ()  # they stand above already
        if isShown:
            parameters.outputSegmentation = node
        self.log.add(f"{scan.GetName()}: {volumesText(result.volumes)}.")
        self.message.show(doneText(scan, result, isShown, said), "warning" if result.warnings else "done")

    def update(self, caller: object = None, event: object = None) -> None:
        """Shows what can be done now, and what is in the way."""
        if self.parameters is None or slicer.mrmlScene.IsImporting() or slicer.mrmlScene.IsClosing():
            return  # the choices are incomplete; the module binds the panel anew afterwards
        if self._choice.follow(self.parameters):
            self._forgetScan()
            if self.parameters.inputVolume is not None:
                showScan(self.parameters.inputVolume)
        isReady = self.setUp.update()
        self.sample.update(self.parameters.inputVolume)
        self.ui.framesCheckBox.enabled = self._isSequence()
        running = self.logic.isRunning()
        self.undo.update(self.parameters)
        self.results.show(self.parameters.outputSegmentation)
        card = self.models.card(self.parameters.modelName)
        self.modelButtons.update(self.parameters.modelName, running, self.parameters.inputVolume)
        self.attention.update(card)
        self.adaptation.update(card)
        self.manyScans.update(card)
        self.runsChanged()
        problem = self.preRunChecks.update(self.parameters)
        if running:
            self.controls.allow(self.controls.running, _("Another run is in progress: wait, or press its Cancel"))
            return
        if self.parameters.inputVolume is None:
            self.controls.allow(False, _("Choose a scan first"))
        else:
            self.controls.allow(problem is None, sentence(problem) if problem else _("Segment the scan (Ctrl+Return)"))
        self._showProblem(None if isinstance(problem, PretrainedOnlyError) else problem)  # these can be adapted
        if problem is None and isReady and not self._hasWorker:
            self._hasWorker = True
            self.logic.backend.start()  # loads its libraries ahead of the first run

    def _onUndone(self):
        self.update()
        self.adaptation.message.clear()
        self.message.show(_("The last run was undone; all other changes are kept."), "done")

    def _showProblem(self, problem):
        """Shows a new problem once, and clears one that is gone."""
        before, self._shownProblem = self._shownProblem, str(problem) if problem else None
        if problem is not None and self.parameters.inputVolume is not None:
            self.message.showError(problem)
        elif before is not None and problem is None and self.message.level == "error":
            self.message.clear()

    def _forgetScan(self):
        """Another scan: messages about the one before go; that it was removed during a run stays."""
        if not self.logic.isRunning() and (self.parameters.inputVolume is not None or self.message.level != "error"):
            self.message.clear()
        self._shownProblem = None
        self.adaptation.forgetScan()

    def _onSegmentationAdded(self, node):
        """The selector has made an empty segmentation: it is the scan's."""
        if self.parameters is not None and self.parameters.inputVolume is not None:
            SegmentationWriter(self.parameters.inputVolume, "", []).prepare(node)

    def _isSequence(self):
        return VolumeSequence.of(self.parameters.inputVolume) is not None

    def _keeper(self, name):
        """Keeps a choice among those of the scene, while the panel is open."""

        def keep(value):
            if self.parameters is not None:
                setattr(self.parameters, name, value)

        return keep

    def _onEscape(self):
        if self.controls.running:
            self.onCancel()
        else:
            next((part for part in self._stoppable if part.isRunning), self.adaptation).cancel()

    def _onSceneStartClose(self, caller, event):
        """Every node is about to go."""
        if not self.logic.isRunning():
            self.message.clear()
        self.results.close()
        for part in (self.attention, self.adaptation, self.manyScans, self.writeConfirmation, self.preRunChecks,
                     self._choice):
            part.forget()
        self.setParameters(None)
