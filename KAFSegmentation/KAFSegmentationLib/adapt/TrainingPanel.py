"""Train on these slices: a second step, whose result replaces a better one only if a person wants that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Progress
from kaf.runtime.message_codes import TRAINING
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptRun import AdaptResult
from KAFSegmentationLib.adapt.HeldOut import HeldOut, measure, middleHeld
from KAFSegmentationLib.adapt.PropagationPanel import PropagationPanel
from KAFSegmentationLib.adapt.Section import Section
from KAFSegmentationLib.adapt.TrainingForecast import trainingForecast, trainingProblem
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.segment.SegmentationLogic import cancelled
from KAFSegmentationLib.segment.SegmentationRun import volumesText
from KAFSegmentationLib.widgets.MessageLine import MessageLine, sentence
from KAFSegmentationLib.widgets.RunControls import RunControls


class TrainingSection(Section, Protocol):
    """What training needs of its section."""

    propagation: PropagationPanel

    def trained(self, isShown: bool) -> None:
        """Training is over; ``isShown`` where its result is what the panel shows now."""

    def started(self) -> None:
        """Training has begun."""


class TrainingPanel:
    """The button, its progress, and what became of it.

    Args:
        ui: the widgets of the .ui file.
        logic: adapts models.
        log: gets the volumes of the result.
        message: says how it went.
        section: the choices.
    """

    def __init__(self, ui: Any, logic: AdaptationLogic, log: LogView, message: MessageLine, section: TrainingSection):
        self.ui, self._logic, self._log, self._message, self._section = ui, logic, log, message, section
        self.controls = RunControls(ui.adaptButton, ui.adaptProgressBar, self.train, self.cancel, _("Train"))

    def problem(self) -> str:
        """Why nothing can be trained now, a sentence, or nothing."""
        section = self._section
        if self._logic.isRunning():
            return "" if self.controls.running else _("Wait until the scan is segmented.")
        return trainingProblem(section.parameters, section.examples.scan and section.card, section.structures.chosen())

    def forecast(self) -> str:
        """What training would do."""
        section = self._section
        if self._logic.isRunning() or section.examples.scan is None:
            return ""
        scan = ScanSlices(section.parameters.inputVolume, section.card)
        return trainingForecast(section.parameters, len(section.examples.along(scan.axis)), scan.count)

    def train(self) -> None:
        """Learns, and segments again."""
        section, parameters = self._section, self._section.parameters
        if not section.makeReady() or not section.mayWrite(_("Train on these slices")):
            return
        scan = parameters.inputVolume
        axis = ScanSlices(scan, section.card).axis  # the model takes slices of its own direction
        finished, examples = section.examples.finished(), section.examples.along(axis)
        try:
            heldOut = self._heldOut(axis)
            if heldOut is not None:
                examples = [index for index in examples if index != heldOut.index]
            settings = {**self._logic.adaptSettings(parameters), "slices": examples}
            keep = [(other, index) for other, slices in finished.items() for index in slices
                    if other != axis or index not in examples]
            taken = self._logic.startAdapt(scan, parameters.outputSegmentation, settings, section.structures.chosen(),
                                           self.onEvent, lambda *done: self._onDone(scan, *done),
                                           section.isConfirmed(), keep, heldOut)
        except KafError as error:
            self._message.showError(error)
            return
        self.controls.start()
        section.examples.add(taken, axis)
        text = _("Learning from 1 slice for {seconds} s.") if len(taken) == 1 else \
            _("Learning from {count} slices for {seconds} s.")
        self._message.show(text.format(count=len(taken), seconds=f"{parameters.adaptSeconds:.0f}"))
        section.started()

    def cancel(self) -> None:
        """Stops learning."""
        self._logic.cancel(cancelled(_("Learning")))

    def onEvent(self, event: object) -> None:
        """Shows how far it is."""
        if isinstance(event, Progress) and event.code == TRAINING:
            event = replace(event, stage=_("learning"))
        self.controls.showProgress(event)

    def _heldOut(self, axis):
        """The slice to compare on, whose Dice the worker is asked for before it trains; None where nothing is to be
        compared."""
        section = self._section
        if not section.parameters.trainOnlyIfBetter or section.propagation.shown is None:
            return None
        masks = section.propagation.structuresShown().masks()
        index = middleHeld(section.examples.along(axis), axis, masks)
        if index is None:
            return None
        heldOut, finished = HeldOut(axis, index), section.examples.finished()
        finished = {**finished, axis: [other for other in finished[axis] if other != index]}
        section.propagation.loop.answered = None  # the worker will know the comparison last
        measure(section.propagation.run(finished), heldOut, self._logic.backend, self._logic.cancel)
        return heldOut

    def _onDone(self, scan: slicer.vtkMRMLScalarVolumeNode, result: AdaptResult | None, error: KafError | None) -> None:
        """Learning is over, well or badly; meanwhile another scan may have been chosen."""
        self.controls.stop()
        parameters = self._section.parameters
        isShown = parameters is None or parameters.inputVolume in (scan, None)
        if isinstance(error, Cancelled):
            self._message.show(sentence(error))
        elif error is not None:
            text = _("The model was not adapted to '{scan}'.").format(scan=scan.GetName())
            self._message.showError(error, "" if isShown else text)
        else:
            self._showResult(scan, result, isShown)
        self._section.trained(isShown and error is None and result.isBetter)

    def _showResult(self, scan, result, isShown):
        if not result.isBetter:
            text = _("Slice {number} was left out of training to compare: the trained model reaches a Dice of {dice} "
                     "there, and what is shown {shown}. It stays, and nothing was changed.")
            self._message.show(text.format(number=result.heldOut.index + 1, dice=f"{result.heldOutDice:.2f}",
                                           shown=f"{result.heldOut.dice:.2f}"), "done")
            return
        count, level = len(result.examples), "warning" if result.warnings else "done"
        if isShown:
            text = _("Learned from 1 slice.") if count == 1 else _("Learned from {count} slices.")
        else:
            text = _("Learned from 1 slice of '{scan}' and updated '{segmentation}'.") if count == 1 else \
                _("Learned from {count} slices of '{scan}' and updated '{segmentation}'.")
        self._log.add(f"{scan.GetName()}: {volumesText(result.volumes)}.")
        text = text.format(count=count, scan=scan.GetName(), segmentation=result.segmentationNode.GetName())
        self._message.show(" ".join([text, *self._comparison(result), *result.warnings]), level)

    def _comparison(self, result):
        """What the result is worth, a sentence in a list, where it was compared."""
        if result.heldOutDice is None:
            return []
        text = _("Shown: the adapted model, because on slice {number}, which it has not seen, its Dice is {dice}, and "
                 "that of the result before {shown}.")
        return [text.format(number=result.heldOut.index + 1, dice=f"{result.heldOutDice:.2f}",
                            shown=f"{result.heldOut.dice:.2f}")]
