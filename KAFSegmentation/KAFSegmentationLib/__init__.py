"""The Slicer side of KAF segmentation: MRML, widgets, and the worker process. No torch."""

from .AdaptationLogic import AdaptationLogic
from .Backend import Backend
from .Parameters import Parameters
from .PlainSetup import PlainSetup
from .SegmentationLogic import SegmentationLogic
from .SegmentationRun import SegmentationResult, SegmentationRun
from .SegmentationWidget import SegmentationWidget
from .SegmentationWriter import SegmentationWriter
from .VolumeGeometry import VolumeGeometry
from .VolumeSequence import VolumeSequence

__all__ = [
    "AdaptationLogic", "Backend", "Parameters", "PlainSetup", "SegmentationLogic", "SegmentationResult",
    "SegmentationRun", "SegmentationWidget", "SegmentationWriter", "VolumeGeometry", "VolumeSequence",
]
