"""Slicer's own plot view inside the panel, so that curves are seen without changing the layout."""

from __future__ import annotations

import qt
import slicer


class PlotPanel:
    """A plot view in a frame, and a button that shows the same chart in the views.

    Args:
        layout: of the frame that it goes into; with None there is the button only.
        button: shows the chart in the slice views.
        name: of its view, unique in the panel.
    """

    def __init__(self, layout: qt.QLayout | None, button: qt.QPushButton, name: str):
        self._layout, self._name = layout, name
        self._widget = self._node = self._chart = None
        button.connect("clicked()", self.showInViews)
        self._button = button
        button.enabled = False

    def show(self, chart: slicer.vtkMRMLPlotChartNode | None) -> None:
        """Shows a chart node, or nothing."""
        self._chart = chart
        self._button.enabled = chart is not None
        if self._layout is None:
            return
        if self._node is None or self._node.GetScene() is None:
            self._make()
        self._node.SetPlotChartNodeID(chart.GetID() if chart is not None else None)

    def forget(self) -> None:
        """The scene is about to close: its nodes go."""
        self._chart = None
        self._button.enabled = False
        if self._widget is not None:
            self._widget.setMRMLPlotViewNode(None)
        self._node = None

    def close(self) -> None:
        """The panel is closed for good."""
        self.forget()
        if self._widget is not None:
            self._widget.setMRMLScene(None)

    def showInViews(self) -> None:
        """Changes the layout to one with a plot view, because a person asked for it."""
        if self._chart is None:
            return
        layoutNode = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        if layoutNode.GetViewArrangement() not in (layoutNode.SlicerLayoutConventionalPlotView,
                                                   layoutNode.SlicerLayoutFourUpPlotView,
                                                   layoutNode.SlicerLayoutFourUpPlotTableView,
                                                   layoutNode.SlicerLayoutOneUpPlotView):
            slicer.app.layoutManager().setLayout(layoutNode.SlicerLayoutFourUpPlotView)
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetActivePlotChartID(self._chart.GetID())
        logic.PropagatePlotChartSelection()

    def _make(self):
        """The view node has an owner other than the layout before it enters the scene, so that Slicer makes no view of
        its own for it."""
        owner = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", f"KAF {self._name} view")
        owner.SetHideFromEditors(True)
        owner.SetSaveWithScene(False)
        node = slicer.vtkMRMLPlotViewNode()
        node.SetName(f"KAF {self._name}")
        node.SetLayoutName(f"KAF{self._name}")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAndObserveParentLayoutNodeID(owner.GetID())
        node = slicer.mrmlScene.AddNode(node)
        if self._widget is None:
            self._widget = slicer.qMRMLPlotWidget()
            self._layout.addWidget(self._widget)
        self._widget.setMRMLScene(slicer.mrmlScene)
        self._widget.setMRMLPlotViewNode(node)
        self._node = node
