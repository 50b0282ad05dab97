"""The structures that a person corrected or drew: which segments they are, and what is in them."""

import numpy as np

from kaf.runtime.errors import InputError
from KAFSegmentationLib.scene.ResultMemory import mask
from KAFSegmentationLib.scene.SegmentationWriter import MODEL_TAG, SegmentationWriter, tag


class Structures:
    """Segments that stand for label values of a model.

    Args:
        volumeNode: the scan that they were drawn on.
        segmentationNode: the segmentation they are in.
        segmentIds: value -> segment.
        names: value -> name of the structure.
    """

    def __init__(self, volumeNode, segmentationNode, segmentIds, names):
        self.volumeNode, self.node = volumeNode, segmentationNode
        self.segmentIds, self.names = dict(segmentIds), dict(names)

    @classmethod
    def ofModel(cls, volumeNode, segmentationNode, modelName, card):
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
            raise InputError(segmentationNode.GetName(), f"has no segment of the model '{modelName}'",
                             "Press Apply first, or choose to learn new structures.")
        return cls(volumeNode, segmentationNode, found, card.label_names)

    @classmethod
    def drawn(cls, volumeNode, segmentationNode, segmentIds):
        """New structures, values 1, 2, ... in the order of the segments.

        Raises:
            InputError: none was chosen, or one is gone.
        """
        segmentation = segmentationNode.GetSegmentation()
        if not segmentIds:
            raise InputError("No new structure", "is chosen", "Tick a segment to learn, or press New structure.")
        if len(segmentIds) > 255:
            raise InputError("More than 255 structures", "cannot be learned at once", "Tick fewer segments.")
        names = {}
        for value, segmentId in enumerate(segmentIds, start=1):
            segment = segmentation.GetSegment(segmentId)
            if segment is None:
                raise InputError(f"The segment '{segmentId}'", "is not there any more", "Choose what to learn again.")
            names[value] = segment.GetName()
        return cls(volumeNode, segmentationNode, dict(enumerate(segmentIds, start=1)), names)

    def masks(self):
        """Value -> bool (slice, row, column) of the scan, as it is drawn now.

        Raises:
            InputError: a segment was removed.
        """
        segmentation = self.node.GetSegmentation()
        for value, segmentId in self.segmentIds.items():
            if segmentation.GetSegment(segmentId) is None:
                raise InputError(f"The segment '{self.names[value]}'", "was removed while the model was learning",
                                 "The result was dropped; choose what to learn again.")
        return {value: mask(self.node, segmentId, self.volumeNode) for value, segmentId in self.segmentIds.items()}

    def corrected(self, masks, memory, axis):
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
                    raise InputError("The last result", "is not known any more, so corrections cannot be found",
                                     "Add the slices that you corrected by hand.")
                before = False
            changed |= (now != before).any(axis=tuple(other for other in range(3) if other != axis))
        return np.flatnonzero(changed).tolist()

    def checkExamples(self, masks, axis, slices):
        """Says which of the example slices hold nothing: that teaches the model where nothing is.

        Raises:
            InputError: all of them, or two structures lie over each other there.
        """
        depth = sum(np.take(mask, slices, axis).astype(np.uint8) for mask in masks.values())
        others = tuple(other for other in range(3) if other != axis)
        twice = (depth > 1).any(axis=others)
        if twice.any():
            number = slices[int(np.argmax(twice))] + 1
            raise InputError(f"Two structures lie over each other in slice {number}", "a place can be only one of them",
                             "Erase one of them there.")
        empty = [index for index, filled in zip(slices, depth.any(axis=others), strict=True) if not filled]
        if len(empty) == len(slices):
            names = " or ".join(f"'{self.names[value]}'" for value in masks)
            raise InputError("The example slices", f"hold nothing of {names}",
                             "Draw it in at least one of them, or add a slice that shows it.")
        return empty


def labels(masks):
    """Masks by value as one label map, uint8; where two overlap the lower value wins."""
    result = None
    for value in sorted(masks, reverse=True):
        if result is None:
            result = np.zeros(masks[value].shape, np.uint8)
        result[masks[value]] = value
    return result
