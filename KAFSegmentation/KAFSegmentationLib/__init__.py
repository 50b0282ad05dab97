"""The Slicer side of KAF segmentation: MRML, widgets, and the worker process. No torch."""

from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.backend.Backend import Backend
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.scene.VolumeSequence import VolumeSequence
from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic
from KAFSegmentationLib.segment.SegmentationRun import SegmentationResult, SegmentationRun
from KAFSegmentationLib.SegmentationWidget import SegmentationWidget
from KAFSegmentationLib.setup.PlainSetup import PlainSetup
from KAFSegmentationLib.widgets.Parameters import Parameters

__all__ = [
    "AdaptationLogic", "Backend", "Parameters", "PlainSetup", "SegmentationLogic", "SegmentationResult",
    "SegmentationRun", "SegmentationWidget", "SegmentationWriter", "VolumeGeometry", "VolumeSequence",
]
