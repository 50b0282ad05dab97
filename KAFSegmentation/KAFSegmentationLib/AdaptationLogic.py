"""Segmentation that learns from a person's slices, without any widget."""

import slicer

from kaf.errors import Cancelled, InputError

from .AdaptedModel import AdaptedModel
from .AdaptRun import AdaptRun, reviewKey
from .Models import cardOf
from .Review import Review
from .ScanSlices import ScanSlices
from .SegmentationLogic import SegmentationLogic, knownDevice, workerThreads
from .VolumeGeometry import VolumeGeometry


class AdaptationLogic(SegmentationLogic):
    """Segments volumes and adapts models to them; one run at a time.

    Example, with slices 3 and 7 of the segmentation corrected::

        logic.adapt(volumeNode, segmentationNode, {"model": "cardiac-mr-sax", "slices": [3, 7]})
        logic.saveModel("my-heart")
    """

    def __init__(self, setup=None, backend=None):
        super().__init__(setup, backend)
        self.adapted = self.review = None
        """The AdaptedModel of the last adaptation and its Review, or None."""
        self._adaptedBefore = None, None

    def adaptSettings(self, parameters):
        """The settings of the verb ``adapt`` for the panel's choices, but for the slices."""
        return {"model": parameters.modelName, "device": knownDevice(parameters.device), "threads": workerThreads(),
                "seconds": parameters.adaptSeconds}

    def adapt(self, volumeNode, segmentationNode, settings, newSegments=(), onEvent=lambda event: None):
        """Learns from some slices of a segmentation, segments the others, and waits for it; returns an AdaptResult.

        The model itself stays as it is: see :meth:`saveModel`.

        Args:
            segmentationNode: the slices as they should be, and where the result goes; they stay as drawn.
            settings: those of the verb ``adapt``: ``{"model": name, "slices": [...], "seconds": 40}``. Slices are
                counted as the scan is stored, from 0; without them, those that differ from the last result.
            newSegments: ids of segments that the model does not know, to be learned from nothing; its own
                structures unless given.

        Raises:
            KafError: the words say what is wrong and what to do.
        """
        return self._wait(self._adaptRun(volumeNode, segmentationNode, settings, newSegments), onEvent)

    def saveModel(self, name):
        """Puts the model of the last adaptation into the user's library; returns its Entry.

        Raises:
            KafError: there is none, the name is taken, or the disk refuses.
        """
        if self.adapted is None:
            raise InputError("No model", "was adapted yet", "Press Adapt first.")
        return self.adapted.save(name)

    def startAdapt(self, volumeNode, segmentationNode, settings, newSegments=(), onEvent=lambda event: None,
                   onDone=lambda result, error: None):
        """Adapts in the background, as :meth:`start` segments and :meth:`adapt` does; returns the example slices."""
        self._checkIdle()
        run = self._adaptRun(volumeNode, segmentationNode, settings, newSegments)
        self._begin(run, onEvent, onDone)
        return run.examples

    def corrected(self, volumeNode, segmentationNode, model, newSegments=()):
        """The slices that a person drew or corrected since the last result, counted as the scan is stored, from 0.

        Raises:
            KafError: there is none, or the last result is not known.
        """
        return self._adaptRun(volumeNode, segmentationNode, {"model": model}, newSegments).examples

    def startReview(self, volumeNode, settings, onDone):
        """Asks the model which slices it is least sure of; ``onDone(review, error)`` is called once, with a Review or
        a KafError."""
        geometry = VolumeGeometry(volumeNode)
        geometry.check()
        axis = ScanSlices(volumeNode, cardOf(settings["model"])).axis
        key = reviewKey(geometry, axis)

        def volumes():
            if not slicer.mrmlScene.IsNodePresent(volumeNode):
                raise Cancelled("The review", "was not made", "The scan is gone.")
            return {"image": (geometry.voxels(), geometry.affine())}, {"image": geometry.key()}

        def take(answer, error):
            onDone(None if error else Review.of(answer["arrays"]["uncertainty"][0], key, axis), error)

        self.backend.submit("segment", {**settings, "uncertainty": True}, volumes, lambda event: None, take)

    def undo(self):
        """Puts the segmentation back; the model that was adapted in that run is forgotten with it."""
        if self.canUndo():
            self.adapted, self.review = self._adaptedBefore
        super().undo()

    def _write(self, run, answer):
        before = self.adapted, self.review
        super()._write(run, answer)
        if isinstance(run, AdaptRun):
            self.adapted = AdaptedModel(run.result.modelFile, run.settings["model"])
            self.review = run.result.review
        self._adaptedBefore = before

    def _adaptRun(self, volumeNode, segmentationNode, settings, newSegments):
        memory = self._memories.get(segmentationNode and segmentationNode.GetID())
        return AdaptRun(volumeNode, settings, segmentationNode, newSegments, memory)

