"""The section of the panel that shows what the model attends to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import Cancelled, KafError
from KAFSegmentationLib.attention.AttentionChoices import AttentionChoices
from KAFSegmentationLib.attention.AttentionOverlay import AttentionOverlay
from KAFSegmentationLib.attention.AttentionQuestion import Question, isInside, middle, scaleCount
from KAFSegmentationLib.attention.AttentionViews import ATTENTION, TITLES
from KAFSegmentationLib.backend.Backend import Backend
from KAFSegmentationLib.backend.Devices import knownDevice
from KAFSegmentationLib.scene.KeypointMarkups import KeypointMarkups
from KAFSegmentationLib.scene.MapColors import REGIONS, SCALE
from KAFSegmentationLib.scene.SliceClicks import SliceClicks
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.Parameters import Parameters


class AttentionPanel:
    """Overlays of attention, uncertainty and regions, and keypoints that can be asked.

    Args:
        ui: the widgets of the .ui file.
        backend: a Backend.
        message: where errors are shown.
        onRunning: called when a question is sent, answered or taken back.
    """

    def __init__(self, ui: Any, backend: Backend, message: MessageLine, onRunning: Callable[[], None]):
        self.ui, self.backend, self.message, self._onRunning = ui, backend, message, onRunning
        self.overlay, self.keypoints = AttentionOverlay(), KeypointMarkups()
        self.clicks = SliceClicks(self.ask)
        self._choices = AttentionChoices(ui)
        self._card = self._answer = None
        self._point = self._asked = self._sent = self._ticket = self._shown = None
        self._scan = None  # the volume that question, point and answer are of
        self._isOpen = self._isHidden = False
        self._saving = []
        ui.exportButton.connect("clicked()", self.keep)

    @property
    def parameters(self) -> Parameters | None:
        """The choices of the scene, or None while the panel is closed."""
        return self._choices.parameters

    @parameters.setter
    def parameters(self, parameters: Parameters | None) -> None:
        self._choices.parameters = parameters

    def enter(self) -> None:
        """The panel is opened."""
        self._isOpen = True
        scene = slicer.mrmlScene
        self._saving = [scene.AddObserver(scene.StartSaveEvent, lambda *_: self._hide()),
                        scene.AddObserver(scene.EndSaveEvent, lambda *_: self._showAgain())]

    def exit(self) -> None:
        """Another module is opened: the views are the user's again."""
        self._isOpen = False
        for tag in self._saving:
            slicer.mrmlScene.RemoveObserver(tag)
        self._saving = []
        self.clicks.stop()
        self._hide()
        self._isHidden = True

    def close(self) -> None:
        """Takes everything out of the scene and off the views."""
        self.exit()
        self.clicks.close()
        self._drop()
        self.overlay.remove()
        self.keypoints.remove()

    def forget(self) -> None:
        """The scene is closing."""
        self._scan = None
        self._drop()
        self.clicks.stop()
        self.overlay.forget()
        self.keypoints.forget()

    def update(self, card: Card | None) -> None:
        """Brings the views in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        if self.parameters is None or not self._isOpen:
            return
        self._card = card
        self._followScan()
        self._choices.show(self._card)
        question = self._question()
        if question is None:
            self._drop()
            self._takeOff()
        elif question != self._asked:
            self._ask(question)
        self._style()
        watching = question is not None and self._choices.view(self._card) in ("from", "to")
        if watching != self.clicks.isWatching():
            self.clicks.start() if watching else self.clicks.stop()

    def ask(self, point: Sequence[float]) -> None:
        """Asks about the keypoint nearest to a point of the world (RAS mm), as a click there does."""
        if self.parameters is None or self.parameters.inputVolume is None:
            return
        local = VolumeGeometry(self.parameters.inputVolume).toLocal(point)
        self._point = tuple(round(float(part), 3) for part in local)
        self.update(self._card)

    @property
    def isRunning(self) -> bool:
        """Whether an answer is on its way."""
        return self._ticket is not None

    def cancel(self) -> None:
        """Stops what is being computed; it is asked again when the choices change, or on a click."""
        if self.isRunning:
            asked, self._asked = self._asked, self._sent  # a newer question waits for this answer: that one stops, too
            self.backend.cancel(self._ticket)
            self._asked = asked
            self._takeOff()  # it answers what was asked before
            self.ui.hintLabel.text = _("Stopped. Choose another view, or click in a slice, to compute again.")

    def keep(self) -> None:
        """Keeps the map and the keypoints in the scene."""
        kept = [node.GetName() for node in (self.overlay.keep(), self.keypoints.keep()) if node is not None]
        text = _("Added '{map}' and '{keypoints}'. Both are hidden; show them in the Data module.") \
            if len(kept) > 1 else _("Added '{map}'. It is hidden; show it in the Data module.")
        self.message.show(text.format(map=kept[0], keypoints=kept[-1]), "done")

    def _followScan(self):
        """Nothing of one scan is shown on another, not even until the answer comes."""
        if self.parameters.inputVolume is not self._scan:
            self._scan = self.parameters.inputVolume
            self._drop()
            self._takeOff()
        elif self._isHidden:
            self._showAgain()
        self._isHidden = False

    def _question(self):
        """What the choices ask for, or None: nothing chosen, or a scan or model that cannot be used."""
        view, volume = self._choices.view(self._card), self.parameters.inputVolume
        if view == "off" or self._card is None or volume is None:
            return None
        geometry = VolumeGeometry(volume)
        try:
            geometry.check()
        except KafError:
            return None  # the panel says so already
        inside = self._point is not None and isInside(geometry, self._point)
        point = (self._point if inside else middle(geometry)) if view in ("from", "to") else None
        parameters, scales = self.parameters, scaleCount(self._card)
        heads = self._card.network.get("heads", 0)
        return Question(geometry.key(), view if inside or point is None else "saliency", parameters.modelName,
                        knownDevice(parameters.device),
                        parameters.attentionScale if parameters.attentionScale < scales else -1,
                        parameters.attentionHead if parameters.attentionHead < heads else -1, point)

    def _ask(self, question):
        """Sends a question; one that is on its way is answered first, one that still waits is replaced."""
        self._asked = question
        if self._ticket is not None and self.backend.isRunning(self._ticket):
            return  # its answer leads to the next
        self._withdraw()
        volume = self.parameters.inputVolume
        geometry = VolumeGeometry(volume)

        def volumes():
            if not slicer.mrmlScene.IsNodePresent(volume):
                raise Cancelled(_("Attention"), _("it was not computed"), _("The scan is no longer in the scene."))
            return {"image": (geometry.voxels(), geometry.affine())}, {"image": geometry.key()}

        self.ui.hintLabel.text = _("Computing…")
        self._sent = question
        verb, settings = question.request()
        self._ticket = self.backend.submit(
            verb, settings, volumes, lambda event: None,
            lambda answer, error: self._onDone(question, volume, answer, error))
        self._onRunning()

    def _onDone(self, question, volume, answer, error):
        if question is self._sent:
            self._ticket = self._sent = None
            self._onRunning()
        if self.parameters is None or not slicer.mrmlScene.IsNodePresent(volume):
            return
        if question != self._asked:
            if self._asked is not None:
                self._ask(self._asked)
            return
        self._choices.show(self._card)
        if error is None:
            self._answer = answer
            self._show(question, volume, answer)
        elif not isinstance(error, Cancelled):
            self._takeOff()  # it answers what was asked before
            self.message.showError(error)

    def _show(self, question, volume, answer):
        with slicer.util.RenderBlocker():
            isAttention = question.view in ATTENTION
            array, affine = answer["arrays"]["attention" if isAttention else question.view]
            self._shown = None
            if question.view == "saliency" and self._choices.view(self._card) != "saliency":
                self.overlay.hide()  # only the keypoints that can be clicked
            else:
                self.overlay.show(np.asarray(array), affine, volume, TITLES[question.view],
                                  REGIONS if question.view == "clusters" else SCALE)
            if not isAttention:
                self.keypoints.clear()
            else:
                arrays = answer["arrays"]
                self._shown = [np.array(arrays[part][0]) for part in ("positions", "weights", "slices")], \
                    answer["chosen"], volume
            self._style()
        self.ui.exportButton.enabled = True

    def _style(self):
        """Opacity, threshold, legend and number of keypoints, at once."""
        parameters = self.parameters
        self.overlay.style(parameters.opacity, parameters.hideBelow, parameters.showLegend)
        if self._shown is not None:
            (positions, weights, slices), chosen, volume = self._shown
            self.keypoints.show(positions, weights, slices, chosen, volume, parameters.keypointCount)

    def _withdraw(self):
        ticket, self._ticket = self._ticket, None
        if ticket is not None and not self.backend.isRunning(ticket):
            self.backend.cancel(ticket)

    def _drop(self):
        """No question is open any more; an answer that still comes is not shown."""
        self._asked = None
        self._withdraw()
        self._point = self._answer = self._shown = None

    def _takeOff(self):
        self.overlay.hide()
        self.keypoints.clear()
        self.ui.exportButton.enabled = False

    def _hide(self):
        self.overlay.hide()
        self.keypoints.setVisible(False)

    def _showAgain(self):
        if self._shown is not None or self._answer is not None:
            self.overlay.showAgain()
            self.keypoints.setVisible(True)
