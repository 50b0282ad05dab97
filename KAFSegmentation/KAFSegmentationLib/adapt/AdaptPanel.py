"""The section of the panel where a person corrects or draws slices and the model learns from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Progress
from kaf.runtime.message_codes import TRAINING
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptHost import AdaptHost
from KAFSegmentationLib.adapt.EmbeddedEditor import EmbeddedEditor
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.NextSliceControls import NextSliceControls
from KAFSegmentationLib.adapt.SaveModelControls import SaveModelControls
from KAFSegmentationLib.adapt.StructureChoice import StructureChoice
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SegmentationLogic import cancelled
from KAFSegmentationLib.segment.SegmentationRun import volumesText
from KAFSegmentationLib.segment.WriteConfirmation import WriteConfirmation
from KAFSegmentationLib.widgets.MessageLine import MessageLine, sentence
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.RunControls import RunControls


class AdaptPanel:
    """Examples, what to learn, Adapt, the next slice to check, and the adapted model.

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
        self.controls = RunControls(ui.adaptButton, ui.adaptProgressBar, self.adapt, self.cancel, _("Adapt"))
        self.editor = EmbeddedEditor(ui.editorFrame)
        self.structures = StructureChoice(ui, self._onNewStructure, self.updateControls, writeConfirmation)
        self.examples = ExampleList(ui, self._showExample)
        self.saveModel = SaveModelControls(ui, logic, self.message, self._onSaved)
        self.review = NextSliceControls(ui.nextSliceButton, logic, self.message, self)
        self._parameters: Parameters | None = None
        self.card: Card | None = None
        ui.addExampleButton.connect("clicked()", self.addShown)
        ui.findExamplesButton.connect("clicked()", self.find)
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

    def close(self) -> None:
        """The panel is taken apart."""
        self.editor.close()
        self.structures.forget()
        if self.editor.saveState in self.logic.beforeWrite:
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
        self.review.forget()
        self.saveModel.forgetScan()

    def update(self, card: Card | None) -> None:
        """Brings the section in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        self.card = card
        self._update()

    def addShown(self) -> None:
        """Adds the slice that the view shows."""
        scan = self.examples.scan
        try:
            index = scan.shown()
        except KafError as error:
            self.message.showError(error)
            return
        text = _("{slice} was added to the examples.") if self.examples.add([index]) else \
            _("{slice} is already an example.")
        self.message.show(text.format(slice=scan.text(index)))

    def find(self) -> None:
        """Adds the slices that were corrected since the last result."""
        parameters = self.parameters
        try:
            found = self.logic.corrected(parameters.inputVolume, parameters.outputSegmentation, parameters.modelName,
                                         self.structures.chosen(), self._isConfirmed())
        except KafError as error:
            self.message.showError(error)
            return
        count = len(self.examples.add(found))
        text = _("1 corrected slice was added to the examples.") if count == 1 else \
            _("{count} corrected slices were added to the examples.")
        self.message.show(text.format(count=count) if count else _("All corrected slices are already examples."))

    def adapt(self) -> None:
        """Learns, and segments again."""
        if not self._panel.makeReady():
            return
        parameters = self.parameters
        scan, result = parameters.inputVolume, parameters.outputSegmentation
        if not self._writeConfirmation.confirm(result, scan, _("Learn from the examples"), mayBeNew=False)[0]:
            return
        settings = {**self.logic.adaptSettings(parameters), "slices": self.examples.slices()}
        try:
            taken = self.logic.startAdapt(scan, result, settings, self.structures.chosen(), self._onEvent,
                                          lambda *done: self._onDone(scan, *done), self._isConfirmed())
        except KafError as error:
            self.message.showError(error)
            return
        self.examples.add(taken)
        self.controls.start()
        text = _("Learning from 1 slice for {seconds} s.") if len(taken) == 1 else \
            _("Learning from {count} slices for {seconds} s.")
        self.message.show(text.format(count=len(taken), seconds=f"{parameters.adaptSeconds:.0f}"))
        self._panel.update()

    @property
    def isRunning(self) -> bool:
        """Whether the model learns, or is asked for the next slice."""
        return self.controls.running or self.review.isAsking()

    def cancel(self) -> None:
        """Stops learning, or the search for the next slice."""
        if self.review.isAsking():
            self.review.cancel()
        else:
            self.logic.cancel(cancelled(_("Learning")))

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""
        return self._panel.makeReady()

    def _update(self):
        if self.parameters is None:
            return
        scan = self._scan()
        self.examples.update(scan)
        self.structures.update()
        volume, result = self.parameters.inputVolume, self.parameters.outputSegmentation
        isOpen = scan is not None and self._writeConfirmation.isAllowed(result, volume)
        if self.ui.adaptSection.collapsed or not isOpen:
            self.editor.close()
        else:
            self.editor.open(volume, result, self.logic.isRunning())
        self.ui.editorFrame.visible = isOpen and result is not None
        self.updateControls()

    def updateControls(self) -> None:
        """What can be pressed now, and why not."""
        if self.parameters is None:
            return
        ui, scan, running = self.ui, self.examples.scan, self.logic.isRunning()
        idle = scan is not None and not running
        problem = self._problem()
        for widget in (ui.learnComboBox, ui.structureList, ui.newStructureButton, ui.addExampleButton,
                       ui.adaptSecondsSlider):
            widget.enabled = idle
        self.examples.updateButtons(not running)
        ui.findExamplesButton.enabled = idle and not problem
        ui.nextSliceButton.enabled = idle and not self.review.isAsking()
        self.saveModel.update(self.parameters.inputVolume, running)
        owner = self._writeConfirmation.ownerText(self.parameters.outputSegmentation, self.parameters.inputVolume)
        texts = (problem or self._forecast(), owner, owner and _("Adapt will ask before writing to it."),
                 self.saveModel.unsavedText(self.parameters.inputVolume))
        ui.adaptForecastLabel.text = " ".join(text for text in texts if text)
        ui.adaptForecastLabel.visible = bool(ui.adaptForecastLabel.text)
        self.controls.allow(idle and not problem, problem or _("Learn from the examples (Ctrl+Shift+Return)"))
        self._panel.runsChanged()

    def _problem(self):
        """What is missing, a sentence, or nothing."""
        parameters = self.parameters
        if self.logic.isRunning():
            return "" if self.controls.running else _("Wait until the scan is segmented.")
        if self.examples.scan is None:
            return _("Choose a scan and a model first.")
        if not (parameters.learnNew or self.card.labels):
            return _("Pretrained weights: press Add structure and draw it on about three slices.")
        node = parameters.outputSegmentation
        if node is None or node.GetSegmentation().GetNumberOfSegments() == 0:
            return _("Press Apply and correct the result, or press Add structure and draw it.")
        if parameters.learnNew and not self.structures.chosen():
            return _("Select what to learn, or press Add structure and draw it.")
        return ""

    def _forecast(self):
        marked, scan = len(self.examples.slices()), self.examples.scan
        if self.logic.isRunning() or scan is None:
            return ""
        if not marked:
            return _("No examples yet: Adapt will use the slices that you drew.") if self.parameters.learnNew else \
                _("No examples yet: Adapt will use the slices that you corrected since the last result.")
        text = _("Will learn from 1 slice for {seconds} s, then segment the other {rest}.") if marked == 1 else \
            _("Will learn from {count} slices for {seconds} s, then segment the other {rest}.")
        return text.format(count=marked, seconds=f"{self.parameters.adaptSeconds:.0f}", rest=scan.count - marked)

    def _isConfirmed(self):
        return self._writeConfirmation.isConfirmed(self.parameters.outputSegmentation, self.parameters.inputVolume)

    def _scan(self):
        """The ScanSlices of the chosen scan and model, or None: the panel says why."""
        volume = self.parameters.inputVolume
        try:
            VolumeGeometry(volume).check()
            return ScanSlices(volume, self.card) if self.card is not None else None
        except KafError:
            return None

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.code == TRAINING:
            event = replace(event, stage=_("learning"))
        self.controls.showProgress(event)

    def _onDone(self, scan, result, error):
        """Learning is over, well or badly; meanwhile another scan may have been chosen."""
        self.controls.stop()
        isShown = self.parameters is None or self.parameters.inputVolume in (scan, None)
        if isinstance(error, Cancelled):
            self.message.show(sentence(error))
        elif error is not None:
            text = _("The model was not adapted to '{scan}'.").format(scan=scan.GetName())
            self.message.showError(error, "" if isShown else text)
        else:
            self._showResult(scan, result, isShown)
        self._panel.update()

    def _showResult(self, scan, result, isShown):
        count, level = len(result.examples), "warning" if result.warnings else "done"
        if isShown:
            self.review.restart()
            self._panel.clearMessage()
            text = _("Learned from 1 slice.") if count == 1 else _("Learned from {count} slices.")
        else:
            text = _("Learned from 1 slice of '{scan}' and updated '{segmentation}'.") if count == 1 else \
                _("Learned from {count} slices of '{scan}' and updated '{segmentation}'.")
        self._log.add(f"{scan.GetName()}: {volumesText(result.volumes)}.")
        text = text.format(count=count, scan=scan.GetName(), segmentation=result.segmentationNode.GetName())
        self.message.show(" ".join([text, *result.warnings]), level)

    def _showExample(self, index):
        self.examples.scan.show(index)

    def _onNewStructure(self, segmentId):
        self._update()
        self.editor.select(segmentId)
        self.message.show(_("Draw the structure on about three slices, add each slice as an example, and press Adapt. "
                            "Double-click the name of the segment to rename it."))

    def _onSaved(self):
        self._panel.refreshModels()
        self.updateControls()
