"""What the panel remembers: it is kept in the scene, so nothing private and no path of this computer is in it."""

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """The choices of the panel.

    ``modelName`` is a name in the library, never a path. ``attentionScale`` and ``attentionHead`` are -1 for the
    mean over all. Choices that grow with versions are plain words, so that an older or newer scene still opens;
    a word that is not known counts as the default. ``newStructures`` are ids of segments; ``exampleSlices`` are counted
    as ``exampleVolume`` is stored, from 0, along the axis ``exampleAxis`` of its array; each of ``acrossSlices`` is one
    more finished slice along the axis of ``acrossAxes`` in the same place. ``drawPlane`` is the direction that a person
    draws in: a plane, or "auto" for that of the model.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    roi: vtkMRMLMarkupsROINode
    modelName: str = ""
    device: str = "auto"
    flips: bool = False
    largestComponent: bool = False
    showSurface: bool = False
    allFrames: bool = False
    attentionView: str = "off"
    attentionScale: int = -1
    attentionHead: int = -1
    keypointCount: Annotated[float, WithinRange(0, 100)] = 30
    opacity: Annotated[float, WithinRange(0, 1)] = 0.6
    hideBelow: Annotated[float, WithinRange(0, 1)] = 0.15
    showLegend: bool = True
    learnNew: bool = False
    newStructures: list[str]
    exampleVolume: vtkMRMLScalarVolumeNode
    exampleAxis: int = 0
    exampleSlices: list[int]
    acrossAxes: list[int]
    acrossSlices: list[int]
    drawPlane: str = "auto"
    trainOnlyIfBetter: bool = True
    adaptSeconds: Annotated[float, WithinRange(1, 120)] = 40
