"""The scans that are loaded, segmented one after the other by the worker of the panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import slicer

from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Event, Progress
from KAFSegmentationLib.batch.Items import CHECK, DONE, FAILED, RUNNING, WAITING, Item
from KAFSegmentationLib.scene.ResultOwner import resultsOf
from KAFSegmentationLib.scene.SegmentationWriter import MODEL_TAG, tag
from KAFSegmentationLib.scene.SegmentVolumes import segmentVolumes
from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic


def loadedScans() -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Every scan of the scene that a person can see: no label map, no colour picture."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()]


class LoadedScans:
    """Args:
        logic: segments.
    """

    def __init__(self, logic: SegmentationLogic):
        self._logic = logic
        self._left: list[str] = []
        self._failed: dict[str, str] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._current: str | None = None
        self._total = 0
        self._counted: dict[str, tuple[tuple[str, int], dict[str, float]]] = {}  # by scan: of what, and the volumes

    @property
    def isRunning(self) -> bool:
        """Whether a scan is being segmented, or the next one is about to be."""
        return self._current is not None

    def start(self, settings: Mapping[str, Any], onEvent: Callable[[Event], None],
              onChanged: Callable[[], None], onDone: Callable[[KafError | None], None]) -> None:
        """Segments the scans that have no result of the model yet; returns at once.

        Args:
            onEvent: gets the progress over all of them.
            onChanged: called when the state of a scan has changed.
            onDone: called once, with Cancelled or None.
        """
        self._settings, self._onEvent, self._onChanged, self._onDone = dict(settings), onEvent, onChanged, onDone
        self._failed = {}
        self._left = [item.key for item in self.items(settings["model"]) if not item.isDone]
        self._total = len(self._left)
        self._next()

    def cancel(self) -> None:
        """Stops; finished results stay."""
        self._left = []
        if self._current is not None:
            self._logic.cancel()

    def forget(self) -> None:
        """The scene is closing."""
        self._left, self._current = [], None
        self._failed, self._notes, self._counted = {}, {}, {}

    def items(self, model: str) -> list[Item]:
        """What is known of every scan, for this model."""
        return [self._item(node, model) for node in loadedScans()]

    def result(self, key: str, model: str) -> slicer.vtkMRMLSegmentationNode | None:
        """The newest segmentation of a scan in which this model has segments; None if there is none."""
        scan = slicer.mrmlScene.GetNodeByID(key)
        found = [node for node in resultsOf(scan) if _made(node, model)] if scan is not None else []
        return found[-1] if found else None

    def _item(self, node, model):
        key = node.GetID()
        if key == self._current:
            return Item(key, node.GetName(), RUNNING)
        if key in self._failed:
            return Item(key, node.GetName(), FAILED, notes=(self._failed[key],))
        result = self.result(key, model)
        if result is None:
            return Item(key, node.GetName(), WAITING)
        state = result.GetID(), result.GetSegmentation().GetMTime()
        if self._counted.get(key, (None, {}))[0] != state:
            made, segmentation = _made(result, model), result.GetSegmentation()
            self._counted[key] = state, {
                segmentation.GetSegment(segmentId).GetName(): volume
                for segmentId, (_voxels, volume) in segmentVolumes(result).items() if segmentId in made}
        notes = self._notes.get(key, ())
        return Item(key, node.GetName(), CHECK if notes else DONE, self._counted[key][1], notes)

    def _next(self):
        while self._left:
            key = self._left.pop(0)
            scan = slicer.mrmlScene.GetNodeByID(key)
            if scan is None:
                continue
            self._current = key
            try:
                self._logic.start(scan, self._settings, onEvent=self._tell, onDone=self._take)
            except KafError as error:
                self._failed[key] = str(error)
                continue
            self._onChanged()
            return
        self._current = None
        self._onDone(None)

    def _tell(self, event):
        """The progress of one scan as a part of all."""
        if isinstance(event, Progress) and event.total:
            done = self._total - len(self._left) - 1 + event.done / event.total
            left = None
            if event.seconds_left is not None and event.done < event.total:
                each = event.seconds_left * event.total / (event.total - event.done)
                left = event.seconds_left + each * len(self._left)
            event = Progress(event.stage, done, self._total, left)
        self._onEvent(event)

    def _take(self, result, error):
        key = self._current
        if key is None:  # the scene was closed
            return
        if isinstance(error, Cancelled):
            self._current, self._left = None, []
            self._onDone(error)
            return
        if error is not None:
            self._failed[key] = str(error)
        else:
            self._notes[key] = tuple(result.warnings)
        self._next()


def _made(node, model):
    """The segments that a model has made."""
    segmentation = node.GetSegmentation()
    return {segmentId for segmentId in segmentation.GetSegmentIDs()
            if tag(segmentation.GetSegment(segmentId), MODEL_TAG) == model}
