"""Takes an update of the unfinished slices back, and nothing that was drawn since."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from KAFSegmentationLib.adapt.DrawnSlices import drawnSlices, keepSlices
from KAFSegmentationLib.adapt.Structures import Structures, labels
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter


class PropagationUndo:
    """The structures as they were; after :meth:`written` also as the update left them.

    Args:
        structures: the segments that are about to be written.
        names: their labels, as the writer of segments takes them.
        before: what is in them, as one label map.
        after: what was written, called when it was; None if it was not.
        onUndone: called when the update was taken back.
    """

    def __init__(self, structures: Structures, names: Sequence[Mapping[str, Any]], before: np.ndarray,
                 after: Callable[[], np.ndarray | None], onUndone: Callable[[], None]):
        self.node, self._structures, self._names, self._onUndone = structures.node, structures, list(names), onUndone
        self._before, self._give = _packed(before), after
        self._after: bytes | None = None

    def written(self) -> None:
        """The update has written its labels."""
        after = self._give()
        self._after = None if after is None else _packed(after)

    def isPossible(self) -> bool:
        """Whether there is anything to go back from."""
        segmentation = self.node.GetSegmentation()
        return self._after is not None and slicer.mrmlScene.IsNodePresent(self.node) \
            and slicer.mrmlScene.IsNodePresent(self._structures.volumeNode) \
            and all(segmentation.GetSegment(key) is not None for key in self._structures.segmentIds.values())

    def changedSince(self) -> list[str]:
        """None: slices that were drawn on since stay as they are."""
        return []

    def undo(self) -> None:
        """Puts all slices back but those that were drawn on since."""
        now = labels(self._structures.masks())
        before, after = (_unpacked(packed, now.shape) for packed in (self._before, self._after))
        keepSlices(before, now, drawnSlices(now != after))
        SegmentationWriter(self._structures.volumeNode, "", self._names).write(before, self.node,
                                                                               self._structures.segmentIds)
        self._after = None
        self._onUndone()


def _packed(voxels):
    return zlib.compress(voxels.tobytes(), 1)


def _unpacked(packed, shape):
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape).copy()
