"""Where Slicer's own widgets get in the way: keys of the segment editor, and selectors that choose by themselves."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from adapt_panel import draw
from segmentation_panel import add_scan, begin_held, hold_worker, run, segments

import host


@pytest.fixture
def inWindow(adapting, scan):
    """The panel with the segment editor open, in the main window, as in Slicer: the editor's keys are that window's."""
    host.main_window(adapting)
    host.pump(50)
    editor = adapting.widget.segmentation.adaptation.editor
    yield adapting, editor
    slicer.util.mainWindow()._releasePanel(adapting.panel)
    slicer.util.mainWindow().hide()
    adapting.show()


def test_escape_cancels_a_run_while_the_segment_editor_is_open(inWindow):
    panel, editor = inWindow
    begin_held(panel)
    assert editor.widget.isVisible() or panel.ui.outputSelector.currentNode() is None
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Escape)
    assert panel.ui.applyButton.text == "Apply"
    assert "stopped" in panel.ui.messageLabel.text


def test_escape_cancels_learning_and_puts_the_tool_away_otherwise(inWindow, scan):
    panel, editor = inWindow
    node = run(panel)
    draw(node, scan, "LV cavity", [1])
    editor.widget.setActiveEffectByName("Paint")
    host.press_key(panel.ui.adaptButton, qt.Qt.Key_Escape)
    assert editor.widget.activeEffect() is None
    hold_worker(panel)
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Cancel"
    host.press_key(panel.ui.adaptButton, qt.Qt.Key_Escape)
    assert panel.ui.adaptButton.text == "Adapt"
    host.press_key(panel.ui.adaptButton, qt.Qt.Key_2)  # the keys are the editor's again
    assert editor.widget.activeEffect() is not None
    panel.ui.adaptSection.collapsed = True
    editor.widget.setActiveEffect(None)
    host.press_key(panel.ui.applyButton, qt.Qt.Key_2)
    assert editor.widget.activeEffect() is None


def test_no_key_of_the_editor_changes_the_segmentation_during_a_run(inWindow, scan):
    panel, editor = inWindow
    node = run(panel)
    editor.widget.saveStateForUndo()
    node.GetSegmentation().RemoveSegment(segments(node)["LV cavity"])
    begin_held(panel)
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Z)
    assert "LV cavity" not in segments(node)
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Escape)
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Z)
    assert "LV cavity" in segments(node)


def test_the_editor_that_opens_before_there_is_a_segmentation_asks_for_nothing_that_fails(inWindow, capfd):
    panel, editor = inWindow
    panel.ui.adaptSecondsSlider.value = 7  # every change brings the editor in line
    host.pump(20)
    assert editor.widget is not None
    assert panel.ui.outputSelector.currentNode() is None
    assert "need to set segment editor and segmentation nodes first" not in capfd.readouterr().err


def test_another_scan_of_the_same_name_is_taken(panel, scan, heart):
    """Its text is the same, and the selector tells of the text."""
    twin = add_scan(heart, "Heart")
    combo = panel.ui.inputSelector.findChild(qt.QComboBox)
    row = [panel.ui.inputSelector.nodeFromIndex(index) for index in range(2)].index(twin) + 1
    combo.setCurrentIndex(row)
    combo.activated.emit(row)
    assert panel.ui.inputSelector.currentNode() is twin
    assert panel.widget.segmentation.parameters.inputVolume is twin
    node = run(panel)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is twin


@pytest.mark.parametrize("selector", ["outputSelector", "roiSelector", "inputSelector"])
def test_what_is_removed_leaves_its_place_empty(panel, scan, heart, selector):
    """The selector chooses the next one by itself: a segmentation that somebody drew, a scan of another patient."""
    kind = {"outputSelector": "vtkMRMLSegmentationNode", "roiSelector": "vtkMRMLMarkupsROINode"}.get(selector)
    widget = getattr(panel.ui, selector)
    first = slicer.mrmlScene.AddNewNodeByClass(kind, "first") if kind else scan
    second = slicer.mrmlScene.AddNewNodeByClass(kind, "second") if kind else add_scan(heart, "Second")
    for node in (first, second):
        if kind == "vtkMRMLSegmentationNode":
            node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    widget.setCurrentNode(first)
    slicer.mrmlScene.RemoveNode(first)
    host.pump(20)
    name = {"outputSelector": "outputSegmentation", "roiSelector": "roi"}.get(selector, "inputVolume")
    assert widget.currentNode() is None
    assert getattr(panel.widget.segmentation.parameters, name) is None
    assert second.GetScene() is slicer.mrmlScene


def test_a_scene_that_is_added_leaves_the_choices(panel, scan, tmp_path):
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    host.choose(panel.ui.outputSelector, "drawn")
    panel.ui.roiSelector.setCurrentNode(region)
    other = slicer.vtkMRMLScene()
    other.AddNode(slicer.vtkMRMLModelNode())
    other.SetURL(str(tmp_path / "other.mrml"))
    other.Commit()
    slicer.mrmlScene.SetURL(str(tmp_path / "other.mrml"))
    slicer.mrmlScene.Import()
    host.pump(20)
    assert panel.ui.inputSelector.currentNode() is scan
    parameters = panel.widget.segmentation.parameters
    assert (parameters.inputVolume, parameters.outputSegmentation, parameters.roi) == (scan, drawn, region)
    assert panel.ui.outputSelector.currentNode() is drawn
