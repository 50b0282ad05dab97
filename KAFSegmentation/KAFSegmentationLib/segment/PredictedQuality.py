"""What the model expects of its own result, kept with the segmentation and saved with the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import slicer

from KAFSegmentationLib.scene.SegmentVolumes import segmentVolumes

ATTRIBUTE = "KAFSegmentation.PredictedQuality"


@dataclass(frozen=True)
class Quality:
    """The predicted Dice of a structure (0..1), its lower bound, and what that means: good, check or doubtful, or
    uncalibrated, without a bound; and how many voxels the structure had: one that was changed since is another."""

    dice: float
    low: float | None
    word: str
    voxels: int

    @classmethod
    def of(cls, values: Any, voxels: int) -> Quality | None:
        """From what a result reports; None where that is of another kind."""
        try:
            low = values["low"]
            return cls(float(values["dice"]), None if low is None else float(low), str(values["word"]), voxels)
        except (KeyError, TypeError, ValueError):
            return None


def keep(node: slicer.vtkMRMLSegmentationNode, predicted: Mapping[str, Quality]) -> None:
    """Keeps the predictions for segments, by id, in place of those before; other segments keep theirs."""
    known = {segmentId: vars(item) for segmentId, item in {**read(node), **predicted}.items()
             if node.GetSegmentation().GetSegment(segmentId) is not None}
    node.SetAttribute(ATTRIBUTE, json.dumps(known) if known else None)


def read(node: slicer.vtkMRMLSegmentationNode) -> dict[str, Quality]:
    """The predictions by id of the segment; without those that cannot be read."""
    try:
        values = json.loads(node.GetAttribute(ATTRIBUTE) or "{}")
        found = {segmentId: Quality.of(item, int(item["voxels"])) for segmentId, item in values.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    return {segmentId: item for segmentId, item in found.items() if item is not None}


def keepPredicted(node: slicer.vtkMRMLSegmentationNode, segments: Mapping[str, str], predicted: Any) -> None:
    """Keeps what a result reports.

    Args:
        segments: segment id by name of the structure.
        predicted: name of the structure -> {"dice": .., "low": .., "word": ..}; anything else counts as nothing.
    """
    voxels = segmentVolumes(node)
    given = predicted if isinstance(predicted, Mapping) else {}
    found = {segmentId: Quality.of(given.get(name), voxels[segmentId][0])
             for name, segmentId in segments.items() if segmentId in voxels}
    keep(node, {segmentId: item for segmentId, item in found.items() if item is not None})
