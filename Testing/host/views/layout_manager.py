"""qSlicerLayoutManager: the views of the application, by name."""

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from ..widgets.declare import standIn
from .slice_view import newSliceWidget
from .three_d_view import newThreeDWidget

SLICE_VIEWS = ("Red", "Green", "Yellow")
LATER_VIEWS = {"SlicerLayoutTwoOverTwoView": ("Slice4",)}
"""Slice views that a layout brings, and that stay when another one is chosen."""


@standIn
class qSlicerLayoutManager(QObject):
    """Three slice views and a 3D view in Slicer's four-up arrangement; some layouts bring more slice views."""

    layoutChanged = Signal(int)

    def __init__(self, applicationLogic, size: tuple[int, int]):
        super().__init__()
        self._applicationLogic, self._size = applicationLogic, size
        self._layoutLogic = slicer.vtkMRMLLayoutLogic()
        self._layoutLogic.SetMRMLApplicationLogic(applicationLogic)
        self._layoutLogic.SetMRMLScene(slicer.mrmlScene)
        self._node = self._layoutLogic.GetLayoutNode()
        self._node.SetViewArrangement(self._node.SlicerLayoutFourUpView)
        self._sliceLogics, self._viewLogics = vtk.vtkCollection(), vtk.vtkCollection()
        applicationLogic.SetSliceLogics(self._sliceLogics)
        applicationLogic.SetViewLogics(self._viewLogics)
        self._slices = {name: newSliceWidget(applicationLogic, name, *size) for name in SLICE_VIEWS}
        self._threeD = [newThreeDWidget(applicationLogic, "1", *size)]
        self._viewport = QWidget()
        self._viewport.setObjectName("CentralWidgetLayoutFrame")
        self._arrange()
        self._announced = self._node.GetViewArrangement()
        self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayoutNode)

    @Property(int, notify=layoutChanged)
    def layout(self):
        return self._node.GetViewArrangement()

    @layout.setter
    def layout(self, arrangement):
        self.setLayout(arrangement)

    threeDViewCount = Property(int, lambda self: len(self._threeD))
    tableViewCount = Property(int, lambda self: 0)
    plotViewCount = Property(int, lambda self: 0)

    def mrmlScene(self):
        return slicer.mrmlScene

    def layoutLogic(self):
        return self._layoutLogic

    def viewport(self):
        return self._viewport

    def setLayout(self, arrangement):
        self._node.SetViewArrangement(arrangement)

    def sliceViewNames(self):
        return list(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def threeDWidget(self, index):
        return self._threeD[index] if 0 <= index < len(self._threeD) else None

    def plotWidget(self, index):
        return None

    def tableWidget(self, index):
        return None

    def viewWidget(self, node):
        widgets = [*self._slices.values(), *self._threeD]
        return next((w for w in widgets if w.mrmlAbstractViewNode() is node), None)

    def mrmlSliceLogics(self):
        return self._sliceLogics

    def mrmlViewLogics(self):
        return self._viewLogics

    def activeMRMLThreeDViewNode(self):
        return self._threeD[0].mrmlViewNode()

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self):
        for widget in self._threeD:
            widget.threeDView().resetFocalPoint()

    def setRenderPaused(self, paused):
        (self.pauseRender if paused else self.resumeRender)()

    def pauseRender(self):
        self._applicationLogic.PauseRender()

    def resumeRender(self):
        self._applicationLogic.ResumeRender()

    def _arrange(self) -> None:
        grid = QGridLayout(self._viewport)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        views = (self._slices["Red"], self._threeD[0], self._slices["Green"], self._slices["Yellow"])
        for index, widget in enumerate(views):
            grid.addWidget(widget, index // 2, index % 2)

    def _onLayoutNode(self, *_) -> None:
        if self._announced != self._node.GetViewArrangement():
            self._announced = self._node.GetViewArrangement()
            self._makeViews()
            self.layoutChanged.emit(self._announced)

    def _makeViews(self) -> None:
        for layout, names in LATER_VIEWS.items():
            if self._announced == getattr(self._node, layout):
                for name in names:
                    if name not in self._slices:
                        self._addNode(name)
                        self._slices[name] = newSliceWidget(self._applicationLogic, name, *self._size)

    def _addNode(self, name: str) -> None:
        scene = slicer.mrmlScene
        if scene.GetSingletonNode(name, "vtkMRMLSliceNode") is None:
            node = scene.CreateNodeByClass("vtkMRMLSliceNode")
            node.UnRegister(None)
            node.SetSingletonTag(name)
            node.SetName(name)
            node.SetLayoutName(name)
            scene.AddNode(node)
            node.SetOrientation("Axial")
