"""Filling a QTableWidget."""

from __future__ import annotations

from collections.abc import Sequence

import qt

from KAFSegmentationLib.widgets.PlainText import tip
from KAFSegmentationLib.widgets.Tones import tone

_LEAST, _MOST = 3, 10  # rows that a table has room for

Cell = str | tuple[str, str] | tuple[str, str, str]
"""A text; or text and tool tip; or text, tool tip and level, which is "warning" or "error"."""


def setUpTable(table: qt.QTableWidget, titles: Sequence[str]) -> None:
    """Columns with these titles and no row."""
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    table.setRowCount(0)
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + 6)


def fillTable(table: qt.QTableWidget, rows: Sequence[Sequence[Cell]]) -> None:
    """Shows these rows in place of those before."""
    table.setUpdatesEnabled(False)
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            text, toolTip, level = (*cell, "", "")[:3] if isinstance(cell, tuple) else (cell, "", "")
            item = qt.QTableWidgetItem(text)
            if toolTip:
                item.setToolTip(tip(toolTip))
            if level:
                item.setForeground(qt.QBrush(qt.QColor(tone(level))))
            table.setItem(row, column, item)
    table.setUpdatesEnabled(True)
    _fitHeight(table, len(rows))


def fitColumns(table: qt.QTableWidget, widest: int = 220) -> None:
    """Columns as wide as what they hold, within reason; the last one takes the rest. A table that breaks its lines
    gets rows as high as those."""
    if not table.wordWrap:
        table.resizeColumnsToContents()
    for column in range(table.columnCount - 1):
        table.resizeColumnToContents(column)
        table.setColumnWidth(column, min(widest, table.columnWidth(column)))
    if table.wordWrap:
        table.resizeRowsToContents()
        _fitHeight(table, table.rowCount)


def _fitHeight(table, count):
    """Room for the rows that there are, from three to ten, the titles and a scroll bar."""
    row = table.fontMetrics().height() + 6
    rows = sum(table.rowHeight(index) for index in range(min(count, _MOST)))
    table.setFixedHeight(max(rows, _LEAST * row) + 2 * row + 8)
