"""Segmentation that learns from a person's slices, without any widget."""

import slicer

from kaf.runtime.errors import Cancelled, InputError
from KAFSegmentationLib.adapt.Adaptations import Adaptations, Learned
from KAFSegmentationLib.adapt.AdaptedModel import AdaptedModel
from KAFSegmentationLib.adapt.AdaptRun import AdaptRun, reviewKey
from KAFSegmentationLib.adapt.Review import Review
from KAFSegmentationLib.backend.Models import cardOf
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic, knownDevice, workerThreads


class AdaptationLogic(SegmentationLogic):
    """Segments volumes and adapts models to them; one run at a time.

    Example, with slices 3 and 7 of the segmentation corrected::

        logic.adapt(volumeNode, segmentationNode, {"model": "cardiac-mr-sax", "slices": [3, 7]})
        logic.saveModel("my-heart")
    """

    def __init__(self, setup=None, backend=None):
        super().__init__(setup, backend)
        self.learned = Adaptations()
        """What was learned on each scan."""
        self._learnedBefore = None  # of the scan of the last run

    def adaptSettings(self, parameters):
        """The settings of the verb ``adapt`` for the panel's choices, but for the slices."""
        return {"model": parameters.modelName, "device": knownDevice(parameters.device), "threads": workerThreads(),
                "seconds": parameters.adaptSeconds}

    @property
    def adapted(self):
        """The AdaptedModel of the last adaptation, or None."""
        return self.learned.last and self.learned.last.model

    @property
    def review(self):
        """The Review of the last adaptation, or None."""
        return self.learned.last and self.learned.last.review

    def adapt(self, volumeNode, segmentationNode, settings, newSegments=(), onEvent=lambda event: None,
              otherScan=False):
        """Learns from some slices of a segmentation, segments the others, and waits for it; returns an AdaptResult.

        The model itself stays as it is: see :meth:`saveModel`.

        Args:
            segmentationNode: the slices as they should be, and where the result goes; they stay as drawn.
            settings: those of the verb ``adapt``: ``{"model": name, "slices": [...], "seconds": 40}``. Slices are
                counted as the scan is stored, from 0; without them, those that differ from the last result.
            newSegments: ids of segments that the model does not know, to be learned from nothing; its own
                structures unless given.
            otherScan: as for :meth:`process`.

        Raises:
            KafError: the words say what is wrong and what to do.
        """
        return self._wait(self._adaptRun(volumeNode, segmentationNode, settings, newSegments, otherScan), onEvent)

    def saveModel(self, name, learned=None):
        """Puts an adapted model into the user's library; returns its Entry.

        Args:
            learned: which one, of :attr:`learned`; that of the last adaptation unless given.

        Raises:
            KafError: there is none, the name is taken, or the disk refuses.
        """
        learned = learned or self.learned.last
        if learned is None:
            raise InputError("No model", "was adapted yet", "Press Adapt first.")
        entry = learned.model.save(name)
        learned.isSaved = True
        return entry

    def startAdapt(self, volumeNode, segmentationNode, settings, newSegments=(), onEvent=lambda event: None,
                   onDone=lambda result, error: None, otherScan=False):
        """Adapts in the background, as :meth:`start` segments and :meth:`adapt` does; returns the example slices."""
        self._checkIdle()
        run = self._adaptRun(volumeNode, segmentationNode, settings, newSegments, otherScan)
        self._begin(run, onEvent, onDone)
        return run.examples

    def corrected(self, volumeNode, segmentationNode, model, newSegments=(), otherScan=False):
        """The slices that a person drew or corrected since the last result, counted as the scan is stored, from 0.

        Raises:
            KafError: there is none, or the last result is not known.
        """
        return self._adaptRun(volumeNode, segmentationNode, {"model": model}, newSegments, otherScan).examples

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
            self.learned.keep(self._undone[0], self._learnedBefore)
        super().undo()

    def _write(self, run, answer):
        self._learnedBefore = self.learned.of(run.volumeNode)
        super()._write(run, answer)
        if isinstance(run, AdaptRun):
            model = AdaptedModel(run.result.modelFile, run.settings["model"])
            self.learned.keep(run.volumeNode, Learned(model, run.result.review))

    def _adaptRun(self, volumeNode, segmentationNode, settings, newSegments, otherScan):
        memory = self._memories.get(segmentationNode and segmentationNode.GetID())
        return AdaptRun(volumeNode, settings, segmentationNode, newSegments, memory, otherScan)

