"""How large the segments of a segmentation are, counted in their label maps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

_LABELMAP = "Binary labelmap"
_PART = 1 << 20  # voxels


def segmentVolumes(node: slicer.vtkMRMLSegmentationNode) -> dict[str, tuple[int, float]]:
    """Voxels and millilitres by id of the segment, in the order of the segments; without those that have no label map.
    Segments that share a layer are counted in one pass over it."""
    segmentation, counts, found = node.GetSegmentation(), {}, {}
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation(_LABELMAP)
        if image is None:
            continue
        if image not in counts:
            scalars = image.GetPointData().GetScalars()
            counts[image] = _counts(vtk_to_numpy(scalars)) if scalars is not None else {}
        voxels = counts[image].get(segment.GetLabelValue(), 0)
        found[segmentId] = voxels, voxels * float(np.prod(image.GetSpacing())) / 1000
    return found


def _counts(values):
    """How often each value occurs; in parts, because counting takes eight times the memory of what it counts."""
    found: Counter[int] = Counter()
    for start in range(0, len(values), _PART):
        part = values[start:start + _PART]
        if part.dtype == np.uint8:
            counts = np.bincount(part)
            kinds = np.flatnonzero(counts)
            counts = counts[kinds]
        else:
            kinds, counts = np.unique(part, return_counts=True)
        found.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
    return found
