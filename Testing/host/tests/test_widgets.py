"""The stand-ins behave as the widgets they stand in for."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import host  # noqa: E402

host.start()

import ctk  # noqa: E402
import qt  # noqa: E402

import slicer  # noqa: E402


@pytest.fixture
def scene():
    host.dialogs().clear()
    host.close_scene()
    yield slicer.mrmlScene
    host.check_errors()
    host.close_scene()


@pytest.fixture
def selector(scene):
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    widget.show()
    yield widget
    widget.delete()


def add(scene, name, kind="vtkMRMLScalarVolumeNode"):
    return scene.AddNewNodeByClass(kind, name)


def entries(selector):
    combo = selector.findChild(qt.QComboBox)
    return [combo.itemText(i) for i in range(combo.count) if combo.itemText(i)]


def test_a_selector_without_scene_is_disabled(scene):
    widget = slicer.qMRMLNodeComboBox()
    assert not widget.enabled
    widget.setMRMLScene(scene)
    assert widget.enabled
    widget.delete()
    add(scene, "after its end")


def test_without_none_some_node_is_always_selected(scene, selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("currentNodeChanged(bool)", seen.append)
    first, second = add(scene, "first"), add(scene, "second")
    assert selector.currentNode() is first
    assert seen == [first, True]
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert seen[-1] is False


def test_with_none_nothing_selects_itself(scene, selector):
    selector.noneEnabled = True
    selector.noneDisplay = "Choose one"
    node = add(scene, "node")
    assert selector.currentNode() is None
    host.choose(selector, "node")
    assert selector.currentNode() is node
    host.choose(selector, "Choose one")
    assert selector.currentNodeID == ""


def test_selectors_list_what_they_should(scene, selector):
    selector.addEnabled = selector.removeEnabled = False
    add(scene, "labels", "vtkMRMLLabelMapVolumeNode")
    add(scene, "model", "vtkMRMLModelNode")
    hidden = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    hidden.UnRegister(None)
    hidden.SetName("hidden")
    hidden.SetHideFromEditors(True)
    scene.AddNode(hidden)
    plain = add(scene, "plain")
    assert entries(selector) == ["labels", "plain"]
    selector.showChildNodeTypes = False
    assert entries(selector) == ["plain"]
    selector.showHidden = True
    assert entries(selector) == ["hidden", "plain"]
    selector.showHidden = False
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", "map")
    assert entries(selector) == []
    plain.SetAttribute("kind", "map")
    assert entries(selector) == ["plain"]
    plain.SetName("renamed")
    assert entries(selector) == ["renamed"]


def test_a_selectors_menu_adds_renames_and_deletes(scene, selector):
    selector.baseName = "Result"
    selector.renameEnabled = True
    added = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", added.append)
    host.choose(selector, "Create new Volume")
    assert [node.GetName() for node in added] == ["Result"]
    assert selector.currentNode() is added[0]
    host.dialogs().answer("Better")
    host.choose(selector, "Rename current Volume")
    assert added[0].GetName() == "Better"
    host.choose(selector, "Delete current Volume")
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_a_removed_volume_is_freed(scene, selector):
    import weakref

    node = add(scene, "big")
    gone = weakref.ref(node)
    scene.RemoveNode(node)
    del node
    assert gone() is None


def test_checkable_selector(scene):
    widget = slicer.qMRMLCheckableNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    first, second = add(scene, "a"), add(scene, "b")
    seen = []
    widget.connect("checkedNodesChanged()", lambda: seen.append(len(widget.checkedNodes())))
    widget.check(second)
    widget.check(second)
    widget.setCheckState(first, qt.Qt.Checked)
    assert seen == [1, 2]
    assert widget.allChecked()
    widget.uncheck(first)
    assert widget.checkedNodes() == [second]
    assert widget.uncheckedNodes() == [first]


def test_slider_and_spin_box_keep_one_value_within_bounds(scene):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = -10, 10, 0.5, 1
    seen = []
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 3.5
    slider.setValue(3.5)
    slider.value = 99
    assert seen == [3.5, 10]
    slider.findChild(qt.QDoubleSpinBox).value = -2.5
    assert slider.value == -2.5
    slider.minimum = 0
    assert slider.value == 0
    assert seen[-1] == 0


def test_range_widget_orders_and_clamps(scene):
    widget = ctk.ctkRangeWidget()
    widget.setRange(0, 10)
    seen = []
    widget.connect("valuesChanged(double,double)", lambda low, high: seen.append((low, high)))
    widget.setValues(8, 2)
    widget.minimumValue = -5
    widget.maximumValue = 50
    assert seen == [(2, 8), (0, 8), (0, 10)]
    assert not hasattr(widget, "pageStep")  # the real one has none either


def test_paths_and_folders(scene, tmp_path):
    edit = ctk.ctkPathLineEdit()
    edit.filters = ctk.ctkPathLineEdit.Files
    seen, valid = [], []
    edit.connect("currentPathChanged(QString)", seen.append)
    edit.connect("validInputChanged(bool)", valid.append)
    edit.currentPath = str(tmp_path / "missing")
    edit.currentPath = str(tmp_path)
    assert seen == [str(tmp_path / "missing"), str(tmp_path)]
    assert valid == [True]
    host.dialogs().answer("/data/a.nrrd", None)
    edit.browse()
    edit.browse()
    assert edit.currentPath == "/data/a.nrrd"
    edit.settingKey = "host/paths"
    edit.addCurrentPathToHistory()
    other = ctk.ctkPathLineEdit()
    other.settingKey = "host/paths"
    assert other.currentPath == edit.currentPath
    button = ctk.ctkDirectoryButton()
    button.connect("directoryChanged(QString)", seen.append)
    host.dialogs().answer(str(tmp_path))
    button.browse()
    assert button.directory == seen[-1] == str(tmp_path)


def test_collapsing_keeps_what_was_hidden_on_purpose(scene):
    section = ctk.ctkCollapsibleButton("Section")
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    seen = []
    section.connect("contentsCollapsed(bool)", seen.append)
    section.collapsed = True
    assert not shown.visible
    section.collapsed = False
    assert (shown.visible, hidden.visible, seen) == (True, False, [True, False])
    box = ctk.ctkCollapsibleGroupBox("Box")
    inner = qt.QVBoxLayout(box)
    inner.addWidget(qt.QLabel("inside"))
    box.collapsed = True
    box.show()
    assert not box.findChild(qt.QLabel).visible


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
    host.wait_until(lambda: ended, what="the worker's end")
    assert ([line.strip() for line in lines], ended) == (["from the worker"], [0])
