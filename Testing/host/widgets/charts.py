"""qMRMLPlotView, qMRMLPlotWidget and qMRMLTableView: curves and tables of the scene."""

import shiboken6
import vtk
from PySide6.QtCore import Property, QAbstractTableModel, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QTableView, QVBoxLayout, QWidget

from ..views.render import toImage
from .declare import standIn, stored
from .mrml_widget import parentIn, qMRMLWidget


class _ChartDrawing:
    """A vtkChartXY filled from a plot chart node and drawn off screen."""

    def __init__(self):
        self.view = vtk.vtkContextView()
        self.view.GetRenderWindow().SetOffScreenRendering(1)
        self.view.GetRenderWindow().SetMultiSamples(0)
        self.view.GetRenderer().SetBackground(1, 1, 1)
        self.chart = vtk.vtkChartXY()
        self.view.GetScene().AddItem(self.chart)
        self._plots: list[tuple] = []

    def fill(self, node) -> None:
        self.chart.ClearPlots()
        self._plots = []
        if node is None:
            return
        for index in range(node.GetNumberOfPlotSeriesNodes()):
            series = node.GetNthPlotSeriesNode(index)
            if series is not None and series.GetTableNode() is not None:
                self._addSeries(series)
        self.chart.SetTitle((node.GetTitle() or "") if node.GetTitleVisibility() else "")
        self.chart.SetShowLegend(bool(node.GetLegendVisibility()))
        for axis, title, shown in (
            (vtk.vtkAxis.BOTTOM, node.GetXAxisTitle(), node.GetXAxisTitleVisibility()),
            (vtk.vtkAxis.LEFT, node.GetYAxisTitle(), node.GetYAxisTitleVisibility()),
        ):
            self.chart.GetAxis(axis).SetTitle((title or "") if shown else "")
            self.chart.GetAxis(axis).SetGridVisible(bool(node.GetGridVisibility()))
        self.chart.GetAxis(vtk.vtkAxis.LEFT).SetLogScale(bool(node.GetYAxisLogScale()))
        self.chart.RecalculateBounds()
        for axis, automatic, span in ((vtk.vtkAxis.BOTTOM, node.GetXAxisRangeAuto(), node.GetXAxisRange()),
                                      (vtk.vtkAxis.LEFT, node.GetYAxisRangeAuto(), node.GetYAxisRange())):
            self.chart.GetAxis(axis).SetBehavior(vtk.vtkAxis.AUTO if automatic else vtk.vtkAxis.FIXED)
            if not automatic:
                self.chart.GetAxis(axis).SetRange(*span)

    def _addSeries(self, series) -> None:
        table = series.GetTableNode().GetTable()
        names = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
        x, y = series.GetXColumnName(), series.GetYColumnName()
        if y not in names or table.GetNumberOfRows() == 0:
            return
        bars = (series.PlotTypeBar, series.PlotTypeScatterBar)
        kind = vtk.vtkChart.BAR if series.GetPlotType() in bars else vtk.vtkChart.LINE
        if series.GetPlotType() == series.PlotTypeScatter and series.GetLineStyle() == series.LineStyleNone:
            kind = vtk.vtkChart.POINTS
        plot = self.chart.AddPlot(kind)
        plot.SetUseIndexForXSeries(x not in names)
        plot.SetInputData(table, x if x in names else y, y)
        plot.SetLabel(series.GetName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(series.GetLineWidth())
        if kind == vtk.vtkChart.LINE:
            plot.SetMarkerStyle(series.GetMarkerStyle())
        self._plots.append((series, plot))

    def pixels(self, width: int, height: int):
        """(row, column, RGB) uint8, first row on top."""
        window = self.view.GetRenderWindow()
        window.SetSize(width, height)
        window.Render()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(window)
        reader.ReadFrontBufferOff()
        reader.Update()
        image = reader.GetOutput()
        flat = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        return flat.reshape(height, width, 3)[::-1].copy()


@standIn
class qMRMLPlotView(QWidget):
    """Draws the chart that a plot view node shows."""

    mrmlSceneChanged = Signal(object)
    dataSelected = Signal(object, object)

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._scene = self._viewNode = self._chartNode = None
        self._observed: list[tuple[object, int]] = []
        self._drawing = _ChartDrawing()
        self.setMinimumSize(120, 90)

    title = Property(str, lambda self: self._drawing.chart.GetTitle() or "")

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def setMRMLPlotViewNode(self, node):
        self._viewNode = node
        self._follow()

    def fitToContent(self):
        self._drawing.chart.RecalculateBounds()
        self.update()

    def chart(self):
        return self._drawing.chart

    def renderWindow(self):
        return self._drawing.view.GetRenderWindow()

    def sizeHint(self):
        return QSize(320, 220)

    def paintEvent(self, event):
        painter = QPainter(self)
        painter.fillRect(self.rect, Qt.white)
        painter.drawImage(self.rect, toImage(self._drawing.pixels(self.width, self.height)))

    def _follow(self) -> None:
        """Observe the view, its chart, the series and their tables."""
        for source, tag in self._observed:
            source.RemoveObserver(tag)
        view = self._viewNode
        self._chartNode = view.GetPlotChartNode() if view is not None else None
        sources = [view, self._chartNode]
        if self._chartNode is not None:
            for index in range(self._chartNode.GetNumberOfPlotSeriesNodes()):
                series = self._chartNode.GetNthPlotSeriesNode(index)
                sources += [series, series.GetTableNode() if series is not None else None]
        modified = vtk.vtkCommand.ModifiedEvent
        self._observed = [(s, s.AddObserver(modified, self._onModified)) for s in sources if s is not None]
        self._drawing.fill(self._chartNode)
        self.update()

    def _onModified(self, *_) -> None:
        if shiboken6.isValid(self):
            self._follow()


@standIn
class qMRMLPlotWidget(qMRMLWidget):
    """A plot view as a widget of its own."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._view = qMRMLPlotView(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    viewLabel = stored("viewLabel", str, "")

    def plotView(self):
        return self._view

    def viewWidget(self):
        return self._view

    def mrmlPlotViewNode(self):
        return self._view._viewNode

    def mrmlAbstractViewNode(self):
        return self._view._viewNode

    def setMRMLPlotViewNode(self, node):
        self._view.setMRMLPlotViewNode(node)

    def setMRMLAbstractViewNode(self, node):
        self._view.setMRMLPlotViewNode(node)

    def _sceneChanged(self) -> None:
        self._view.setMRMLScene(self.mrmlScene())


class _TableModel(QAbstractTableModel):
    """A vtkMRMLTableNode as Qt sees it; a locked table cannot be edited."""

    def __init__(self, view):
        super().__init__(view)
        self.node = None

    def rowCount(self, parent=None):
        return self.node.GetNumberOfRows() if self.node is not None else 0

    def columnCount(self, parent=None):
        return self.node.GetNumberOfColumns() if self.node is not None else 0

    def data(self, index, role=Qt.DisplayRole):
        if role in (Qt.DisplayRole, Qt.EditRole):
            return self.node.GetCellText(index.row(), index.column())
        return None

    def setData(self, index, value, role=Qt.EditRole):
        return bool(self.node.SetCellText(index.row(), index.column(), str(value)))

    def flags(self, index):
        shown = Qt.ItemIsSelectable | Qt.ItemIsEnabled
        return shown if self.node.GetLocked() else shown | Qt.ItemIsEditable

    def headerData(self, section, orientation, role=Qt.DisplayRole):
        if role != Qt.DisplayRole:
            return None
        return self.node.GetColumnName(section) if orientation == Qt.Horizontal else str(section + 1)


@standIn
class qMRMLTableView(QTableView):
    """Shows a table node."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._scene = self._observer = None
        self._model = _TableModel(self)
        self.setModel(self._model)

    transposed = stored("transposed", bool, False)
    firstRowLocked = stored("firstRowLocked", bool, False)
    firstColumnLocked = stored("firstColumnLocked", bool, False)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self):
        return self._model.node

    def setMRMLTableNode(self, node):
        if self._observer is not None:
            self._model.node.RemoveObserver(self._observer)
        self._model.beginResetModel()
        self._model.node = node
        self._model.endResetModel()
        self._observer = None
        if node is not None:
            self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)

    def tableModel(self):
        return self._model

    def setFirstRowLocked(self, locked):
        self.firstRowLocked = locked

    def setFirstColumnLocked(self, locked):
        self.firstColumnLocked = locked

    def _onModified(self, *_) -> None:
        if shiboken6.isValid(self):
            self._model.beginResetModel()
            self._model.endResetModel()
