"""Which models go with a scan."""

from __future__ import annotations

from collections.abc import Iterable

import slicer

from kaf.modelfile.library import Entry
from kaf.runtime.errors import KafError
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.SuitabilityCheck import SuitabilityCheck


def doubtsOf(scan: slicer.vtkMRMLScalarVolumeNode | None, entries: Iterable[Entry]) -> dict[str, tuple[str, ...]]:
    """Model -> why a result of it on this scan may be wrong, in sentences; empty without a scan that can be used.
    Pretrained weights, which segment nothing, are left out."""
    try:
        VolumeGeometry(scan).check()
    except KafError:
        return {}
    found = {}
    for entry in entries:
        if entry.card.labels:
            try:
                found[entry.name] = SuitabilityCheck().warnings(scan, entry.card)
            except KafError as error:
                found[entry.name] = (str(error),)
    return found


def bestFirst(entries: Iterable[Entry], doubts: dict[str, tuple[str, ...]]) -> list[Entry]:
    """What fits the scan first, then what comes with KAF; pretrained weights last."""
    return sorted(entries, key=lambda entry: (not entry.card.labels, len(doubts.get(entry.name, ())),
                                              not entry.bundled, entry.name))
