"""One segmentation from Apply to the segments: what is asked of the worker, and what becomes of its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import InputError
from kaf.runtime.events import Progress
from KAFSegmentationLib.scene.MapColors import REGIONS
from KAFSegmentationLib.scene.MapWriter import MapWriter
from KAFSegmentationLib.scene.ResultMemory import ResultMemory
from KAFSegmentationLib.scene.ResultOwner import isForeign, otherScanError
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.scene.VolumeSequence import VolumeSequence
from KAFSegmentationLib.segment.PredictedQuality import keepPredicted
from KAFSegmentationLib.segment.SegmentationUndo import SegmentationUndo, Undo
from KAFSegmentationLib.segment.SuitabilityCheck import modalityOf


@dataclass
class SegmentationResult:
    """What a run made: ``volumes`` are millilitres by name of the structure (of the last time point), ``seconds``
    by stage (of all), ``place`` the device and why, ``maps`` the nodes of the maps that were asked for."""

    segmentationNode: slicer.vtkMRMLSegmentationNode | None
    volumes: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    place: str = ""
    warnings: list[str] = field(default_factory=list)
    maps: dict[str, slicer.vtkMRMLScalarVolumeNode] = field(default_factory=dict)


def volumesText(volumes: Mapping[str, float]) -> str:
    """The volumes (mL) of structures by name, with one decimal."""
    return ", ".join(f"{name} {volume:.1f} mL" for name, volume in volumes.items())


def doneText(scan: slicer.vtkMRMLScalarVolumeNode, result: SegmentationResult, isShown: bool,
             said: Iterable[str]) -> str:
    """That a run is over, and its warnings.

    Args:
        isShown: whether the panel shows the scan, or another one.
        said: warnings that stand elsewhere.
    """
    text = _("Done in {seconds} s.") if isShown else \
        _("'{scan}' was segmented into '{segmentation}' in {seconds} s.")
    text = text.format(seconds=f"{max(0.1, sum(result.seconds.values())):.1f}", scan=scan.GetName(),
                       segmentation=result.segmentationNode.GetName())
    return " ".join([text, *(warning for warning in result.warnings if warning not in said)])


class SegmentationRun:
    """Segments a volume, or all time points of the sequence it shows.

    Args:
        volumeNode: the scan.
        settings: those of the verb ``segment``, as a plain dictionary.
        segmentationNode: where the segments go; a new node unless given.
        roiNode: only inside this region.
        allFrames: every time point, when the volume shows one of a sequence.
        otherScan: whether a person has agreed that the segmentation may be another scan's.

    Raises:
        OtherScanError: the segmentation is known to be another scan's.
        InputError: the volume cannot be segmented; its text says what to do.
    """

    verb = "segment"

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Mapping[str, Any],
                 segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
                 roiNode: slicer.vtkMRMLMarkupsROINode | None = None, allFrames: bool = False, otherScan: bool = False):
        geometry = VolumeGeometry(volumeNode)
        geometry.check()
        self.volumeNode, self.segmentationNode = volumeNode, segmentationNode
        self._otherScan = otherScan
        self._checkOwner()
        self.settings = dict(settings)
        if roiNode is not None:
            self.settings["roi"] = geometry.box(roiNode)
        self.sequence = VolumeSequence.of(volumeNode) if allFrames else None
        self.frames = self.sequence.geometries() if self.sequence else [geometry]
        self.frame = 0
        self.result = SegmentationResult(segmentationNode)
        self._place = None
        self._segmentIds = []

    @property
    def finished(self) -> bool:
        """True when every time point has its segments."""
        return self.frame == len(self.frames)

    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """The nodes without which the run makes no sense."""
        return [node for node in (self.volumeNode, self.segmentationNode) if node is not None]

    def volumes(self) -> tuple[dict, dict]:
        """What the worker needs for the current time point: name -> (voxels, affine), and the keys."""
        geometry = self.frames[self.frame]
        self._place = self._placeOf(geometry)
        arrays = {"image": (geometry.voxels(), geometry.affine())}
        self._warn(geometry.warnings)
        return arrays, {"image": geometry.key()}

    def options(self) -> dict[str, str]:
        """What the worker cannot tell from the voxels."""
        return {"modality": modalityOf(self.volumeNode)}

    def overall(self, event: object) -> object:
        """A progress event of one time point as one of the whole run."""
        count = len(self.frames)
        if not isinstance(event, Progress) or count == 1 or not event.total:
            return event
        done = self.frame + event.done / event.total
        left = None
        if event.seconds_left is not None and 0 < event.done < event.total:
            each = event.seconds_left * event.total / (event.total - event.done)
            left = event.seconds_left + each * (count - self.frame - 1)
        stage = _("time point {number} of {count}").format(number=self.frame + 1, count=count)
        return Progress(stage, done, count, left)

    def take(self, answer: dict) -> None:
        """Writes the labels of the current time point and goes on to the next."""
        self._checkStillThere()
        self._write(answer)
        self._keep(answer)
        if self.sequence:
            self.sequence.keep(self.segmentationNode, self.frame)
        self.frame += 1
        if self.finished and self.sequence:
            self.sequence.link(self.segmentationNode)

    def undo(self) -> Undo | None:
        """What takes the run back, made before it writes; None for a sequence: what it held at each time point is not
        kept."""
        return None if self.sequence else SegmentationUndo(self.segmentationNode)

    def written(self, before: ResultMemory | None) -> ResultMemory | None:
        """The segments as they are now, to compare with later; None for a sequence, whose segments change with time.

        Args:
            before: what was remembered before the run.
        """
        if self.sequence:
            return None
        return ResultMemory(self.volumeNode, self.segmentationNode, self._segmentIds)

    def _write(self, answer):
        voxels = answer["arrays"]["labels"][0]
        writer = SegmentationWriter(self.volumeNode, self.settings["model"], answer["labels"],
                                    self.frames[self.frame].node)
        self.segmentationNode = writer.write(voxels, self.segmentationNode)
        self._segmentIds = writer.segmentIds

    def _checkStillThere(self):
        for node in self.nodes():
            if not slicer.mrmlScene.IsNodePresent(node):
                raise InputError(node.GetName(), _("this node was removed while the model was running"),
                                 _("The result was discarded; choose another one and start again."))
        self._checkOwner()
        if self._place != self._placeOf(self.frames[self.frame]):
            raise InputError(self.volumeNode.GetName(), _("this scan was changed while the model was running"),
                             _("The result no longer fits it and was discarded; start again."))

    def _checkOwner(self):
        node = self.segmentationNode
        if node is not None and not self._otherScan and isForeign(node, self.volumeNode):
            raise otherScanError(node, self.volumeNode)

    def _placeOf(self, geometry):
        """What the answer is true of. The voxels of a time point that is not shown stay, whatever the browser does."""
        return (geometry.shape(), geometry.affine().tobytes()) if self.sequence else geometry.key()

    def _keep(self, answer):
        """The numbers, and the maps as volumes."""
        result = self.result
        result.segmentationNode = self.segmentationNode
        result.volumes = {label["name"]: answer["volumes_ml"][str(label["value"])] for label in answer["labels"]}
        for stage, seconds in answer["seconds"].items():
            result.seconds[stage] = result.seconds.get(stage, 0.0) + seconds
        result.place = answer["place"]
        if not self.sequence:  # which shows one time point only
            keepPredicted(self.segmentationNode, dict(zip(
                (label["name"] for label in answer["labels"]), self._segmentIds, strict=True)),
                answer.get("predicted_quality"))
        self._warn(answer["warnings"])
        for name in ("uncertainty", "attention"):
            if name in answer["arrays"] and not self.sequence:
                array, affine = answer["arrays"][name]
                result.maps[name] = MapWriter(self.volumeNode).write(array, affine, name)
        if "clusters" in answer["arrays"] and not self.sequence:
            array, affine = answer["arrays"]["clusters"]
            result.maps["clusters"] = MapWriter(self.volumeNode).write(array, affine, "clusters", True)
            REGIONS.applyPermanently(result.maps["clusters"])

    def _warn(self, texts):
        self.result.warnings += [text for text in texts if text not in self.result.warnings]
