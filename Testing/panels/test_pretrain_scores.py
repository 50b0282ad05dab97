"""The table and the plot of an evaluation: sorted, saved, drawn."""

import csv
import io

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
import qt

from KAFPretrainLib.evaluate.DotPlot import picture
from KAFPretrainLib.evaluate.Evaluation import Scores
from KAFPretrainLib.evaluate.ScoreTable import ScoreTable
from KAFPretrainLib.runs.Curves import COLORS


def scores(name, dice, hd95=5.0):
    """Of cases a, b, ...; None where there is none."""
    found = Scores(name)
    for case, value in zip("abcdefgh", dice, strict=False):
        found.dice[case] = value
        found.hd95[case] = None if value is None else hd95
        found.structures[case] = {"left": (value, hd95), "right": (None, None)}
    return found


@pytest.fixture
def table():
    opened = []
    widget = qt.QTableWidget()
    return ScoreTable(widget, opened.append), widget, opened


def column(widget, number):
    return [widget.item(row, number).text() for row in range(widget.rowCount)]


def test_dice_of_each_structure_hd95_and_gain_are_columns(table):
    part, widget, _ = table
    part.show([scores("base", (0.5, 0.9, 0.7)), scores("new", (0.8, 0.6, None))])
    assert part.titles == ["Case", "Dice", "Gain", "HD95 (mm)", "left", "right"]
    assert column(widget, 0) == ["b", "a", "c"]  # the lowest first, what is undefined last
    assert column(widget, 2) == ["-0.30", "+0.30", ""]
    assert column(widget, 3) == ["5.0", "5.0", ""]
    assert column(widget, 4) == ["0.60", "0.80", ""]
    part.show([scores("alone", (0.5,))])
    assert part.titles == ["Case", "Dice", "HD95 (mm)", "left", "right"]


def test_every_column_sorts_up_and_down_and_a_click_opens_the_row_that_is_there(table):
    part, widget, opened = table
    part.show([scores("base", (0.5, 0.9, 0.7)), scores("new", (0.8, 0.6, None))])
    titles = widget.horizontalHeader()
    titles.sectionClicked.emit(2)
    assert column(widget, 0) == ["b", "a", "c"]
    titles.sectionClicked.emit(2)
    assert column(widget, 0) == ["a", "b", "c"]
    titles.sectionClicked.emit(0)
    assert column(widget, 0) == ["a", "b", "c"]
    widget.cellClicked.emit(1, 0)
    assert opened == ["b"]


def test_what_is_saved_has_all_decimals_in_the_order_that_is_shown(table):
    part, _, _ = table
    part.show([scores("new", (0.123456789, None, 0.05))])
    rows = list(csv.reader(io.StringIO(part.csv())))
    assert rows == [["Case", "Dice", "HD95 (mm)", "left", "right"], ["c", "0.05", "5.0", "0.05", ""],
                    ["a", "0.123456789", "5.0", "0.123456789", ""], ["b", "", "", "", ""]]


def test_dots_lie_where_the_dice_is_and_nothing_covers_them(table, tmp_path):
    drawn = picture(["a", "b"], [scores("base", (0.0, 0.5)), scores("new", (1.0, 0.75))], 400)
    path = tmp_path / "plot.png"
    assert drawn.save(str(path))
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    first, second = (np.argwhere(np.abs(pixels - color).sum(2) < 12) for color in COLORS[:2])
    rows = [range(24, 42), range(42, 60)]
    at = [[np.mean([x for y, x in found if y in row]) for row in rows] for found in (first, second)]
    assert at[0][0] < at[0][1] < at[1][0]  # 0.0, 0.5 and 1.0 of the axis
    assert at[0][1] - at[0][0] == pytest.approx(at[1][0] - at[0][1], abs=4)
    legend = [y for y, x in [*first, *second] if y < 24]
    assert legend, "no legend"
    assert (pixels[24:42, 200].max(1) < 215).any(), "the two dots of a case are not joined"
