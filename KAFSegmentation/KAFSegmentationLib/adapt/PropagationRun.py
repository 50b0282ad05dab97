"""One update: the finished slices go to the worker, and all others come back labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError
from KAFSegmentationLib.adapt.DrawnSlices import drawnSlices, keepSlices, sliceOf
from KAFSegmentationLib.adapt.PropagationUndo import PropagationUndo
from KAFSegmentationLib.adapt.Structures import Structures, labels
from KAFSegmentationLib.scene.ResultMemory import ResultMemory
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.SegmentationWriter import MODEL_TAG, SegmentationWriter, tag
from KAFSegmentationLib.segment.SegmentationRun import SegmentationResult, SegmentationRun

PROPAGATED_TAG = "KAFSegmentation.Propagated"
"""Marks segments whose unfinished slices nobody has drawn, also when the scene is loaded again."""


class NothingDrawnError(InputError):
    """All finished slices are empty."""


@dataclass
class PropagationResult(SegmentationResult):
    """``report``: what was chosen, how sure each slice is, which to check next (kaf.verbs.propagate);
    ``kept``: unfinished slices with something drawn, as (axis, index), which were left as they are; ``expected``: the
    Dice, 0..1, that the result expects of the slices that it has labelled, on average; None without any."""

    report: dict[str, Any] = field(default_factory=dict)
    kept: list[tuple[int, int]] = field(default_factory=list)
    expected: float | None = None


class PropagationRun(SegmentationRun):
    """Labels the unfinished slices of a scan from the finished ones.

    Args:
        structures: the segments that are finished there; they compete with each other.
        finished: axis of the array -> finished slices along it, counted as the scan is stored, from 0.
        settings: those of the verb ``propagate``, as a plain dictionary, but for slices, axis and labels.
        memory: what was last written into the segmentation, or None.
        clicks: (R, A, S in mm of the volume's own frame, value of the structure or 0).
        otherScan: whether a person has agreed that the segmentation may be another scan's.
        onUndone: called when the update is taken back.

    Raises:
        KafError: the scan or the slices cannot be used; its text says what to do.
    """

    verb = "propagate"

    def __init__(self, structures: Structures, finished: Mapping[int, Sequence[int]], settings: Mapping[str, Any],
                 memory: Callable[[], ResultMemory | None] = lambda: None,
                 clicks: Sequence[tuple[float, float, float, int]] = (), otherScan: bool = False,
                 onUndone: Callable[[], None] = lambda: None):
        super().__init__(structures.volumeNode, settings, structures.node, otherScan=otherScan)
        SegmentationWriter(self.volumeNode, "", []).place(structures.node)
        self.structures, self._memory, self._onUndone = structures, memory, onUndone
        self.accepted = {axis: sorted(slices) for axis, slices in finished.items() if slices}
        self._checkCount()
        scan = ScanSlices(self.volumeNode, None, self.settings.get("axis", ""))
        self.axis = max(self.accepted, key=lambda axis: len(self.accepted[axis]), default=scan.axis)
        self._describe(clicks)
        self.result = PropagationResult(structures.node)
        self._names = [{"value": value, "name": name, "colour": (0, 0, 0)}
                       for value, name in sorted(structures.names.items()) if value in structures.segmentIds]
        self._hasClicks = bool(clicks)
        self._now: dict[int, np.ndarray] = {}  # value -> mask, just before the answer is written
        self._shown: np.ndarray | None = None
        self._machine: dict[str, np.ndarray] = {}

    def volumes(self) -> tuple[dict, dict]:
        """The scan, and what is drawn on it when the request is sent.

        Raises:
            NothingDrawnError: the finished slices are empty.
            InputError: two structures overlap in one.
        """
        self.frame = 0  # the worker may be asked again after it has answered
        arrays, keys = super().volumes()
        masks = self.structures.masks()
        self._checkFinished(masks)
        drawn = labels(masks)
        finished = np.zeros_like(drawn)
        keepSlices(finished, drawn, self._finishedSlices())
        arrays["drawn"] = finished, self.frames[0].affine()
        return arrays, keys

    def undo(self) -> PropagationUndo:
        """What takes the update back."""
        self._now = self.structures.masks()
        return PropagationUndo(self.structures, self._names, labels(self._now), lambda: self._shown, self._onUndone)

    def written(self, before: ResultMemory | None) -> ResultMemory:
        """What was written, or would have been where a person has drawn."""
        return ResultMemory.of(self.volumeNode, self.segmentationNode, self._machine, before)

    def _describe(self, clicks):
        scan = ScanSlices(self.volumeNode)
        planes = {axis: scan.along(axis).plane for axis in self.accepted}
        for axis, plane in planes.items():
            self.settings["slices" if axis == self.axis else plane] = self.accepted[axis]
        if planes:
            self.settings["axis"] = planes[self.axis]
        self.settings["labels"] = {value: self.structures.names[value] for value in self.structures.segmentIds}
        self.settings["confidence"] = False
        if clicks:
            self.settings["clicks"] = [list(click) for click in clicks]

    def _checkCount(self):
        counts = self.frames[0].shape()
        for axis, slices in self.accepted.items():
            wrong = [index for index in slices if not 0 <= index < counts[axis]]
            if wrong:
                raise InputError(_("Slice {number}").format(number=wrong[0] + 1),
                                 _("the scan has only {count} slices").format(count=counts[axis]),
                                 _("Remove it from the finished slices."))

    def _checkFinished(self, masks):
        isEmpty = not (self._hasClicks or self.settings.get("memory"))
        for axis, index in self._finishedSlices():
            depth = sum(np.take(mask, index, axis).astype(np.uint8) for mask in masks.values())
            if (depth > 1).any():
                raise InputError(_("Slice {number}").format(number=index + 1), _("two structures overlap in it"),
                                 _("Erase one of them where they overlap."))
            isEmpty = isEmpty and not depth.any()
        if isEmpty:
            names = ", ".join(f"'{name}'" for value, name in self.structures.names.items()
                              if value in self.structures.segmentIds)
            raise NothingDrawnError(_("Finished slices"), _("none of them shows {structures}").format(structures=names),
                             _("Draw it in at least one slice and accept that slice."))

    def _finishedSlices(self):
        return [(axis, index) for axis, slices in self.accepted.items() for index in slices]

    def _write(self, answer):
        """The labels, with all that a person has drawn left as it is."""
        voxels = np.array(answer["arrays"]["labels"][0])
        if not self.accepted:
            self.axis = ScanSlices(self.volumeNode, None, answer["report"]["plane"]).axis
        masks = self._now
        now, machine = labels(masks), labels(self._lastWritten(masks))
        drawn = now != machine
        for axis, index in self._finishedSlices():
            drawn[sliceOf(axis, index)] = False
        self.result.kept = drawnSlices(drawn)
        # A slice that is taken off the finished ones is still drawn by a person.
        keepSlices(voxels, machine, self._finishedSlices())
        self._machine = {segmentId: voxels == value for value, segmentId in self.structures.segmentIds.items()}
        keepSlices(voxels, now, [*self._finishedSlices(), *self.result.kept])  # also what was drawn meanwhile
        writer = SegmentationWriter(self.volumeNode, "", self._names)
        self._shown, self._now = voxels, {}
        writer.write(voxels, self.segmentationNode, self.structures.segmentIds)
        self._segmentIds = writer.segmentIds
        segmentation = self.segmentationNode.GetSegmentation()
        for segmentId in self._segmentIds:
            segmentation.GetSegment(segmentId).SetTag(PROPAGATED_TAG, "1")
        self.result.report = answer["report"]
        held = np.moveaxis(voxels, self.axis, 0).any(axis=(1, 2))
        scores = [found["confidence"] for index, found in answer["report"]["slices"].items() if held[int(index)]]
        self.result.expected = float(np.mean(scores)) if scores else None

    def _lastWritten(self, masks):
        """Value -> mask of what no person has drawn, as far as that is known."""
        memory, segmentation = self._memory(), self.segmentationNode.GetSegmentation()
        found = {}
        for value, segmentId in self.structures.segmentIds.items():
            before = memory and memory.recall(self.volumeNode, self.segmentationNode, segmentId)
            if before is None:
                segment = segmentation.GetSegment(segmentId)
                isMachine = tag(segment, MODEL_TAG) or tag(segment, PROPAGATED_TAG)  # of a scene that was loaded
                before = masks[value] if isMachine else np.zeros_like(masks[value])
            found[value] = before
        return found
