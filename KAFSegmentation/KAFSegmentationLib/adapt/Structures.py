"""The structures that a person corrected or drew: which segments they are, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.ResultMemory import ResultMemory, mask
from KAFSegmentationLib.scene.SegmentationWriter import MODEL_TAG, SegmentationWriter, tag


class Structures:
    """Segments that stand for label values of a model.

    Args:
        volumeNode: the scan that they were drawn on.
        segmentationNode: the segmentation they are in.
        segmentIds: value -> segment.
        names: value -> name of the structure.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
                 segmentIds: Mapping[int, str], names: Mapping[int, str]):
        self.volumeNode, self.node = volumeNode, segmentationNode
        self.segmentIds, self.names = dict(segmentIds), dict(names)

    @classmethod
    def ofModel(cls, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
                modelName: str, card: Card) -> Structures:
        """The structures of a model: the segments that it made, else those that are called like its structures.

        Raises:
            InputError: there is none.
        """
        writer = SegmentationWriter(volumeNode, modelName, [])
        segmentation = segmentationNode.GetSegmentation()
        byName = {segmentation.GetSegment(key).GetName().casefold(): key for key in segmentation.GetSegmentIDs()}
        found = {value: writer.find(segmentationNode, value) or byName.get(name.casefold())
                 for value, name in card.label_names.items()}
        found = {value: segmentId for value, segmentId in found.items() if segmentId is not None}
        if not found:
            raise InputError(segmentationNode.GetName(),
                             _("it has no segment of the model '{model}'").format(model=modelName),
                             _("Press Apply first, or choose to learn new structures."))
        return cls(volumeNode, segmentationNode, found, card.label_names)

    @classmethod
    def drawn(cls, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode,
              segmentIds: Sequence[str]) -> Structures:
        """New structures, values 1, 2, ... in the order of the segments.

        Raises:
            InputError: none was chosen, or one is gone.
        """
        segmentation = segmentationNode.GetSegmentation()
        if not segmentIds:
            raise InputError(_("New structures"), _("none is selected"),
                             _("Select a segment, or press Add structure."))
        if len(segmentIds) > 255:
            raise InputError(_("New structures"), _("no more than 255 can be learned at once"),
                             _("Select fewer segments."))
        names = {}
        for value, segmentId in enumerate(segmentIds, start=1):
            segment = segmentation.GetSegment(segmentId)
            if segment is None:
                raise InputError(segmentId, _("this segment no longer exists"), _("Choose again what to learn."))
            names[value] = segment.GetName()
        return cls(volumeNode, segmentationNode, dict(enumerate(segmentIds, start=1)), names)

    def masks(self) -> dict[int, np.ndarray]:
        """Value -> bool (slice, row, column) of the scan, as it is drawn now.

        Raises:
            InputError: a segment was removed.
        """
        segmentation = self.node.GetSegmentation()
        for value, segmentId in self.segmentIds.items():
            if segmentation.GetSegment(segmentId) is None:
                raise InputError(self.names[value], _("this segment was removed while the model was learning"),
                                 _("The result was discarded; choose again what to learn."))
        return {value: mask(self.node, segmentId, self.volumeNode) for value, segmentId in self.segmentIds.items()}

    def corrected(self, masks: Mapping[int, np.ndarray], memory: ResultMemory | None, axis: int) -> list[int]:
        """The slices along ``axis`` that differ from the last result: drawn or corrected by the person.

        What no model made is compared with nothing: every slice that holds some of it counts.

        Args:
            memory: the ResultMemory of the segmentation, or None.

        Raises:
            InputError: the last result is not known.
        """
        changed = np.zeros(self.volumeNode.GetImageData().GetDimensions()[2 - axis], bool)
        for value, now in masks.items():
            before = memory and memory.recall(self.volumeNode, self.node, self.segmentIds[value])
            if before is None:
                segment = self.node.GetSegmentation().GetSegment(self.segmentIds[value])
                if tag(segment, MODEL_TAG):
                    raise InputError(_("Last result"), _("it is no longer known, so corrected slices cannot be found"),
                                     _("Accept the slices that you corrected one by one."))
                before = False
            changed |= (now != before).any(axis=tuple(other for other in range(3) if other != axis))
        return np.flatnonzero(changed).tolist()

    def checkExamples(self, masks: Mapping[int, np.ndarray], axis: int, slices: Sequence[int]) -> list[int]:
        """The example slices that are empty: they teach the model what is background.

        Raises:
            InputError: all of them, or two structures lie over each other there.
        """
        depth = sum(np.take(mask, slices, axis).astype(np.uint8) for mask in masks.values())
        others = tuple(other for other in range(3) if other != axis)
        twice = (depth > 1).any(axis=others)
        if twice.any():
            number = slices[int(np.argmax(twice))] + 1
            raise InputError(_("Slice {number}").format(number=number), _("two structures overlap in it"),
                             _("Erase one of them where they overlap."))
        empty = [index for index, filled in zip(slices, depth.any(axis=others), strict=True) if not filled]
        if len(empty) == len(slices):
            names = ", ".join(f"'{self.names[value]}'" for value in masks)
            raise InputError(_("Finished slices"), _("none of them shows {structures}").format(structures=names),
                             _("Draw it in at least one of them, or accept a slice that shows it."))
        return empty


def labels(masks: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """Masks by value as one label map, uint8; where two overlap the lower value wins."""
    result = None
    for value in sorted(masks, reverse=True):
        if result is None:
            result = np.zeros(masks[value].shape, np.uint8)
        result[masks[value]] = value
    return result
