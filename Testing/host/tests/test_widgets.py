"""The stand-ins behave as the widgets they stand in for."""


import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer

import host


def add(scene, name, kind="vtkMRMLScalarVolumeNode"):
    return scene.AddNewNodeByClass(kind, name)


@pytest.fixture
def segmentation(scene):
    volume = slicer.util.addVolumeFromArray(np.zeros((6, 7, 8), np.int16))
    node = add(scene, "Segmentation", "vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("liver", "spleen"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node, volume


def test_segment_editor_keeps_its_state_in_the_editor_node(scene, segmentation):
    node, volume = segmentation
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(scene)
    editor.setMRMLSegmentEditorNode(add(scene, "editor", "vtkMRMLSegmentEditorNode"))
    seen = []
    editor.connect("currentSegmentIDChanged(QString)", seen.append)
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("spleen")
    editor.setActiveEffectByName("Paint")
    assert (editor.currentSegmentID(), seen) == ("spleen", ["liver", "spleen"])
    assert editor.activeEffect().name == "Paint"
    editor.activeEffect().setParameter("BrushRelativeDiameter", 4)
    assert editor.mrmlSegmentEditorNode().GetAttribute("Paint.BrushRelativeDiameter") == "4"
    editor.show()
    host.click(editor.findChild(qt.QToolButton, "Erase"))
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == "Erase"
    editor.setActiveEffect(None)
    assert editor.activeEffect() is None
    scene.RemoveNode(node)
    assert editor.segmentationNode() is None


def test_segment_editor_undoes_with_slicers_own_history(scene, segmentation):
    node, volume = segmentation
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(scene)
    editor.setMRMLSegmentEditorNode(add(scene, "editor", "vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.show()
    undo = editor.findChild(qt.QToolButton, "UndoButton")
    assert not undo.enabled
    editor.saveStateForUndo()
    drawn = np.zeros((6, 7, 8), np.uint8)
    drawn[2:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "liver", volume)
    host.click(undo)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "liver", volume).sum() == 0
    editor.redo()
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "liver", volume).sum() == 112


def test_segments_table_lists_selects_and_hides(scene, segmentation):
    node, _ = segmentation
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(scene)
    table.setSegmentationNode(node)
    assert table.segmentCount == 2
    seen = []
    table.selectionChanged.connect(lambda: seen.append(table.selectedSegmentIDs()))
    table.setSelectedSegmentIDs(["spleen"])
    assert seen[-1] == ["spleen"]
    node.GetSegmentation().RemoveSegment("liver")
    assert table.displayedSegmentIDs() == ["spleen"]
    table.tableWidget().item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert not node.GetDisplayNode().GetSegmentVisibility("spleen")
    table.setHideSegments(["spleen"])
    assert table.segmentCount == 0


def test_a_plot_shows_its_series_and_follows_the_table(scene):
    table = add(scene, "curve", "vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, np.c_[np.arange(10.0), np.zeros(10)], ["epoch", "loss"])
    series = add(scene, "loss", "vtkMRMLPlotSeriesNode")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("epoch")
    series.SetYColumnName("loss")
    series.SetColor(1, 0, 0)
    series.SetLineWidth(4)
    chart = add(scene, "chart", "vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    view = add(scene, "view", "vtkMRMLPlotViewNode")
    view.SetPlotChartNodeID(chart.GetID())
    widget = slicer.qMRMLPlotWidget()
    widget.setMRMLScene(scene)
    widget.setMRMLPlotViewNode(view)
    widget.resize(400, 300)
    widget.show()

    def redRows():
        pixels = host.pixels(widget).astype(int)
        rows, _ = np.nonzero(pixels[..., 0] - pixels[..., 1] > 100)
        return rows.min(), rows.max()

    low, high = redRows()
    slicer.util.updateTableFromArray(table, np.c_[np.arange(10.0), np.arange(10.0)], ["epoch", "loss"])
    steepLow, steepHigh = redRows()
    assert steepHigh - steepLow > high - low + 100


def test_table_view_shows_cells_and_honours_the_lock(scene):
    node = add(scene, "table", "vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, np.array([[1.0, 2.0], [3.0, 4.0]]), ["a", "b"])
    view = slicer.qMRMLTableView()
    view.setMRMLScene(scene)
    view.setMRMLTableNode(node)
    model = view.model()
    assert (model.rowCount(), model.columnCount()) == (2, 2)
    assert model.headerData(1, qt.Qt.Horizontal) == "b"
    model.setData(model.index(1, 0), "7")
    assert node.GetCellText(1, 0) == "7"
    node.SetLocked(True)
    assert not model.flags(model.index(0, 0)) & qt.Qt.ItemIsEditable


def test_points_are_placed_by_clicking_in_a_slice(scene):
    volume = slicer.util.addVolumeFromArray(np.zeros((20, 30, 40), np.int16))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    node = add(scene, "points", "vtkMRMLMarkupsFiducialNode")
    node.CreateDefaultDisplayNodes()
    place = slicer.qSlicerMarkupsPlaceWidget()
    place.setMRMLScene(scene)
    place.placeMultipleMarkups = place.ForcePlaceSingleMarkup
    place.setCurrentNode(node)
    place.show()
    seen = []
    place.connect("activeMarkupsPlaceModeChanged(bool)", seen.append)
    host.click(place.placeButton())
    assert place.placeModeEnabled
    red = slicer.app.layoutManager().sliceWidget("Red")
    host.pixels(red)
    offset = red.sliceLogic().GetSliceOffset()
    host.click_view(red, (-20, -10, offset))
    assert node.GetNumberOfDefinedControlPoints() == 1
    assert np.allclose(node.GetNthControlPointPosition(0), (-20, -10, offset), atol=0.3)
    assert seen == [True, False]
    place.deleteAllPoints()
    assert node.GetNumberOfControlPoints() == 0


def test_worker_processes_of_slicer_util_run(scene):
    lines, ended = [], []
    slicer.util.launchConsoleProcess(
        ["PythonSlicer", "-c", "print('from the worker')"],
        blocking=False,
        logCallback=lines.append,
        completedCallback=ended.append,
    )
    host.wait_until(lambda: ended, "the worker's end")
    assert ([line.strip() for line in lines], ended) == (["from the worker"], [0])


def test_an_extension_is_there_only_after_it_was_added(scene):
    with pytest.raises(ImportError):
        import PyTorchUtils
    assert not slicer.app.extensionsManagerModel().isExtensionInstalled("PyTorch")
    host.add_extension("PyTorch")
    try:
        import PyTorchUtils

        logic = PyTorchUtils.PyTorchUtilsLogic()
        assert not logic.torchInstalled()
        logic.installTorch(askConfirmation=True, torchVersionRequirement=">=2.6")
        assert logic.torchInstalled()
        assert PyTorchUtils.calls[0]["torchVersionRequirement"] == ">=2.6"
    finally:
        host.remove_extension("PyTorch")
    with pytest.raises(ImportError):
        import PyTorchUtils


def test_packages_are_only_asked_for(scene):
    import slicer.packaging

    slicer.packaging.calls.clear()
    slicer.packaging.installed.clear()
    assert not slicer.packaging.pip_check("monai>=1.4")
    slicer.packaging.pip_ensure(["monai>=1.4"], requester="KAF")
    assert slicer.packaging.pip_check("monai>=1.4")
    assert [name for name, _ in slicer.packaging.calls] == ["pip_ensure"]
    slicer.util.pip_install("scipy")
    assert slicer.packaging.calls[-1][1]["requirements"] == "scipy"
