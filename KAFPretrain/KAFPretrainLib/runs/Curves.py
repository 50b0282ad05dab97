"""The curves of a run in the scene: a table of steps and one of validations, appended to; a series per figure; a chart
per group.

Nodes are made when they are first needed and never replaced. They are not saved with the scene: they are read from the
folder of the run whenever the panel is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import slicer
import vtk
from slicer.i18n import tr as _

# Distinguishable on white and with the common colour-vision deficiencies (after Okabe and Ito, 2008).
COLORS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (90, 90, 90),
          (148, 103, 189))
_VALIDATION = "validation "
_STEPS, _VALIDATIONS = "steps", "validations"  # kinds of tables
GROUPS = ("loss", "terms", "matching", "dice", "probe", "spread", "rank", "rate", "norm")
_NAMES = {"spread": "spread", "alignment": "spread", "effective rank": "rank", "learning rate": "rate",
          "gradient norm": "norm", "loss": "loss", "cluster use": "spread", "cluster information": ""}
_SHARES = ("inliers", "inliers by chance", "matches above chance")  # of keypoints; a method's name may stand before
_COUNT = "matched keypoints"


def groupTitle(group: str) -> str:
    """The title of the chart of a group."""
    return {"loss": _("Loss"), "terms": _("Loss terms"), "matching": _("Matching of keypoints"),
            "dice": _("Validation Dice"), "probe": _("Dice of the probe"), "spread": _("Spread of the embeddings"),
            "rank": _("Effective rank of the embeddings"), "rate": _("Learning rate"),
            "norm": _("Gradient norm")}[group]


def _axisTitle(group):
    return {"loss": _("loss"), "terms": _("loss"), "matching": _("share"), "dice": _("Dice"), "probe": _("Dice"),
            "spread": _("spread"), "rank": _("rank"), "rate": _("learning rate"), "norm": _("norm")}[group]


def groupOf(name: str) -> str:
    """The group of a figure; empty for one that is not drawn."""
    if name.startswith(_VALIDATION):
        figure = name[len(_VALIDATION):]
        return "probe" if figure in ("probe Dice", "untrained Dice") else "dice" if "Dice" in figure else ""
    if name in _NAMES:
        return _NAMES[name]
    figure = name.split(": ")[-1]
    if figure in _SHARES or figure == _COUNT:
        return "matching" if figure in _SHARES else ""
    return "terms" if ": " in name else ""


class Curves:
    """The curves of one run; ``name`` stands before the names of the nodes."""

    def __init__(self, name: str):
        self._name = name
        self._tables, self._charts, self._columns = {}, {}, {}
        self._changed = set()
        self._waiting = []  # series of one point, which is no line yet: (kind, column, group, series)

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Appends the figures of a step; they are shown after :meth:`flush`."""
        known = {name: float(value) for name, value in values.items() if groupOf(name) and value is not None}
        known = {name: value for name, value in known.items() if math.isfinite(value)}
        if not known:
            return
        kind = _VALIDATIONS if all(name.startswith(_VALIDATION) for name in known) else _STEPS
        table = self._table(kind)
        self._dropFrom(table, step)
        for name in known:
            if (kind, name) not in self._columns:
                self._addColumn(kind, table, name)
        for (of, name), column in self._columns.items():
            if of == kind:
                column.InsertNextValue(float(step) if name == "step" else known.get(name, math.nan))
        self._changed.add(kind)

    def flush(self) -> None:
        """Shows what was added since the last time."""
        for kind in self._changed:
            self._tables[kind].GetTable().Modified()
            self._tables[kind].Modified()
        self._changed.clear()
        for item in list(self._waiting):
            self._drawIfLine(*item)

    def groups(self) -> list[str]:
        """The groups that have a curve, in the order of GROUPS."""
        return [group for group in GROUPS if group in self._charts]

    def chart(self, group: str) -> slicer.vtkMRMLPlotChartNode | None:
        """The chart node of a group that has a curve, or None."""
        return self._charts.get(group)

    def isThere(self) -> bool:
        """Whether its nodes are in the scene; False when the scene was closed."""
        nodes = [*self._tables.values(), *self._charts.values()]
        return all(node.GetScene() is not None for node in nodes)

    def remove(self) -> None:
        """Removes all nodes from the scene."""
        for chart in self._charts.values():
            for _index in range(chart.GetNumberOfPlotSeriesNodes() if chart.GetScene() else 0):
                slicer.mrmlScene.RemoveNode(chart.GetNthPlotSeriesNode(0))
        alone = [series for *_others, series in self._waiting]
        for node in [*alone, *self._charts.values(), *self._tables.values()]:
            if node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)
        self._tables, self._charts, self._columns, self._waiting = {}, {}, {}, []

    def _table(self, kind):
        if kind not in self._tables:
            self._tables[kind] = _newNode("vtkMRMLTableNode", self._tableName(kind))
            self._tables[kind].SetLocked(True)
            self._addArray(kind, self._tables[kind], "step")
        return self._tables[kind]

    def _tableName(self, kind):
        return {_STEPS: _("{run} steps"), _VALIDATIONS: _("{run} validations")}[kind].format(run=self._name)

    def _dropFrom(self, table, step):
        """A run that was resumed continues from its last checkpoint: steps that it repeats replace those before."""
        rows = table.GetTable().GetNumberOfRows()
        steps = table.GetTable().GetColumnByName("step")
        keep = rows
        while keep and steps.GetValue(keep - 1) >= step:
            keep -= 1
        if keep < rows:
            table.GetTable().SetNumberOfRows(keep)

    def _addArray(self, kind, table, name):
        """A column that is as long as the others, NaN where it was not known yet."""
        column = vtk.vtkDoubleArray()
        column.SetName(name)
        for _row in range(table.GetTable().GetNumberOfRows()):
            column.InsertNextValue(math.nan)
        table.AddColumn(column)
        self._columns[kind, name] = table.GetTable().GetColumnByName(name)

    def _addColumn(self, kind, table, name):
        self._addArray(kind, table, name)
        series = _newNode("vtkMRMLPlotSeriesNode", name.removeprefix(_VALIDATION))
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("step")
        series.SetYColumnName(name)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetLineStyle(series.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetMarkerStyle(series.MarkerStyleCircle if kind == _VALIDATIONS else series.MarkerStyleNone)
        series.SetMarkerSize(7)
        self._waiting.append((kind, name, groupOf(name), series))

    def _drawIfLine(self, kind, name, group, series):
        """Puts a series of two points or more into its chart."""
        column = self._columns[kind, name]
        if sum(math.isfinite(column.GetValue(row)) for row in range(column.GetNumberOfTuples())) < 2:
            return
        self._waiting.remove((kind, name, group, series))
        if group not in self._charts:
            self._charts[group] = self._newChart(group)
        chart = self._charts[group]
        series.SetColor(*(part / 255 for part in COLORS[chart.GetNumberOfPlotSeriesNodes() % len(COLORS)]))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetLegendVisibility(chart.GetNumberOfPlotSeriesNodes() > 1)

    def _newChart(self, group):
        title = groupTitle(group)
        return newChart(f"{self._name} {title}", title, _("step"), _axisTitle(group))


def newChart(name: str, title: str, x: str, y: str) -> slicer.vtkMRMLPlotChartNode:
    """A chart node with titles of its axes ``x`` and ``y``."""
    chart = _newNode("vtkMRMLPlotChartNode", name)
    chart.SetTitle(title)
    chart.SetXAxisTitle(x)
    chart.SetYAxisTitle(y)
    chart.SetLegendVisibility(False)
    return chart


def _newNode(kind, name):
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.SetSaveWithScene(False)
    return node
