"""Segmentation without any widget: for the panel, for batch mode and for other modules."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from kaf.modelfile.library import Entry
from kaf.runtime.errors import Cancelled, InputError, KafError
from KAFSegmentationLib.backend.Backend import Backend, InterpreterChoice, OnEvent, Ticket
from KAFSegmentationLib.backend.Devices import knownDevice, workerThreads
from KAFSegmentationLib.backend.Models import addModel, cardOf, findCard
from KAFSegmentationLib.scene.ResultMemory import ResultMemory
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SegmentationRun import SegmentationResult, SegmentationRun
from KAFSegmentationLib.segment.SegmentationUndo import Undo
from KAFSegmentationLib.segment.SuitabilityCheck import SuitabilityCheck
from KAFSegmentationLib.setup.PlainSetup import PlainSetup
from KAFSegmentationLib.widgets.Parameters import Parameters

OnDone = Callable[[SegmentationResult | None, KafError | None], None]


class SegmentationLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Segments volumes; one run at a time.

    Example::

        logic = SegmentationLogic()
        result = logic.process(volumeNode, {"model": "cardiac-mr-sax"})
        result.segmentationNode, result.volumes

    Args:
        setup: knows the interpreter that has the packages; Slicer's own unless given.
        backend: what talks to the worker (tests give their own).
    """

    def __init__(self, setup: InterpreterChoice | None = None, backend: Backend | None = None):
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.moduleName = "KAFSegmentation"
        self.backend = backend or Backend(setup or PlainSetup())
        self.beforeWrite: list[Callable[[slicer.vtkMRMLSegmentationNode], None]] = []
        """Functions that are called with an existing segmentation node before segments are written into it."""
        self._run: SegmentationRun | None = None
        self._ticket: Ticket | None = None
        self._onDone: OnDone = lambda result, error: None
        self._undo: Undo | None = None
        self._undone: tuple = ()  # the scan and the segmentation of the last run
        self._memories: dict[str, ResultMemory | None] = {}  # by the id of the segmentation
        self._before: ResultMemory | None = None

    def getParameterNode(self) -> Parameters:
        """The panel's choices, kept in the scene."""
        return Parameters(super().getParameterNode())

    def settings(self, parameters: Parameters) -> dict[str, Any]:
        """The settings of the verb ``segment`` for the panel's choices."""
        settings = {"model": parameters.modelName, "device": knownDevice(parameters.device),
                    "threads": workerThreads(), "flips": parameters.flips}
        card = findCard(parameters.modelName)
        if parameters.largestComponent and card is not None:
            settings["largest_component"] = [label.value for label in card.labels]
        return settings

    def addModel(self, path: str | Path) -> Entry:
        """Adds a model file (.safetensors) to the models of this computer, without a question and without torch;
        returns its Entry, whose name goes into the settings.

        Raises:
            KafError: it is no model of KAF (a pickle is never opened), is damaged, or the disk refuses.
        """
        return addModel(path)

    def suitabilityWarnings(self, volumeNode: slicer.vtkMRMLScalarVolumeNode,
                            settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Why a result of these settings on this scan may be wrong, in sentences; none where scan and model go
        together. The result has them among its warnings.

        Raises:
            KafError: the scan or the model cannot be used.
        """
        VolumeGeometry(volumeNode).check()
        return SuitabilityCheck().warnings(volumeNode, cardOf(settings["model"]), bool(settings.get("flips")))

    def process(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
                segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
                roiNode: slicer.vtkMRMLMarkupsROINode | None = None, allFrames: bool = False,
                onEvent: OnEvent = lambda event: None, otherScan: bool = False) -> SegmentationResult:
        """Segments and waits for it; returns a SegmentationResult. Needs no event loop.

        Args:
            settings: those of the verb ``segment``: ``{"model": name, ...}``, as in a settings file.
            otherScan: write into a segmentation that belongs to another scan, which is refused otherwise.

        Raises:
            KafError: its text says what is wrong and what to do.
        """
        run = SegmentationRun(volumeNode, settings, segmentationNode, roiNode, allFrames, otherScan)
        return self._wait(run, onEvent)

    def start(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
              segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
              roiNode: slicer.vtkMRMLMarkupsROINode | None = None, allFrames: bool = False,
              onEvent: OnEvent = lambda event: None, onDone: OnDone = lambda result, error: None,
              otherScan: bool = False) -> None:
        """Segments in the background; returns at once.

        Args:
            onEvent: called with every Progress and Message.
            onDone: called once with (SegmentationResult, None) or (None, KafError).
            otherScan: as for :meth:`process`.

        Raises:
            InputError: the volume cannot be segmented, the segmentation is another scan's, or a run is on its way.
        """
        self._checkIdle()
        run = SegmentationRun(volumeNode, settings, segmentationNode, roiNode, allFrames, otherScan)
        self._begin(run, onEvent, onDone)

    def _wait(self, run, onEvent):
        while not run.finished:
            answer = self.backend.run(run.verb, run.settings, run.volumes, lambda e: onEvent(run.overall(e)),
                                      run.options())
            self._write(run, answer)
        return run.result

    def _checkIdle(self):
        if self._run is not None:
            raise InputError("KAF", _("a run is already in progress"),
                             _("Wait until it has finished, or press Cancel."))

    def _begin(self, run, onEvent, onDone):
        self._run, self._onDone = run, onDone
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeRemoved)
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneClose)
        self._submit(onEvent)

    def isRunning(self) -> bool:
        """True from :meth:`start` until ``onDone`` was called."""
        return self._run is not None

    def cancel(self, error: KafError | None = None) -> None:
        """Stops the run; nothing is written. ``onDone`` gets ``error``, or Cancelled."""
        if self._run is not None:
            ticket, self._ticket = self._ticket, None
            self._finish(None, error or cancelled(_("Segmentation")))
            self.backend.cancel(ticket)

    def close(self) -> None:
        """Ends the worker; a run on its way is dropped."""
        self.cancel()
        self.backend.close()
        self.removeObservers()

    def runningOn(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The scan that a run is on its way for, or None."""
        return self._run and self._run.volumeNode

    def runningInto(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segmentation that a run is going to write into; None for a new one."""
        return self._run and self._run.segmentationNode

    def canUndo(self, *where: slicer.vtkMRMLNode | None) -> bool:
        """Whether the last run wrote into a segmentation that was there before and still is; not for sequences.

        Args:
            where: the scan and the segmentation that it must have been of; any unless given.
        """
        return self._undo is not None and self._undo.isPossible() and where in ((), self._undone)

    def changedSinceRun(self) -> list[str]:
        """The names of the last run's segments that somebody has changed since: :meth:`undo` would undo that too."""
        return self._undo.changedSince() if self.canUndo() else []

    def undo(self) -> None:
        """Puts the segments of the last run back to what they were before it; all others stay as they are."""
        if not self.canUndo():
            return
        for function in self.beforeWrite:
            function(self._undo.node)
        self._undo.undo()
        self._memories[self._undo.node.GetID()] = self._before
        self._undo = None

    def _submit(self, onEvent):
        run = self._run
        self._ticket = self.backend.submit(
            run.verb, run.settings, run.volumes, lambda event: onEvent(run.overall(event)),
            lambda answer, error: self._take(run, answer, error, onEvent), run.options())

    def _take(self, run, answer, error, onEvent):
        """The answer of the worker for one time point."""
        if run is not self._run or self._ticket is None:
            return  # cancelled meanwhile
        if error is None:
            try:
                self._write(run, answer)
            except KafError as problem:
                error = problem
            except Exception as problem:
                self.backend.onLog(traceback.format_exc())
                error = KafError(_("Result"), _("it could not be written ({error})").format(error=problem),
                                 _("Please report it with the log below."))
        if error is None and not run.finished:
            self._submit(onEvent)
            return
        self._finish(run.result if error is None else None, error)

    def _finish(self, result, error):
        self._run = self._ticket = None
        self.removeObservers()
        self._onDone(result, error)

    def _write(self, run, answer):
        """An answer becomes segments, and what is needed later is remembered."""
        self._beforeWrite(run)
        try:
            run.take(answer)
        finally:
            if self._undo is not None:
                self._undo.written()
        if run.finished:
            self._memories[run.segmentationNode.GetID()] = run.written(self._before)

    def _beforeWrite(self, run):
        """Remembers the state to undo to, here and wherever somebody asked to be notified."""
        node = run.segmentationNode
        if run.frame > 0:
            return
        self._undo = self._before = None
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            return
        for function in self.beforeWrite:
            function(node)
        self._undo, self._undone = run.undo(), (run.volumeNode, node)
        self._before = self._memories.get(node.GetID())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, caller, event, node):
        if self._run is not None and any(node is needed for needed in self._run.nodes()):
            self.cancel(InputError(node.GetName(), _("this node was removed while the model was running"),
                                   _("The run was stopped and nothing was written.")))

    def _onSceneClose(self, caller, event):
        self.cancel(Cancelled(_("Segmentation"), _("stopped because the scene was closed"),
                              _("Load a scan and press Apply.")))


def cancelled(subject: str) -> Cancelled:
    """The error of a run that a person stopped."""
    return Cancelled(subject, _("stopped"), _("Nothing was changed."))
