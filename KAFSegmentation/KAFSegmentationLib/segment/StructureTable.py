"""The structures of the result: name and colour, visibility, volume, and the quality that the model expects."""

from __future__ import annotations

import time

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from KAFSegmentationLib.scene.SegmentVolumes import segmentVolumes
from KAFSegmentationLib.segment import PredictedQuality
from KAFSegmentationLib.widgets.PlainText import tip
from KAFSegmentationLib.widgets.Tables import fillTable, setUpTable

_PATIENCE = 10
_DELAY_MILLISECONDS = 150  # strokes of a brush come one after the other
_LEVELS = {"good": "", "check": "warning", "doubtful": "error"}
_WORDS = {"good": _("good"), "check": _("check"), "doubtful": _("doubtful")}
_SWATCH = 12  # pixels
_MOST = 8  # rows that there is room for


class StructureTable(VTKObservationMixin):
    """Follows one segmentation: all that it shows is read from there, and the scene saves it.

    Args:
        table: the widget of the .ui file.
    """

    def __init__(self, table: qt.QTableWidget):
        VTKObservationMixin.__init__(self)
        self._table, self._node = table, None
        self._ids: list[str] = []
        self._filling = False
        table.verticalHeader().hide()
        table.connect("cellClicked(int,int)", self._onClicked)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MILLISECONDS)
        self._timer.connect("timeout()", self.refresh)

    def show(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Follows this segmentation; nothing is shown for None and for one without segments."""
        if node is self._node:
            return
        self.removeObservers()
        self._node = node
        if node is not None:
            kind = slicer.vtkSegmentation
            for event in (kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified, kind.SegmentsOrderModified,
                          kind.SourceRepresentationModified, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent):
                self.addObserver(node, event, self._onChanged)
        self.refresh()

    def close(self) -> None:
        """Follows nothing any more."""
        self._timer.stop()
        self.removeObservers()
        self._node = None
        self._table.visible = False

    def refresh(self) -> None:
        """Reads the segmentation again."""
        self._timer.stop()
        start, node = time.monotonic(), self._node
        if node is not None and not slicer.mrmlScene.IsNodePresent(node):
            self.close()
            node = None
        volumes = segmentVolumes(node) if node is not None else {}
        self._ids = list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []
        self._table.visible = bool(self._ids)
        if not self._ids:
            return
        predicted = PredictedQuality.read(node)
        if all(item.low is None for item in predicted.values()):  # a column without a figure says nothing
            predicted = {}
        titles = [_("Structure"), _("Volume (mL)"), *([_("Predicted Dice")] if predicted else [])]
        self._filling = True
        if self._table.columnCount != len(titles):
            setUpTable(self._table, titles)
            for column in range(len(titles)):
                self._table.horizontalHeader().setSectionResizeMode(
                    column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch)
        fillTable(self._table, [self._cells(node, segmentId, volumes, predicted) for segmentId in self._ids])
        self._dress(node)
        self._table.resizeRowsToContents()  # a long name takes two lines in a narrow panel
        rows = sum(self._table.rowHeight(row) for row in range(min(len(self._ids), _MOST)))
        self._table.setFixedHeight(rows + self._table.horizontalHeader().height + 4)
        self._filling = False
        # A scan so large that counting takes long is counted less often.
        self._timer.setInterval(max(_DELAY_MILLISECONDS, round(_PATIENCE * 1000 * (time.monotonic() - start))))

    def _cells(self, node, segmentId, volumes, predicted):
        name = node.GetSegmentation().GetSegment(segmentId).GetName()
        voxels, millilitres = volumes.get(segmentId, (0, None))
        cells = [(name, _("{name}: click to jump to it").format(name=name)),
                 "" if millilitres is None else f"{millilitres:.1f}"]
        return [*cells, _quality(predicted.get(segmentId), voxels)] if predicted else cells

    def _dress(self, node):
        """Colours and marks of the rows."""
        display = node.GetDisplayNode()
        for row, segmentId in enumerate(self._ids):
            swatch = qt.QPixmap(_SWATCH, _SWATCH)
            swatch.fill(qt.QColor.fromRgbF(*node.GetSegmentation().GetSegment(segmentId).GetColor()))
            item = self._table.item(row, 0)
            item.setIcon(qt.QIcon(swatch))
            shown = display is None or display.GetSegmentVisibility(segmentId)
            item.setCheckState(qt.Qt.Checked if shown else qt.Qt.Unchecked)
            self._table.item(row, 1).setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)

    def _onChanged(self, caller, event):
        self._timer.start()

    def _onItemChanged(self, item):
        if self._filling or item.column() != 0 or self._node is None or self._node.GetDisplayNode() is None:
            return
        self._node.GetDisplayNode().SetSegmentVisibility(self._ids[item.row()], item.checkState() == qt.Qt.Checked)

    def _onClicked(self, row, column):
        """All slice views go to the middle of the structure."""
        if self._node is None or row >= len(self._ids):
            return
        centre = self._node.GetSegmentCenterRAS(self._ids[row])
        if centre is not None:
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *centre,
                                                  slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def _quality(found, voxels):
    if found is None:
        return ""
    if found.voxels != voxels:
        return ("", tip(_("The structure was changed after the model predicted its quality.")))
    if found.low is None:
        hint = _("The model expects a Dice of {dice}, which is usually too high: it was not compared with cases that "
                 "it had not seen.")
        return _("uncalibrated"), tip(hint.format(dice=f"{found.dice:.2f}"))
    text = _("{dice} ({word})").format(dice=f"{found.dice:.2f}", word=_WORDS.get(found.word, found.word))
    hint = _("The Dice that the model expects of its own result; probably not below {low}.")
    return text, tip(hint.format(low=f"{found.low:.2f}")), _LEVELS.get(found.word, "")
