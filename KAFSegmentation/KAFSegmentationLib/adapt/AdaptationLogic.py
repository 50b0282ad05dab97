"""Segmentation that learns from a person's slices, without any widget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from kaf.modelfile.library import Entry
from kaf.runtime.errors import Cancelled, InputError, KafError
from KAFSegmentationLib.adapt.Adaptations import Adaptation, Adaptations
from KAFSegmentationLib.adapt.AdaptedModel import AdaptedModel
from KAFSegmentationLib.adapt.AdaptRun import AdaptResult, AdaptRun, reviewKey
from KAFSegmentationLib.adapt.HeldOut import HeldOut
from KAFSegmentationLib.adapt.PropagationRun import PropagationResult, PropagationRun
from KAFSegmentationLib.adapt.Review import Review
from KAFSegmentationLib.adapt.Structures import Structures
from KAFSegmentationLib.backend.Backend import Backend, InterpreterChoice, OnEvent, Ticket
from KAFSegmentationLib.backend.Devices import knownDevice, workerThreads
from KAFSegmentationLib.backend.Models import cardOf
from KAFSegmentationLib.scene.ResultMemory import ResultMemory
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SegmentationLogic import OnDone, SegmentationLogic
from KAFSegmentationLib.segment.SegmentationRun import SegmentationRun
from KAFSegmentationLib.widgets.Parameters import Parameters


class AdaptationLogic(SegmentationLogic):
    """Segments volumes and adapts models to them; one run at a time.

    Example, with slices 3 and 7 of the segmentation corrected::

        logic.adapt(volumeNode, segmentationNode, {"model": "cardiac-mr-sax", "slices": [3, 7]})
        logic.saveModel("my-heart")
    """

    def __init__(self, setup: InterpreterChoice | None = None, backend: Backend | None = None):
        super().__init__(setup, backend)
        self.adaptations = Adaptations()
        """The adapted model of each scan."""
        self._adaptationBefore: Adaptation | None = None  # of the scan of the last run

    def adaptSettings(self, parameters: Parameters) -> dict[str, Any]:
        """The settings of the verb ``adapt`` for the panel's choices, but for the slices."""
        return {"model": parameters.modelName, "device": knownDevice(parameters.device), "threads": workerThreads(),
                "seconds": parameters.adaptSeconds}

    @property
    def adapted(self) -> AdaptedModel | None:
        """The AdaptedModel of the last adaptation, or None."""
        return self.adaptations.last and self.adaptations.last.model

    @property
    def review(self) -> Review | None:
        """The Review of the last adaptation, or None."""
        return self.adaptations.last and self.adaptations.last.review

    def adapt(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
              settings: Mapping[str, Any], newSegments: Sequence[str] = (), onEvent: OnEvent = lambda event: None,
              otherScan: bool = False) -> AdaptResult:
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
            KafError: its text says what is wrong and what to do.
        """
        return self._wait(self._adaptRun(volumeNode, segmentationNode, settings, newSegments, otherScan), onEvent)

    def propagate(self, structures: Structures, finished: Mapping[int, Sequence[int]],
                  settings: Mapping[str, Any] | None = None, onEvent: OnEvent = lambda event: None,
                  otherScan: bool = False) -> PropagationResult:
        """Labels the unfinished slices of a scan from the finished ones at once, without training, and waits for it;
        returns a PropagationResult. What somebody has drawn in unfinished slices is kept.

        Example, with slices 3 and 9 of a segment finished::

            logic.propagate(Structures.drawn(volumeNode, segmentationNode, [segmentId]), {0: [3, 9]})

        Args:
            structures: the segments that are finished in these slices.
            finished: axis of the array -> finished slices along it, counted as the scan is stored, from 0.
            settings: those of the verb ``propagate``, but for the slices.
            otherScan: as for :meth:`process`.

        Raises:
            KafError: its text says what is wrong and what to do.
        """
        run = PropagationRun(structures, finished, settings or {}, lambda: self.memoryOf(structures.node),
                             otherScan=otherScan)
        return self._wait(run, onEvent)

    def memoryOf(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> ResultMemory | None:
        """What was last written into a segmentation, as far as that is known."""
        return self._memories.get(segmentationNode.GetID())

    def write(self, run: SegmentationRun, answer: Mapping[str, Any]) -> None:
        """Writes the answer to a run that was not begun here, and remembers how to undo it.

        Raises:
            KafError: it no longer fits the scene.
        """
        self._write(run, answer)

    def saveModel(self, name: str, adaptation: Adaptation | None = None) -> Entry:
        """Puts an adapted model into the user's library; returns its Entry.

        Args:
            adaptation: which one, of :attr:`adaptations`; the last one unless given.

        Raises:
            KafError: there is none, the name is taken, or the disk refuses.
        """
        adaptation = adaptation or self.adaptations.last
        if adaptation is None:
            raise InputError(_("Model"), _("none has been adapted yet"), _("Press Train first."))
        entry = adaptation.model.save(name)
        adaptation.isSaved = True
        return entry

    def startAdapt(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
                   settings: Mapping[str, Any], newSegments: Sequence[str] = (),
                   onEvent: OnEvent = lambda event: None, onDone: OnDone = lambda result, error: None,
                   otherScan: bool = False, keep: Sequence[tuple[int, int]] = (),
                   heldOut: HeldOut | None = None) -> list[int]:
        """Adapts in the background, as :meth:`start` segments and :meth:`adapt` does; returns the example slices.

        Args:
            keep: further slices, as (axis, index), that stay as drawn.
            heldOut: a finished slice that is no example: unless the adapted model is better there, nothing is written.
        """
        self._checkIdle()
        run = self._adaptRun(volumeNode, segmentationNode, settings, newSegments, otherScan, keep, heldOut)
        self._begin(run, onEvent, onDone)
        return run.examples

    def corrected(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
                  model: str, newSegments: Sequence[str] = (), otherScan: bool = False) -> list[int]:
        """The slices that a person drew or corrected since the last result, counted as the scan is stored, from 0.

        Raises:
            KafError: there is none, or the last result is not known.
        """
        return self._adaptRun(volumeNode, segmentationNode, {"model": model}, newSegments, otherScan).examples

    def startReview(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
                    onDone: Callable[[Review | None, KafError | None], None]) -> Ticket:
        """Asks the model which slices it is least sure of; ``onDone(review, error)`` is called once, with a Review or
        a KafError. Returns what the backend can take the question back by."""
        volumes = self._scanOf(volumeNode, _("Uncertainty"))
        axis = ScanSlices(volumeNode, cardOf(settings["model"])).axis
        key = reviewKey(VolumeGeometry(volumeNode), axis)

        def take(answer, error):
            onDone(None if error else Review.of(answer["arrays"]["uncertainty"][0], key, axis), error)

        return self.backend.submit("segment", {**settings, "uncertainty": True}, volumes, lambda event: None, take)

    def startProposal(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
                      onDone: Callable[[list[int] | None, KafError | None], None]) -> Ticket:
        """Asks which slices to draw first: the ends of what the model finds, and its middle, along the model's axis.

        ``onDone(slices, error)`` is called once. Returns what the backend can take the question back by."""
        return self.backend.submit("propose", settings, self._scanOf(volumeNode, _("Slices to draw first")),
                                   lambda event: None,
                                   lambda answer, error: onDone(None if error else answer["slices"], error))

    def _scanOf(self, volumeNode, what):
        """A function that gives the worker the scan of a question, if it is still there."""
        geometry = VolumeGeometry(volumeNode)
        geometry.check()

        def volumes():
            if not slicer.mrmlScene.IsNodePresent(volumeNode):
                raise Cancelled(what, _("it was not computed"), _("The scan is no longer in the scene."))
            return {"image": (geometry.voxels(), geometry.affine())}, {"image": geometry.key()}

        return volumes

    def undo(self) -> None:
        """Puts the segmentation back; the model that was adapted in that run is forgotten with it."""
        if self.canUndo():
            self.adaptations.keep(self._undone[0], self._adaptationBefore)
        super().undo()

    def _write(self, run, answer):
        if isinstance(run, AdaptRun) and not run.judge(answer):
            run.frame += 1  # what is shown is better and stays, with its own undo
            return
        self._adaptationBefore = self.adaptations.of(run.volumeNode)
        super()._write(run, answer)
        if isinstance(run, AdaptRun):
            model = AdaptedModel(run.result.modelFile, run.settings["model"])
            self.adaptations.keep(run.volumeNode, Adaptation(model, run.result.review))

    def _adaptRun(self, volumeNode, segmentationNode, settings, newSegments, otherScan, keep=(), heldOut=None):
        memory = self._memories.get(segmentationNode and segmentationNode.GetID())
        return AdaptRun(volumeNode, settings, segmentationNode, newSegments, memory, otherScan, keep, heldOut)

