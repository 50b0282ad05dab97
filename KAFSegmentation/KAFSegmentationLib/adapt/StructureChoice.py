"""What is learned: the structures of the model, or new ones that a person draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from KAFSegmentationLib.scene.SegmentationWriter import MODEL_TAG, SegmentationWriter, freeName, tag
from KAFSegmentationLib.scene.SegmentVolumes import segmentVolumes
from KAFSegmentationLib.segment.WriteConfirmation import WriteConfirmation
from KAFSegmentationLib.widgets.Parameters import Parameters

_UNKNOWN = object()
_CHOICES = (_("Structures of the model"), _("New structures"))


class StructureChoice(VTKObservationMixin):
    """A combo box, a list of segments to tick, and a button that makes a new segment.

    Args:
        ui: the widgets of the .ui file.
        onNew: called with the id of a segment that was made, to draw in.
        onChanged: called when segments came, went or were renamed.
        writeConfirmation: asks before a new one goes into another scan's segmentation.
    """

    def __init__(self, ui: Any, onNew: Callable[[str], None], onChanged: Callable[[], None],
                 writeConfirmation: WriteConfirmation):
        VTKObservationMixin.__init__(self)
        self.ui, self._onNew, self._onChanged = ui, onNew, onChanged
        self._writeConfirmation = writeConfirmation
        self.parameters: Parameters | None = None
        self._segmentation: slicer.vtkSegmentation | None = None
        # Ids of segments by the id of their segmentation: those of two segmentations may be the same.
        self._ticked: dict[str, list[str]] = {}
        self._node = _UNKNOWN
        self._filling = False
        for text in _CHOICES:
            ui.learnComboBox.addItem(text)
        ui.learnComboBox.connect("currentIndexChanged(int)", self._onChosen)
        ui.structureList.connect("itemChanged(QListWidgetItem*)", self._onTicked)
        ui.newStructureButton.connect("clicked()", self.makeNew)

    def bind(self, parameters: Parameters | None) -> None:
        """The choices of a scene, with the ticks of its segmentation; None while the panel is closed."""
        self.parameters, self._node = parameters, _UNKNOWN

    def chosen(self) -> list[str]:
        """Ids of the new structures; none for the model's own."""
        if not self.parameters.learnNew:
            return []
        return [segmentId for segmentId in self._ids() if segmentId in self.parameters.newStructures]

    def isEmpty(self) -> bool:
        """Whether nothing is segmented or drawn yet."""
        node = self.parameters.outputSegmentation
        return node is None or not any(voxels for voxels, _volume in segmentVolumes(node).values())

    def update(self) -> None:
        """Shows what is chosen."""
        node = self.parameters.outputSegmentation
        self._changeTicks(node)
        self._observe(node.GetSegmentation() if node is not None else None)
        self._filling = True
        isNew = self.parameters.learnNew
        self.ui.learnComboBox.setCurrentIndex(1 if isNew else 0)
        self.ui.structureList.visible = isNew and bool(self._ids())
        self._fill()
        self._filling = False

    def makeNew(self) -> None:
        """Adds an empty segment, in a new segmentation if there is none, to be drawn and learned."""
        parameters = self.parameters
        mayGoOn, node = self._writeConfirmation.confirm(parameters.outputSegmentation, parameters.inputVolume,
                                                        _("Add structure"))
        if not mayGoOn:
            return
        if node is None:
            node = SegmentationWriter(parameters.inputVolume, "", []).newNode()
            parameters.outputSegmentation = node
        segmentation = node.GetSegmentation()
        segmentId = segmentation.AddEmptySegment("", freeName(segmentation, _("New structure")))
        before = parameters.newStructures if parameters.learnNew else []
        parameters.newStructures = [*before, segmentId]
        parameters.learnNew = True
        self._onNew(segmentId)

    def makeNamed(self, names: Sequence[str]) -> None:
        """Adds empty segments with those of the names that no segment has, to be drawn."""
        parameters = self.parameters
        node = parameters.outputSegmentation
        if names and node is None:
            node = SegmentationWriter(parameters.inputVolume, "", []).newNode()
            parameters.outputSegmentation = node
        found = {}
        for segmentId in node.GetSegmentation().GetSegmentIDs() if node is not None else ():
            found[node.GetSegmentation().GetSegment(segmentId).GetName().casefold()] = segmentId
        wanted = [found.get(name.casefold()) or node.GetSegmentation().AddEmptySegment("", name) for name in names]
        if wanted:
            before = parameters.newStructures if parameters.learnNew else []
            parameters.newStructures = [*before, *(segmentId for segmentId in wanted if segmentId not in before)]
            parameters.learnNew = True

    def forget(self) -> None:
        """The scene is closing."""
        self._observe(None)
        self._ticked, self._node = {}, _UNKNOWN

    def _changeTicks(self, node):
        """Another segmentation brings its own ticks."""
        before, self._node = self._node, node
        if before is _UNKNOWN or node is before:
            return
        if before is not None:
            self._ticked[before.GetID()] = list(self.parameters.newStructures)
        self.parameters.newStructures = self._ticked.get(node.GetID(), []) if node is not None else []

    def _ids(self):
        return list(self._segmentation.GetSegmentIDs()) if self._segmentation is not None else []

    def _fill(self):
        ids, ticked, segments = self._ids(), self.parameters.newStructures, self.ui.structureList
        if segments.count != len(ids):
            segments.clear()
            for segmentId in ids:
                segments.addItem(segmentId)
        for row, segmentId in enumerate(ids):
            item = segments.item(row)
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setText(self._segmentation.GetSegment(segmentId).GetName())
            item.setCheckState(qt.Qt.Checked if segmentId in ticked else qt.Qt.Unchecked)
        height = segments.sizeHintForRow(0) * min(4, len(ids)) + 8 if ids else 0
        segments.maximumHeight = height

    def _onChosen(self, index):
        if self._filling or self.parameters is None:
            return
        if index == 1 and not any(segmentId in self.parameters.newStructures for segmentId in self._ids()):
            drawn = [segmentId for segmentId in self._ids()
                     if not tag(self._segmentation.GetSegment(segmentId), MODEL_TAG)]
            self.parameters.newStructures = drawn
        self.parameters.learnNew = index == 1

    def _onTicked(self, item):
        if self._filling or self.parameters is None:
            return
        segments = self.ui.structureList
        self.parameters.newStructures = [segmentId for row, segmentId in enumerate(self._ids())
                                         if segments.item(row).checkState() == qt.Qt.Checked]

    def _observe(self, segmentation):
        if segmentation is self._segmentation:
            return
        self.removeObservers()
        self._segmentation = segmentation
        if segmentation is not None:
            for event in (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved,
                          slicer.vtkSegmentation.SegmentModified):
                self.addObserver(segmentation, event, self._onSegments)

    def _onSegments(self, caller, event):
        if self.parameters is not None and not self._filling:
            self.update()
            self._onChanged()
