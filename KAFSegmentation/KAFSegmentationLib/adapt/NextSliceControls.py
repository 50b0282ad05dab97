"""The button that leads to the slice which the model is least sure of."""

import slicer

from kaf.runtime.errors import InputError
from KAFSegmentationLib.adapt.AdaptRun import reviewKey


class NextSliceControls:
    """Asks the model where it hesitates, unless it has said so while it learned.

    Args:
        button: that shows the next slice.
        logic: an AdaptationLogic.
        message: the MessageLine.
        panel: the AdaptPanel: ``parameters``, ``examples``, ``makeReady``, ``card`` and ``dress``.
    """

    def __init__(self, button, logic, message, panel):
        self._logic, self._message, self._panel = logic, message, panel
        self.forget()
        button.connect("clicked()", self.goToNext)

    def forget(self):
        """Another scan was chosen, or the scene is closing."""
        self._review = self._asked = None
        self.restart()

    def restart(self):
        """Every slice is worth a look again."""
        self._checked = set()

    def isAsking(self):
        """True while the model is asked."""
        return self._asked is not None

    def goToNext(self):
        """Shows the slice that the model is least sure of, among those that are no examples and were not shown yet."""
        scan, review = self._panel.examples.scan, self._current()
        if review is None:
            self._ask(scan)
            return
        index = review.next({*self._panel.examples.slices(), *self._checked})
        if index is None:
            self.restart()
            self._message.show("Every slice was shown or is an example. Press again to begin anew.", "done")
            return
        self._checked.add(index)
        scan.show(index, review.spots[index])
        self._message.show(f"{scan.text(index)}: here the model is least sure. Correct it if need be and add it; a "
                           "slice that is right is a good example, too.")

    def _current(self):
        """The Review that is true of the scan as it is now, or None."""
        parameters, scan = self._panel.parameters, self._panel.examples.scan
        key = reviewKey(scan.geometry, scan.axis)
        learned = self._logic.learned.of(parameters.inputVolume)
        if learned is not None and learned.review.key == key:
            return learned.review
        review, model = self._review or (None, "")
        return review if review is not None and review.key == key and model == parameters.modelName else None

    def _ask(self, scan):
        """Lets the model say how sure it is; the answer leads on."""
        panel, parameters = self._panel, self._panel.parameters
        if parameters.learnNew or not panel.card.labels:
            self._message.showError(InputError("The model", "does not know the new structure yet",
                                               "Draw it on about three slices and press Adapt."))
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
            panel.dress()

        self._message.show("Looking for the slice that the model is least sure of…")
        self._logic.startReview(volume, settings, take)
        panel.dress()
