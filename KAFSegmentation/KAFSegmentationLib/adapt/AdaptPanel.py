"""The section of the panel where a person corrects or draws slices and the others follow; a model can be trained on
them as well."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import KafError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptHost import AdaptHost
from KAFSegmentationLib.adapt.ClickTool import ClickTool
from KAFSegmentationLib.adapt.DirectionChoice import DirectionChoice
from KAFSegmentationLib.adapt.EmbeddedEditor import EmbeddedEditor
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.MemoryFiles import MemoryFiles
from KAFSegmentationLib.adapt.NextSliceControls import NextSliceControls
from KAFSegmentationLib.adapt.PropagationPanel import PropagationPanel
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.adapt.SaveModelControls import SaveModelControls
from KAFSegmentationLib.adapt.StructureChoice import StructureChoice
from KAFSegmentationLib.adapt.TrainingPanel import TrainingPanel
from KAFSegmentationLib.adapt.WhereFrom import WhereFrom
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.WriteConfirmation import WriteConfirmation
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.Shortcuts import SectionKeys


class AdaptPanel:
    """Structures, the editor, finished slices and the loop around them; Adapt, and the adapted model.

    Args:
        ui: the widgets of the .ui file.
        logic: adapts models.
        log: gets every message.
        writeConfirmation: asks before another scan's segmentation is written to.
        panel: what is shared with segmenting.
    """

    def __init__(self, ui: Any, logic: AdaptationLogic, log: LogView, writeConfirmation: WriteConfirmation,
                 panel: AdaptHost):
        self.ui, self.logic, self._log, self._panel = ui, logic, log, panel
        self._writeConfirmation = writeConfirmation
        self.message = MessageLine(ui.adaptMessageFrame, ui.adaptMessageIcon, ui.adaptMessageLabel, log.add)
        self.editor = EmbeddedEditor(ui.editorFrame)
        self.structures = StructureChoice(ui, self._onNewStructure, self.updateControls, writeConfirmation)
        self.examples = ExampleList(ui, self._showExample, self._onRemoved)
        self.direction = DirectionChoice(ui.directionComboBox, self._onDirection)
        self.saveModel = SaveModelControls(ui, logic, self.message, self._onSaved)
        self.review = NextSliceControls(ui.nextSliceButton, logic, self.message, self)
        self.propagation = PropagationPanel(ui, logic, self.message, self)
        self.training = TrainingPanel(ui, logic, log, self.message, self)
        self.controls = self.training.controls
        self.whereFrom = WhereFrom(ui.whereFromButton, logic.backend, self.propagation, self.message, self.editor,
                                   lambda: self.clicks.stop())
        self._parameters: Parameters | None = None
        self.card: Card | None = None
        self.clicks = ClickTool(ui, self.message, self.editor, self, self._volume)
        self.memoryFiles = MemoryFiles(ui, logic.backend, self.message, self)
        self._keys = SectionKeys(ui.adaptSection, {
            "A": self.propagation.press, "N": self.review.press, "P": lambda: self.clicks.toggle(True),
            "M": lambda: self.clicks.toggle(False), "U": self.clicks.takeBack})
        ui.adaptSection.connect("contentsCollapsed(bool)", lambda collapsed: self._update())
        logic.beforeWrite.append(self.editor.saveState)

    @property
    def parameters(self) -> Parameters | None:
        """The choices of the scene, or None while the panel is closed."""
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Parameters | None) -> None:
        self._parameters = self.examples.parameters = parameters
        self.structures.bind(parameters)
        if parameters is None:
            self.editor.close()
            self.whereFrom.stop()
            self.clicks.stop()
            self._keys.enable(False)

    def close(self) -> None:
        """The panel is taken apart."""
        self.editor.close()
        self.structures.forget()
        self.propagation.forget()
        self.whereFrom.close()
        self.clicks.close()
        self._keys.close()
        with suppress(ValueError):
            self.logic.beforeWrite.remove(self.editor.saveState)

    def forget(self) -> None:
        """The scene is closing."""
        self.editor.forget()
        self.structures.forget()
        self.examples.forget()
        self.forgetScan()

    def forgetScan(self) -> None:
        """Another scan was chosen: messages and questions about the one before go; that it was removed while the model
        was learning stays."""
        isGone = self.parameters is not None and self.parameters.inputVolume is None
        if not self.controls.running and not (isGone and self.message.level == "error"):
            self.message.clear()
        for part in (self.review, self.propagation, self.whereFrom, self.clicks, self.memoryFiles):
            part.forget()
        self.saveModel.forgetScan()

    def update(self, card: Card | None) -> None:
        """Brings the section in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        self.card = card
        self._update()

    @property
    def isRunning(self) -> bool:
        """Whether the model learns, or is asked for the next slice."""
        return self.controls.running or self.review.isAsking()

    def cancel(self) -> None:
        """Stops learning, or the search for the next slice."""
        if self.review.isAsking():
            self.review.cancel()
        else:
            self.training.cancel()

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""
        return self._panel.makeReady()

    def mayWrite(self, title: str) -> bool:
        """Whether the segmentation may be written; asks, under a title, if it may be another scan's."""
        parameters = self.parameters
        return self._writeConfirmation.confirm(parameters.outputSegmentation, parameters.inputVolume, title,
                                               mayBeNew=False)[0]

    def isConfirmed(self) -> bool:
        """Whether a person has agreed that the segmentation may be another scan's."""
        return self._writeConfirmation.isConfirmed(self.parameters.outputSegmentation, self.parameters.inputVolume)

    def updated(self, run: PropagationRun | None) -> None:
        """The other slices follow the finished ones now; None where that was taken back."""
        self.review.restart(run)
        self.whereFrom.forget()
        if run is not None:
            self._panel.clearMessage()
        self._panel.update()

    @property
    def shownUpdate(self) -> PropagationRun | None:
        """The update that is shown, or None."""
        return self.propagation.shown

    def useMemory(self, names: list[str], text: str) -> None:
        """A memory of these structures is used from now on; they become segments, where they are not yet."""
        if self.mayWrite(_("Update the other slices")):
            self.structures.makeNamed(names)
            self.propagation.update(self.examples.finished(), text)
        self.updateControls()

    def clicked(self, text: str) -> None:
        """A click came or went."""
        if self.mayWrite(_("Update the other slices")):
            self.propagation.update(self.examples.finished(), text)

    def started(self) -> None:
        """Training has begun."""
        self._panel.update()

    def trained(self, isShown: bool) -> None:
        """Training is over; ``isShown`` where its result is what the panel shows now."""
        if isShown:
            self.propagation.forget()
            self.review.restart()
            self.whereFrom.forget()
            self._panel.clearMessage()
        self._panel.update()

    def _update(self):
        if self.parameters is None:
            return
        self.direction.show(self.parameters.drawPlane)
        scan = self._scan()
        self.examples.update(scan)
        self.structures.update()
        volume, result = self.parameters.inputVolume, self.parameters.outputSegmentation
        isOpen = scan is not None and self._writeConfirmation.isAllowed(result, volume)
        isFolded = self.ui.adaptSection.collapsed
        if isFolded or not isOpen:
            self.editor.close()
        else:
            self.editor.open(volume, result, self.logic.isRunning())
        self.ui.editorFrame.visible = isOpen and result is not None
        if self.controls.running:
            self.propagation.loop.drop()
        elif self.logic.isRunning():
            self.propagation.forget()  # the run replaces what would be shown
        self._keys.enable(not isFolded)
        if isFolded:
            self.whereFrom.stop()
            self.clicks.stop()
        self.updateControls()

    def updateControls(self) -> None:
        """What can be pressed now, and why not."""
        if self.parameters is None:
            return
        ui, scan, running = self.ui, self.examples.scan, self.logic.isRunning()
        idle = scan is not None and not running
        problem = self.training.problem()
        for widget in (ui.learnComboBox, ui.structureList, ui.newStructureButton, ui.adaptSecondsSlider,
                       ui.directionComboBox):
            widget.enabled = idle
        self.examples.updateButtons(not running)
        node = self.parameters.outputSegmentation
        ui.addExampleButton.enabled = idle and node is not None and node.GetSegmentation().GetNumberOfSegments() > 0
        ui.findExamplesButton.enabled = idle and not problem
        self.whereFrom.update()
        self.memoryFiles.update(idle)
        self.clicks.update(ui.addExampleButton.enabled)
        ui.nextSliceButton.enabled = idle and not self.review.isAsking()
        self.saveModel.update(self.parameters.inputVolume, running)
        owner = self._writeConfirmation.ownerText(self.parameters.outputSegmentation, self.parameters.inputVolume)
        texts = (problem or self.training.forecast(), owner, owner and _("Train will ask before writing to it."),
                 self.saveModel.unsavedText(self.parameters.inputVolume))
        ui.adaptForecastLabel.text = " ".join(text for text in texts if text)
        ui.adaptForecastLabel.visible = bool(ui.adaptForecastLabel.text)
        self.controls.allow(idle and not problem, problem or _("Train on the finished slices (Ctrl+Shift+Return)"))
        self._panel.runsChanged()

    def _scan(self):
        """The ScanSlices of the chosen scan in the direction that is worked in, or None: the panel says why."""
        volume = self.parameters.inputVolume
        try:
            VolumeGeometry(volume).check()
            return ScanSlices(volume, self.card, self.parameters.drawPlane)
        except KafError:
            return None

    def _volume(self):
        return self.parameters and self.parameters.inputVolume

    def _showExample(self, axis, index):
        self.examples.scan.along(axis).show(index)

    def _onRemoved(self, before):
        if self.propagation.shown is not None or self.propagation.loop.isRunning:
            self.propagation.update(before)

    def _onDirection(self, plane):
        if self.parameters is not None:
            self.parameters.drawPlane = plane

    def _onNewStructure(self, segmentId):
        self._update()
        self.editor.select(segmentId)
        self.message.show(_("Draw the structure on a slice and accept that slice: the others follow. Double-click the "
                            "name of the segment to rename it."))

    def _onSaved(self):
        self._panel.refreshModels()
        self.updateControls()
