"""qMRMLSegmentsTableView: the segments of a segmentation, with colour, visibility and name."""

import shiboken6
import slicer
from PySide6.QtCore import Property, QItemSelection, QItemSelectionModel, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout

from .declare import standIn, stored
from .mrml_widget import qMRMLWidget


@standIn
class qMRMLSegmentsTableView(qMRMLWidget):
    """One row for each segment."""

    selectionChanged = Signal(QItemSelection, QItemSelection)
    segmentAboutToBeModified = Signal(str)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._node = None
        self._observed: list[tuple[object, int]] = []
        self._ids: list[str] = []
        self._hidden: list[str] = []
        self._table = QTableWidget(0, 2, self)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.horizontalHeader().setSectionResizeMode(1, QHeaderView.Stretch)
        self._table.setColumnWidth(0, 44)
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QAbstractItemView.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.ExtendedSelection)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged)
        self._table.itemChanged.connect(self._onItemChanged)

    segmentCount = Property(int, lambda self: len(self._ids))
    headerVisible = stored("headerVisible", bool, True, "_dress")
    readOnly = stored("readOnly", bool, False)
    selectionMode = stored("selectionMode", int, 3, "_dress")
    visibilityColumnVisible = stored("visibilityColumnVisible", bool, True)
    colorColumnVisible = stored("colorColumnVisible", bool, True)
    opacityColumnVisible = stored("opacityColumnVisible", bool, True)
    statusColumnVisible = stored("statusColumnVisible", bool, False)
    layerColumnVisible = stored("layerColumnVisible", bool, False)
    filterBarVisible = stored("filterBarVisible", bool, False)
    textFilter = stored("textFilter", str, "")
    jumpToSelectedSegmentEnabled = stored("jumpToSelectedSegmentEnabled", bool, False)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        for source, tag in self._observed:
            source.RemoveObserver(tag)
        self._observed.clear()
        self._node = node
        if node is not None:
            kind = slicer.vtkSegmentation
            events = [
                kind.SegmentAdded,
                kind.SegmentRemoved,
                kind.SegmentModified,
                kind.SegmentsOrderModified,
            ]
            events.append(slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent)
            self._observed = [(node, node.AddObserver(event, self._onSegmentation)) for event in events]
        self._refresh()

    def tableWidget(self):
        return self._table

    def selectedSegmentIDs(self):
        rows = {index.row() for index in self._table.selectionModel().selectedRows()}
        return [self._ids[row] for row in sorted(rows)]

    def setSelectedSegmentIDs(self, segmentIDs):
        model, selection = self._table.model(), QItemSelection()
        for row, segmentID in enumerate(self._ids):
            if segmentID in segmentIDs:
                selection.select(model.index(row, 0), model.index(row, 1))
        self._table.selectionModel().select(selection, QItemSelectionModel.ClearAndSelect)

    def clearSelection(self):
        self._table.clearSelection()

    def hideSegments(self):
        return list(self._hidden)

    def setHideSegments(self, segmentIDs):
        self._hidden = list(segmentIDs)
        self._refresh()

    def displayedSegmentIDs(self):
        return list(self._ids)

    def rowForSegmentID(self, segmentID):
        return self._ids.index(segmentID) if segmentID in self._ids else -1

    def segmentIDForRow(self, row):
        return self._ids[row] if 0 <= row < len(self._ids) else ""

    def setHeaderVisible(self, visible):
        self.headerVisible = visible

    def setReadOnly(self, readOnly):
        self.readOnly = readOnly

    def setSelectionMode(self, mode):
        self.selectionMode = mode

    def setJumpToSelectedSegmentEnabled(self, enabled):
        self.jumpToSelectedSegmentEnabled = enabled

    def _dress(self) -> None:
        self._table.horizontalHeader().setVisible(self.headerVisible)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode(self.selectionMode))

    def _onSegmentation(self, *_) -> None:
        if shiboken6.isValid(self) and self._node is not None:
            self._refresh()

    def _refresh(self) -> None:
        selected = self.selectedSegmentIDs()
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        self._ids = [segmentID for segmentID in ids if segmentID not in self._hidden]
        self._table.blockSignals(True)
        self._table.setRowCount(len(self._ids))
        display = self._node.GetDisplayNode() if self._node is not None else None
        for row, segmentID in enumerate(self._ids):
            segment = segmentation.GetSegment(segmentID)
            swatch = QPixmap(16, 16)
            swatch.fill(QColor.fromRgbF(*segment.GetColor()))
            mark = QTableWidgetItem(QIcon(swatch), "")
            shown = display is None or display.GetSegmentVisibility(segmentID)
            mark.setCheckState(Qt.Checked if shown else Qt.Unchecked)
            self._table.setItem(row, 0, mark)
            self._table.setItem(row, 1, QTableWidgetItem(segment.GetName()))
        self._table.blockSignals(False)
        self.setSelectedSegmentIDs([s for s in selected if s in self._ids])

    def _onItemChanged(self, item: QTableWidgetItem) -> None:
        segmentID = self.segmentIDForRow(item.row())
        if item.column() == 1:
            self.segmentAboutToBeModified.emit(segmentID)
            self._node.GetSegmentation().GetSegment(segmentID).SetName(item.text())
        elif self._node.GetDisplayNode() is not None:
            self._node.GetDisplayNode().SetSegmentVisibility(segmentID, item.checkState() == Qt.Checked)
