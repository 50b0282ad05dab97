"""Dice of each case as dots in Slicer's plot view, one color per model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from KAFPretrainLib.runs.Curves import COLORS, newChart

if TYPE_CHECKING:
    from KAFPretrainLib.evaluate.Evaluation import Scores


_ROOM = 1.4  # of the axis, so that the legend stands beside the data


class ScoreChart:
    """One table, a series per model, one chart; made anew for each evaluation."""

    def __init__(self):
        self.chart: slicer.vtkMRMLPlotChartNode | None = None
        self._nodes = []

    def show(self, cases: Sequence[str], scores: Sequence[Scores]) -> None:
        """Draws the cases in their order."""
        self.remove()
        table = self._add("vtkMRMLTableNode", _("KAF Dice by case"))
        table.SetLocked(True)
        names, index = vtk.vtkStringArray(), vtk.vtkDoubleArray()
        names.SetName("case")
        index.SetName("number")
        for number, case in enumerate(cases, start=1):
            names.InsertNextValue(case)
            index.InsertNextValue(number)
        table.AddColumn(names)
        table.AddColumn(index)
        self.chart = newChart(_("KAF Dice by case"), _("Dice of each case"), _("case, as in the table"), _("Dice"))
        self._nodes.append(self.chart)
        self.chart.SetXAxisRangeAuto(False)
        self.chart.SetXAxisRange(0, _ROOM * (len(cases) + 1))
        self.chart.SetYAxisRangeAuto(False)  # from 0 to 1, so that a small gain looks small
        self.chart.SetYAxisRange(0, 1)
        for place, found in enumerate(scores):
            self._addSeries(table, cases, found, place)
        self.chart.SetLegendVisibility(len(scores) > 1)
        table.Modified()

    def remove(self) -> None:
        """Removes it from the scene."""
        for node in self._nodes:
            if node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)
        self.chart, self._nodes = None, []

    def _addSeries(self, table, cases, found, place):
        column = vtk.vtkDoubleArray()
        column.SetName(f"{found.name} ({place + 1})")
        for case in cases:
            value = found.dice.get(case)
            column.InsertNextValue(math.nan if value is None else value)
        table.AddColumn(column)
        series = self._add("vtkMRMLPlotSeriesNode", found.name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeScatter)
        series.SetLineStyle(series.LineStyleNone)
        series.SetMarkerStyle(series.MarkerStyleCircle)
        series.SetMarkerSize(8)
        series.SetXColumnName("number")
        series.SetYColumnName(column.GetName())
        series.SetLabelColumnName("case")
        series.SetColor(*(part / 255 for part in COLORS[place]))
        self.chart.AddAndObservePlotSeriesNodeID(series.GetID())

    def _add(self, kind, name):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        node.SetSaveWithScene(False)
        self._nodes.append(node)
        return node
