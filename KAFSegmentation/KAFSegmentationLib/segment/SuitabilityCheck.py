"""How a scan differs from those that a model was trained on, shown before a run; see kaf.modelfile.suitability."""

from __future__ import annotations

import slicer

from kaf.imaging.volume import Volume
from kaf.modelfile.card import Card
from kaf.modelfile.suitability import doubts
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry

_HOUNSFIELD = "[hnsf'U]"  # UCUM's code, which Slicer sets for CT
_MODALITY_TAG = "0008,0060"


class SuitabilityCheck:
    """Remembers its last answer: the panel asks at every change of a choice."""

    def __init__(self):
        self._asked: tuple | None = None
        self._found: tuple[str, ...] = ()

    def warnings(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, card: Card, flips: bool = False) -> tuple[str, ...]:
        """Sentences; none where scan and model go together.

        Args:
            volumeNode: a scan that passed the checks of VolumeGeometry.
            card: of the model.
            flips: whether the result will be averaged over mirrored copies.
        """
        geometry, modality = VolumeGeometry(volumeNode), modalityOf(volumeNode)
        asked = geometry.key(), modality, card, flips
        if asked != self._asked:
            scan = Volume(slicer.util.arrayFromVolume(volumeNode), geometry.affine(), modality=modality)
            self._asked, self._found = asked, doubts(scan, card, flips)
        return self._found


def modalityOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str:
    """DICOM's code for the kind of scan ("CT", "MR", "PT" ...) where the scene or the DICOM database knows it, else
    nothing."""
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = tree.GetItemByDataNode(volumeNode)
    found = (item and tree.GetItemAttribute(item, name)) or volumeNode.GetAttribute(name) or _fromDatabase(volumeNode)
    if found:
        return found.strip().upper()
    units = volumeNode.GetVoxelValueUnits()
    return "CT" if units is not None and units.GetCodeValue() == _HOUNSFIELD else ""


def _fromDatabase(volumeNode):
    instances = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not instances or database is None or not database.isOpen:
        return ""
    return database.instanceValue(instances[0], _MODALITY_TAG)
