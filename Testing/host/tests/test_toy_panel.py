"""A toy module on the host: it is clicked, saved, reloaded and looked at as a person would."""

from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from toy_module import add_volume, labels

import host


def test_the_ui_files_own_connections_deliver_the_scene(toy):
    assert toy.ui.inputSelector.mrmlScene() is slicer.mrmlScene
    assert toy.ui.outputSelector.mrmlScene() is slicer.mrmlScene
    assert toy.panel.isEntered
    assert toy.module.title == "Toy Threshold"
    host.check_errors()


def test_parameter_node_and_widgets_follow_each_other(toy):
    node, ui = toy.widget._parameterNode, toy.ui
    ui.thresholdSlider.value = 150
    ui.nameEdit.text = "tumour"
    host.choose(ui.sideCombo, "darker")
    ui.folderEdit.currentPath = "/data/logs"
    assert (node.threshold, node.segmentName, node.side) == (150, "tumour", toy.source.Side.below)
    assert node.logFolder == Path("/data/logs")
    node.threshold, node.segmentName, node.side = 75, "bone", toy.source.Side.above
    node.showSurface = True
    assert (ui.thresholdSlider.value, ui.nameEdit.text, ui.sideCombo.currentText) == (75, "bone", "brighter")
    assert ui.surfaceCheckBox.checked
    with pytest.raises(ValueError, match="501"):
        node.threshold = 501


def test_apply_is_disabled_without_a_volume(toy):
    assert not toy.ui.applyButton.enabled
    assert toy.ui.applyButton.toolTip == "Select a volume first"
    with pytest.raises(host.NotClickable):
        host.click(toy.ui.applyButton)
    volume, _ = add_volume()
    assert not toy.ui.applyButton.enabled  # "None" is allowed, so nothing selects itself
    host.choose(toy.ui.inputSelector, "Head")
    assert toy.ui.applyButton.enabled
    assert toy.widget._parameterNode.inputVolume is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert toy.ui.inputSelector.currentNode() is None
    assert not toy.ui.applyButton.enabled


def test_a_click_on_apply_segments_with_progress(toy):
    volume, inside = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    seen = []
    toy.ui.progressBar.valueChanged.connect(seen.append)
    host.click(toy.ui.applyButton)
    host.check_errors()
    assert seen == [30, 60, 100]
    assert toy.ui.progressBar.visible
    assert toy.ui.messageLabel.text == "Done."
    segmentation = toy.ui.outputSelector.currentNode()
    assert segmentation.GetClassName() == "vtkMRMLSegmentationNode"
    assert (labels(segmentation, volume) == inside).all()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(segmentation)


def test_an_error_reaches_the_person_as_a_message(toy):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    host.choose(toy.ui.inputSelector, "Empty")
    host.click(toy.ui.applyButton)
    (shown,) = host.dialogs().shown
    assert "Thresholding failed." in shown.text
    assert "Empty has no voxels: load it again" in shown.text
    (error,) = host.take_errors()  # tryWithErrorDisplay raises again
    assert isinstance(error, ValueError)


def test_closing_the_scene_resets_the_panel(toy):
    add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    toy.ui.thresholdSlider.value = 321
    host.close_scene()
    assert toy.ui.inputSelector.currentNode() is None
    assert not toy.ui.applyButton.enabled
    assert toy.ui.thresholdSlider.value == 100
    host.check_errors()


def test_a_saved_scene_brings_everything_back(toy, tmp_path):
    volume, inside = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    toy.ui.thresholdSlider.value = 130
    host.click(toy.ui.applyButton)
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    host.close_scene()
    slicer.util.loadScene(str(path))
    toy.panel.exit()
    toy.panel.enter()
    assert toy.ui.inputSelector.currentNode().GetName() == "Head"
    assert toy.ui.thresholdSlider.value == 130
    volume, segmentation = toy.ui.inputSelector.currentNode(), toy.ui.outputSelector.currentNode()
    assert (labels(segmentation, volume) == inside).all()
    host.check_errors()


def test_reload_makes_a_new_widget_that_works(toy):
    before = toy.widget
    toy.reload()
    assert toy.widget is not before
    assert toy.widget.parent is toy.panel
    add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    host.click(toy.ui.applyButton)
    assert toy.ui.messageLabel.text == "Done."
    host.check_errors()


def test_leaving_the_module_stops_its_observers(toy):
    volume, _ = add_volume()
    toy.leave()
    toy.logic.getParameterNode().inputVolume = volume
    assert not toy.ui.applyButton.enabled
    toy.show()
    assert toy.ui.applyButton.enabled


def test_the_modules_own_self_test_runs(toy):
    toy.module._instance.runTest(msec=1)


def test_a_worker_process_is_read_written_and_killed(toy):
    toy.ui.advancedCollapsibleButton.collapsed = False
    host.pump()
    host.click(toy.ui.workerButton)
    host.wait_until(lambda: toy.ui.logText.plainText == "ready\nhello\n", "the worker's answer")
    toy.widget.process.kill()
    host.wait_until(lambda: toy.ui.messageLabel.text == "Stopped.", "the worker's end")
    host.check_errors()


def test_a_folded_section_cannot_be_clicked(toy):
    with pytest.raises(host.NotClickable):
        host.click(toy.ui.workerButton)
    assert toy.ui.advancedCollapsibleButton.height < 60
    host.click(toy.ui.advancedCollapsibleButton)  # its middle is the header while it is folded
    assert toy.ui.workerButton.visible


def test_screenshots_show_panel_and_views(toy, tmp_path):
    volume, _ = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red")
    plain = host.pixels(red)
    assert plain.max() > 200
    assert plain.min() == 0
    host.click(toy.ui.applyButton)
    segmentation = toy.ui.outputSelector.currentNode()
    segmentation.GetSegmentation().GetSegment("bright").SetColor(1, 0, 0)
    segmentation.CreateClosedSurfaceRepresentation()
    coloured = host.pixels(red).astype(int)
    assert (coloured[..., 0] - coloured[..., 1] > 60).sum() > 1000
    three_d = slicer.app.layoutManager().threeDWidget(0)
    slicer.app.layoutManager().resetThreeDViews()
    surface = host.pixels(three_d).astype(int)
    assert (surface[..., 0] - surface[..., 2] > 40).sum() > 100
    for shown, name in ((toy, "panel"), (red, "red"), (three_d, "3d")):
        path = host.screenshot(shown, tmp_path / f"{name}.png")
        image = qt.QImage(str(path))
        assert len({image.pixel(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 7)}) > 10
