"""Dice of every case as dots, of two models side by side with a line between them; cases are named on the axis, and the
legend stands above the data."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from KAFPretrainLib.evaluate.Evaluation import Scores
from KAFPretrainLib.runs.Curves import COLORS
from KAFSegmentationLib.widgets.PlainText import plainLabel, tip

MOST = 40  # cases that are drawn
_ROW, _DOT, _EDGE, _LEGEND, _AXIS = 18, 8, 12, 24, 34  # pixels
_NAME = 130  # most pixels of a name
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class DotPlot:
    """Args:
        layout: that the picture goes into.
    """

    def __init__(self, layout: qt.QLayout):
        self.label = plainLabel()
        self.label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)
        layout.addWidget(self.label)

    def show(self, cases: Sequence[str], scores: Sequence[Scores], width: int) -> None:
        """Draws the first cases, in their order, ``width`` pixels wide."""
        self.label.setPixmap(picture(cases[:MOST], scores, width))
        text = _("The first {count} of {total} cases").format(count=MOST, total=len(cases))
        self.label.toolTip = tip(text) if len(cases) > MOST else ""


def place(dice: float, left: int, right: int) -> int:
    """The column of a Dice between the columns of 0 and 1."""
    return round(left + dice * (right - left))


def picture(cases: Sequence[str], scores: Sequence[Scores], width: int) -> qt.QPixmap:
    """The plot, black and colours on white."""
    made = qt.QPixmap(width, _LEGEND + _ROW * len(cases) + _AXIS)
    made.fill(qt.QColor(255, 255, 255))
    painter = qt.QPainter()
    painter.begin(made)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    metrics = painter.fontMetrics()
    names = [metrics.elidedText(case, qt.Qt.ElideMiddle, _NAME) for case in cases]
    left = 2 * _EDGE + max([metrics.boundingRect(name).width() for name in names] or [0]) if names else _EDGE
    right, bottom = width - 2 * _EDGE, _LEGEND + _ROW * len(cases)
    _drawAxis(painter, metrics, left, right, bottom)
    _drawLegend(painter, metrics, scores, left)
    for row, (case, name) in enumerate(zip(cases, names, strict=True)):
        middle = _LEGEND + _ROW * row + _ROW // 2
        _ink(painter, (40, 40, 40))
        painter.drawText(_EDGE, middle + metrics.ascent() // 2 - 1, name)
        found = [(index, place(value, left, right)) for index, one in enumerate(scores)
                 if (value := one.dice.get(case)) is not None]
        if len(found) == 2:
            _ink(painter, (150, 150, 150))
            painter.drawLine(found[0][1], middle, found[1][1], middle)
        for index, column in found:
            _drawDot(painter, column, middle, index)
    painter.end()
    return made


def _drawAxis(painter, metrics, left, right, bottom):
    for tick in _TICKS:
        column = place(tick, left, right)
        _ink(painter, (225, 225, 225))
        painter.drawLine(column, _LEGEND, column, bottom)
        _ink(painter, (40, 40, 40))
        text = f"{tick:.1f}"
        painter.drawText(column - metrics.boundingRect(text).width() // 2, bottom + metrics.height(), text)
    painter.drawText((left + right) // 2 - metrics.boundingRect(_("Dice")).width() // 2,
                     bottom + 2 * metrics.height(), _("Dice"))


def _drawLegend(painter, metrics, scores, left):
    column = left
    for index, found in enumerate(scores):
        _drawDot(painter, column + _DOT // 2, _LEGEND // 2, index)
        _ink(painter, (40, 40, 40))
        painter.drawText(column + 2 * _DOT, _LEGEND // 2 + metrics.ascent() // 2 - 1, found.name)
        column += 4 * _DOT + metrics.boundingRect(found.name).width()


def _drawDot(painter, column, row, index):
    color = qt.QColor(*COLORS[index])
    painter.setPen(qt.QPen(color))
    painter.setBrush(qt.QBrush(color))
    painter.drawEllipse(column - _DOT // 2, row - _DOT // 2, _DOT, _DOT)


def _ink(painter, color):
    painter.setPen(qt.QPen(qt.QColor(*color)))
