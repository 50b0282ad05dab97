"""One adaptation: finished slices go to the worker, and the scan comes back segmented by the adapted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError
from KAFSegmentationLib.adapt.DrawnSlices import keepSlices
from KAFSegmentationLib.adapt.HeldOut import HeldOut
from KAFSegmentationLib.adapt.Review import Review
from KAFSegmentationLib.adapt.Structures import Structures, labels
from KAFSegmentationLib.backend.Models import PretrainedOnlyError, cardOf
from KAFSegmentationLib.scene.ResultMemory import ResultMemory
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SegmentationRun import SegmentationResult, SegmentationRun


@dataclass
class AdaptResult(SegmentationResult):
    """``examples``: the slices that were learned, counted as the scan is stored, from 0; ``review``: which slices to
    check next; ``modelFile``: the adapted model, in the worker's folder; ``heldOut``: the slice that it was judged on;
    ``heldOutDice``: its Dice there, 0..1, or None; ``isBetter``: False where the result shown before stays."""

    examples: list[int] = field(default_factory=list)
    review: Review | None = None
    modelFile: str = ""
    heldOut: HeldOut | None = None
    heldOutDice: float | None = None
    isBetter: bool = True


class AdaptRun(SegmentationRun):
    """Learns from example slices of a segmentation and segments the others.

    Args:
        volumeNode: the scan.
        settings: those of the verb ``adapt``, as a plain dictionary; without ``slices`` those that differ from the
            last result are found.
        segmentationNode: where the person drew, and where the result goes.
        newSegments: ids of segments to learn from nothing; the model's own structures unless given.
        memory: the ResultMemory of the segmentation, or None.
        otherScan: whether a person has agreed that the segmentation may be another scan's.
        keep: further slices, as (axis, index), that stay as drawn.
        heldOut: a finished slice that is no example: unless the adapted model is better there, nothing is written.

    Raises:
        KafError: the scan, the model or the slices cannot be used; its text says what to do.
    """

    verb = "adapt"

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
                 segmentationNode: slicer.vtkMRMLSegmentationNode, newSegments: Sequence[str] = (),
                 memory: ResultMemory | None = None, otherScan: bool = False,
                 keep: Sequence[tuple[int, int]] = (), heldOut: HeldOut | None = None):
        super().__init__(volumeNode, settings, segmentationNode, otherScan=otherScan)
        card = cardOf(settings["model"])
        if segmentationNode is None or segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
            raise InputError(_("Result"), _("nothing has been segmented or drawn yet"),
                             _("Press Apply and correct the result, or press Add structure and draw it."))
        if not (newSegments or card.labels):
            raise PretrainedOnlyError(settings["model"])
        SegmentationWriter(volumeNode, "", []).place(segmentationNode)
        self._isNew = bool(newSegments)
        if self._isNew:
            self.structures = Structures.drawn(volumeNode, segmentationNode, newSegments)
            self.settings["labels"] = self.structures.names
        else:
            self.structures = Structures.ofModel(volumeNode, segmentationNode, settings["model"], card)
        self.slices = ScanSlices(volumeNode, card)
        self._masks = self.structures.masks()
        self.examples = self._examples(memory)
        self.settings["slices"] = self.examples
        self._keptSlices = list(keep)
        self.result = AdaptResult(segmentationNode, examples=self.examples, heldOut=heldOut)
        empty = self.structures.checkExamples(self._masks, self.slices.axis, self.examples)
        if empty:
            text = _("Slice {slices} is empty: the model has learned it as background.") if len(empty) == 1 else \
                _("Slices {slices} are empty: the model has learned them as background.")
            self._warn([text.format(slices=_numbers(empty))])

    def volumes(self) -> tuple[dict, dict]:
        """The scan, and what is drawn on it."""
        arrays, keys = super().volumes()
        arrays["drawn"] = labels(self._masks), self.frames[0].affine()
        return arrays, keys

    def judge(self, answer: Mapping[str, Any]) -> bool:
        """Whether the adapted model is better than what is shown, on the slice that it has not seen."""
        heldOut, result = self.result.heldOut, self.result
        if heldOut is not None and heldOut.dice is not None:
            result.heldOutDice = heldOut.score(answer["arrays"]["labels"][0], self.structures.masks())
            result.isBetter = result.heldOutDice > heldOut.dice
        return result.isBetter

    def _examples(self, memory):
        given = sorted(set(self.settings.get("slices", ())))
        wrong = [index for index in given if not 0 <= index < self.slices.count]
        if wrong:
            raise InputError(_("Slice {number}").format(number=wrong[0] + 1),
                             _("the scan has only {count} slices").format(count=self.slices.count),
                             _("Remove it from the finished slices."))
        examples = given or self.structures.corrected(self._masks, memory, self.slices.axis)
        if not examples:
            raise InputError(_("Finished slices"),
                             _("no slice was accepted, and none was corrected since the last result"),
                             _("Correct or draw some slices, then accept them."))
        return examples

    def _write(self, answer):
        """The labels, with what the person has drawn meanwhile left alone."""
        arrays = answer["arrays"]
        voxels = np.array(arrays["labels"][0])
        uncertainty = arrays.pop("uncertainty")[0]
        now, axis = self.structures.masks(), self.slices.axis
        others = tuple(other for other in range(3) if other != axis)
        edited = np.flatnonzero(sum((now[value] != self._masks[value]).any(axis=others) for value in now))
        if edited.size:
            place = tuple(edited if other == axis else slice(None) for other in range(3))
            voxels[place] = labels(now)[place]
            text = _("Slice {slices} was edited while the model was learning and keeps your edits.") \
                if edited.size == 1 else \
                _("Slices {slices} were edited while the model was learning and keep your edits.")
            self._warn([text.format(slices=_numbers(edited))])
        keepSlices(voxels, labels(now), self._keptSlices)
        writer = SegmentationWriter(self.volumeNode, self.settings["model"], answer["labels"])
        if not self._isNew:
            for value, segmentId in self.structures.segmentIds.items():
                writer.claim(self.segmentationNode, value, segmentId)
        writer.write(voxels, self.segmentationNode, self.structures.segmentIds)
        self._segmentIds = writer.segmentIds
        self.result.review = Review.of(uncertainty, reviewKey(self.frames[0], axis), axis)
        self.result.modelFile = answer["model"]


def reviewKey(geometry: VolumeGeometry, axis: int) -> tuple:
    """What a Review is valid for: a scan as it is, along an axis."""
    return geometry.key(), axis


def _numbers(indices):
    return ", ".join(str(index + 1) for index in indices)
