"""The scores of every case as a table: sorted by any column, opened by a click, saved as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from KAFPretrainLib.evaluate.Evaluation import Scores
from KAFSegmentationLib.widgets.PlainText import tip
from KAFSegmentationLib.widgets.Tables import fitColumns, setUpTable
from KAFSegmentationLib.widgets.Tones import tone

_WORSE = -0.02  # from this difference in Dice on, a case is marked
_WIDEST = 110


class ScoreTable:
    """Args:
        table: the widget of the .ui file.
        onOpen: called with the name of the case that is clicked.
    """

    def __init__(self, table: qt.QTableWidget, onOpen: Callable[[str], None]):
        self._table, self._onOpen = table, onOpen
        self.titles: list[str] = []
        self.rows: list[list[str | float | None]] = []
        """As they are saved: text, numbers, and None where one is undefined."""
        self._column, self._isDescending = 1, False
        table.connect("cellClicked(int,int)", self._onClicked)
        table.horizontalHeader().connect("sectionClicked(int)", self._onTitle)
        table.horizontalHeader().setSectionsClickable(True)

    def show(self, scores: Sequence[Scores]) -> None:
        """Shows the scores of a model, or of two: the last one is the one that is asked about, the first what it is
        compared with. The cases with the lowest Dice come first, where it improved least."""
        last, isCompared = scores[-1], len(scores) > 1
        structures = list(dict.fromkeys(name for case in last.structures.values() for name in case))
        self.titles = [_("Case"), _("Dice"), *([_("Gain")] if isCompared else []), _("HD95 (mm)"),
                       *(structures if len(structures) > 1 else [])]
        self.rows = []
        for case, dice in last.dice.items():
            before = scores[0].dice.get(case)
            gain = dice - before if isCompared and dice is not None and before is not None else None
            own = last.structures.get(case, {})
            self.rows.append([case, dice, *([gain] if isCompared else []), last.hd95.get(case),
                              *(own.get(name, (None, None))[0] for name in structures if len(structures) > 1)])
        self._column, self._isDescending = 1, False
        setUpTable(self._table, self.titles)
        for column, toolTip in enumerate(self._tips(scores)):
            self._table.horizontalHeaderItem(column).setToolTip(tip(toolTip))
        self._fill()

    @property
    def cases(self) -> list[str]:
        """In the order of the rows."""
        return [str(row[0]) for row in self.rows]

    def csv(self) -> str:
        """All of it, in the order of the rows, with full precision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.titles)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return text.getvalue()

    def sort(self, column: int, isDescending: bool) -> None:
        """Sorts the rows; what is undefined comes last."""
        self._column, self._isDescending = column, isDescending
        self._fill()

    def _tips(self, scores):
        tips = {_("Case"): _("Click a case to see it with the reference and the differences"),
                _("Dice"): _("Mean over the structures, {model}").format(model=scores[-1].name),
                _("HD95 (mm)"): _("95th percentile of the surface distances, mean over the structures")}
        if len(scores) > 1:
            tips[_("Gain")] = _("Difference in Dice: {model} minus {other}").format(model=scores[-1].name,
                                                                                 other=scores[0].name)
        return [tips.get(title, _("Dice of this structure")) for title in self.titles]

    def _fill(self):
        known = [row for row in self.rows if row[self._column] is not None]
        self.rows = sorted(known, key=lambda row: row[self._column], reverse=self._isDescending) + [
            row for row in self.rows if row[self._column] is None]
        header = self._table.horizontalHeader()
        header.setSortIndicatorShown(True)
        header.setSortIndicator(self._column, qt.Qt.DescendingOrder if self._isDescending else qt.Qt.AscendingOrder)
        self._table.setRowCount(len(self.rows))
        for index, row in enumerate(self.rows):
            for column, value in enumerate(row):
                item = qt.QTableWidgetItem(self._text(column, value))
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                if self.titles[column] == _("Gain") and value is not None and value < _WORSE:
                    item.setForeground(qt.QBrush(qt.QColor(tone("error"))))
                self._table.setItem(index, column, item)
        fitColumns(self._table, _WIDEST)

    def _text(self, column, value):
        if value is None or isinstance(value, str):
            return value or ""
        if self.titles[column] == _("Gain"):
            return f"{value:+.2f}"
        return f"{value:.1f}" if self.titles[column] == _("HD95 (mm)") else f"{value:.2f}"

    def _onTitle(self, column):
        self.sort(column, not self._isDescending if column == self._column else False)

    def _onClicked(self, row, column):
        if row < len(self.rows):
            self._onOpen(str(self.rows[row][0]))
