"""The button that shows the slice to draw or to check next, and says why that one."""

from __future__ import annotations

from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError, KafError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptRun import reviewKey
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.adapt.Review import Review
from KAFSegmentationLib.adapt.StructureChoice import StructureChoice
from KAFSegmentationLib.backend.Backend import Ticket
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.Parameters import Parameters

BEYOND = "beyond"  # as the verb ``propagate`` reports the place of a slice


class ReviewedPanel(Protocol):
    """What finding the next slice needs of its section."""

    parameters: Parameters | None
    card: Card | None
    examples: ExampleList
    structures: StructureChoice

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""

    def updateControls(self) -> None:
        """Whether the model is being asked has changed."""


class NextSliceControls:
    """Goes by the last update, or by the last adaptation; else asks the model where it is least certain, or where to
    draw first.

    Args:
        button: shows the next slice.
        logic: asks the model.
        message: says which slice it is.
        panel: the choices.
    """

    def __init__(self, button: qt.QPushButton, logic: AdaptationLogic, message: MessageLine, panel: ReviewedPanel):
        self._button, self._logic, self._message, self._panel = button, logic, message, panel
        self.forget()
        button.connect("clicked()", self.goToNext)

    def forget(self) -> None:
        """Another scan was chosen, or the scene is closing."""
        self._review: tuple[Review, str] | None = None
        self._proposed: tuple[tuple, list[int]] | None = None
        self._asked: object | None = None
        self._ticket: Ticket | None = None
        self.restart()

    def restart(self, run: PropagationRun | None = None) -> None:
        """Every slice is to be checked again, in the order that an update has given, if there was one."""
        self._checked: set[int] = set()
        self._update = run and (run, run.frames[0].key())

    def isAsking(self) -> bool:
        """True while the model is asked."""
        return self._asked is not None

    def cancel(self) -> None:
        """Takes the question back."""
        self._asked = None
        self._logic.backend.cancel(self._ticket)
        self._message.show(_("The search for the next slice was stopped."))
        self._panel.updateControls()

    def press(self) -> None:
        """What a click on the button does, for shortcuts."""
        if self._button.enabled:
            self.goToNext()

    def goToNext(self) -> None:
        """Shows the slice to check next, among those that are not finished and were not shown yet."""
        scan = self._panel.examples.scan
        if self._isUpdated(scan):
            self._showAfterUpdate(scan.along(self._update[0].axis))
        elif self._current() is not None:
            self._showUncertain(scan, self._current())
        elif self._panel.structures.isEmpty():
            self._showProposed(scan)
        else:
            self._ask(scan)

    def _isUpdated(self, scan):
        """Whether the last update is of the scan as it is now."""
        return self._update is not None and self._update[1] == scan.geometry.key()

    def _showAfterUpdate(self, scan):
        report = self._update[0].result.report
        index = self._first(report["review"], scan)
        if index is None:
            return
        scan.show(index)
        found = report["slices"][str(index)]
        text = _("{slice}: check this one next. Confidence {confidence}, {distance} mm beyond the outermost finished "
                 "slice. Correct it if necessary, then accept it.") if found["place"] == BEYOND else \
            _("{slice}: check this one next. Confidence {confidence}, {distance} mm from the nearest finished slice. "
              "Correct it if necessary, then accept it.")
        self._message.show(text.format(slice=scan.text(index), confidence=f"{found['confidence']:.2f}",
                                       distance=f"{found['distance_mm']:.0f}"))

    def _showUncertain(self, scan, review):
        index = self._first(review.order, scan)
        if index is None:
            return
        scan.show(index, review.spots[index])
        text = _("{slice}: the model is least certain here. Correct it if necessary, then accept it.")
        self._message.show(text.format(slice=scan.text(index)))

    def _showProposed(self, scan):
        """Where nothing is drawn: the ends and the middle of what the model finds, or parts of the scan."""
        card = self._panel.card
        known = card is not None and card.labels and not self._panel.parameters.learnNew \
            and ScanSlices(scan.geometry.node, card).axis == scan.axis
        proposed = self._proposed and self._proposed[0] == self._key(scan) and self._proposed[1]
        if known and not proposed:
            self._propose(scan)
            return
        slices = proposed or [scan.count // 2, scan.count // 4, (3 * scan.count) // 4]
        index = self._first(slices, scan)
        if index is None:
            return
        scan.show(index)
        text = _("{slice}: one of {count} slices to draw first, the ends of what the model finds and its middle.") \
            if proposed else _("{slice}: draw the structure here if it is visible. Its first and last slices and one "
                               "between them are a good start.")
        self._message.show(text.format(slice=scan.text(index), count=len(slices)))

    def _first(self, order, scan):
        """The first slice of an order that is not finished and was not shown; None, with a message, if there is none.
        """
        done = {*self._panel.examples.along(scan.axis), *self._checked}
        index = next((index for index in order if index not in done), None)
        if index is None:
            self._checked = set()
            self._message.show(_("Every slice has been shown or is finished. Press again to start over."), "done")
        else:
            self._checked.add(index)
        return index

    def _key(self, scan):
        return reviewKey(scan.geometry, scan.axis), self._panel.parameters.modelName

    def _current(self):
        """The Review that is valid for the scan as it is now, or None."""
        parameters, scan = self._panel.parameters, self._panel.examples.scan
        key = reviewKey(scan.geometry, scan.axis)
        adaptation = self._logic.adaptations.of(parameters.inputVolume)
        if adaptation is not None and adaptation.review.key == key:
            return adaptation.review
        review, model = self._review or (None, "")
        return review if review is not None and review.key == key and model == parameters.modelName else None

    def _ask(self, scan):
        """Asks the model how certain it is; its answer shows the slice."""
        panel, parameters = self._panel, self._panel.parameters
        if parameters.learnNew or panel.card is None or not panel.card.labels:
            self._message.showError(InputError(_("Model"), _("it does not know the new structure yet"),
                                               _("Draw it on a slice and accept that slice.")))
            return
        model = parameters.modelName

        def take(review):
            self._review = review, model
            return self._current() is review

        self._submit(lambda settings, done: self._logic.startReview(parameters.inputVolume, settings, done), take,
                     _("Finding the slice where the model is least certain…"))

    def _propose(self, scan):
        """Asks where to draw first."""
        key = self._key(scan)

        def take(slices):
            self._proposed = key, slices
            return self._key(self._panel.examples.scan) == key

        self._submit(lambda settings, done: self._logic.startProposal(scan.geometry.node, settings, done), take,
                     _("Finding the slices to draw first…"))

    def _submit(self, start, take, text):
        """Asks the worker; shows the next slice when ``take`` says that the answer is still of use."""
        panel = self._panel
        if not panel.makeReady():
            return
        settings = self._logic.adaptSettings(panel.parameters)
        del settings["seconds"]
        self._asked = asked = object()
        volume = panel.parameters.inputVolume

        def done(answer: Any, error: KafError | None) -> None:
            if asked is not self._asked:
                return  # the scene was closed, or another scan was chosen
            self._asked = None
            if error is not None:
                self._message.showError(error)
            elif panel.parameters is not None and slicer.mrmlScene.IsNodePresent(volume):
                self._checked = set()
                if panel.examples.scan is not None and take(answer):
                    self.goToNext()
            panel.updateControls()

        self._message.show(text)
        self._ticket = start(settings, done)
        panel.updateControls()
