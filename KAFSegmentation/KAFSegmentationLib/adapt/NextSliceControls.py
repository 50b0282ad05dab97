"""The button that shows the slice where the model is least certain."""

from __future__ import annotations

from typing import Protocol

import qt
import slicer
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.AdaptRun import reviewKey
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.Review import Review
from KAFSegmentationLib.backend.Backend import Ticket
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.Parameters import Parameters


class ReviewedPanel(Protocol):
    """What finding the next slice needs of its section."""

    parameters: Parameters | None
    card: Card | None
    examples: ExampleList

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""

    def updateControls(self) -> None:
        """Whether the model is being asked has changed."""


class NextSliceControls:
    """Asks the model where it is least certain, unless that is known from the adaptation.

    Args:
        button: shows the next slice.
        logic: asks the model.
        message: says which slice it is.
        panel: the choices.
    """

    def __init__(self, button: qt.QPushButton, logic: AdaptationLogic, message: MessageLine, panel: ReviewedPanel):
        self._logic, self._message, self._panel = logic, message, panel
        self.forget()
        button.connect("clicked()", self.goToNext)

    def forget(self) -> None:
        """Another scan was chosen, or the scene is closing."""
        self._review: tuple[Review, str] | None = None
        self._asked: object | None = None
        self._ticket: Ticket | None = None
        self.restart()

    def restart(self) -> None:
        """Every slice is to be checked again."""
        self._checked: set[int] = set()

    def isAsking(self) -> bool:
        """True while the model is asked."""
        return self._asked is not None

    def cancel(self) -> None:
        """Takes the question back."""
        self._asked = None
        self._logic.backend.cancel(self._ticket)
        self._message.show(_("The search for the next slice was stopped."))
        self._panel.updateControls()

    def goToNext(self) -> None:
        """Shows the slice that the model is least sure of, among those that are no examples and were not shown yet."""
        scan, review = self._panel.examples.scan, self._current()
        if review is None:
            self._ask(scan)
            return
        index = review.next({*self._panel.examples.slices(), *self._checked})
        if index is None:
            self.restart()
            self._message.show(_("Every slice has been shown or is an example. Press again to start over."), "done")
            return
        self._checked.add(index)
        scan.show(index, review.spots[index])
        text = _("{slice}: the model is least certain here. Correct this slice if necessary and add it to the "
                 "examples; a slice that needs no correction is a good example, too.")
        self._message.show(text.format(slice=scan.text(index)))

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
        if parameters.learnNew or not panel.card.labels:
            self._message.showError(InputError(_("Model"), _("it does not know the new structure yet"),
                                               _("Draw it on about three slices and press Adapt.")))
            return
        if not panel.makeReady():
            return
        model, volume = parameters.modelName, parameters.inputVolume
        settings = self._logic.adaptSettings(parameters)
        del settings["seconds"]
        self._asked = asked = object()

        def take(review, error):
            if asked is not self._asked:
                return  # the scene was closed, or another scan was chosen
            self._asked = None
            if error is not None:
                self._message.showError(error)
            elif panel.parameters is not None and slicer.mrmlScene.IsNodePresent(volume):
                self._review, self._checked = (review, model), set()
                if panel.examples.scan is not None and self._current() is review:
                    self.goToNext()
            panel.updateControls()

        self._message.show(_("Finding the slice where the model is least certain…"))
        self._ticket = self._logic.startReview(volume, settings, take)
        panel.updateControls()
