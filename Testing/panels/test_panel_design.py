"""What is at hand without a search: 3D beside the result, the scan in the views, one line about the model, buttons that
stay in sight, and one Undo."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
import qt
import slicer
from adapt_panel import unfold
from segmentation_panel import add_scan, begin_held, hold_worker, run, settle, wait_for_run

import host


def background(view="Red"):
    return slicer.app.layoutManager().sliceWidget(view).sliceLogic().GetBackgroundLayer().GetVolumeNode()


def test_3d_works_at_once_and_later_results_get_it_too(panel, scan, heart):
    button = panel.ui.show3DButton
    assert not button.enabled
    node = run(panel)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    host.click(button)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    add_scan(heart, "Other")
    host.choose(panel.ui.inputSelector, "Other")
    assert not button.enabled
    other = run(panel)
    assert other is not node
    assert other.GetSegmentation().ContainsRepresentation("Closed surface")
    host.click(button)
    assert not other.GetSegmentation().ContainsRepresentation("Closed surface")
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_a_scan_that_is_chosen_is_shown_and_fitted(panel, scan, heart):
    other = add_scan(heart, "Other")
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    other.SetSpacing(*(4 * step for step in other.GetSpacing()))
    before = red.GetSliceNode().GetFieldOfView()
    host.choose(panel.ui.inputSelector, "Other")
    assert all(background(view) is other for view in ("Red", "Green", "Yellow"))
    assert red.GetSliceNode().GetFieldOfView()[0] > 2 * before[0]
    node = red.GetSliceNode()
    node.SetFieldOfView(10, 10, 1)
    panel.leave()
    panel.show()
    assert node.GetFieldOfView()[0] == pytest.approx(10, rel=0.5), "opening the panel again moved the view"


def test_label_maps_and_colour_pictures_are_not_offered(panel, scan):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photograph")
    host.pump(20)
    offered = {panel.ui.inputSelector.nodeFromIndex(index).GetName()
               for index in range(panel.ui.inputSelector.nodeCount())}
    assert offered == {"Heart"}


def test_the_model_is_one_line_and_details_on_request(panel, pictures):
    ui = panel.ui
    assert "Dice&nbsp;0.87" in ui.modelLineLabel.text
    assert "CC0-1.0" in ui.modelLineLabel.text
    assert not ui.modelCardLabel.isVisible()
    host.click(ui.modelDetailsButton)
    assert ui.modelCardLabel.isVisible()
    assert "32 held-out cases" in ui.modelCardLabel.text
    names = [label.name for label in panel.widget.segmentation.models.card("tiny").labels]
    assert all((name.replace(" ", "&nbsp;") in ui.modelLineLabel.text) != (name in ui.modelCardLabel.text)
               for name in names), "a structure is named twice, or not at all"
    host.click(ui.modelDetailsButton)
    assert not ui.modelCardLabel.isVisible()


def test_apply_and_undo_are_in_sight_on_a_small_screen(panel, scan, pictures):
    unfold(panel)
    panel.ui.attentionSection.collapsed = panel.ui.logSection.collapsed = False
    panel.show(380, 800)
    run(panel)
    host.pump(50)
    for button in (panel.ui.applyButton, panel.ui.undoButton):
        corner = button.mapTo(panel.panel, qt.QPoint(button.width, button.height))
        assert 0 < corner.x() <= 380
        assert 0 < corner.y() <= 800
    pictures(panel, "segmentation-800")


def test_scale_and_head_are_under_advanced(panel, scan):
    panel.ui.attentionSection.collapsed = False
    host.pump(20)
    assert not panel.ui.scaleComboBox.isVisible()
    panel.ui.attentionAdvancedGroupBox.checked = True
    host.pump(20)
    assert panel.ui.scaleComboBox.isVisible()
    assert panel.ui.headComboBox.isVisible()


def test_the_editor_fills_between_slices_and_grows_from_seeds(adapting):
    run(adapting)
    editor = adapting.widget.segmentation.adaptation.editor.widget
    shown = {button.text for button in editor.findChildren(qt.QToolButton) if button.isVisible()}
    assert {"Fill between slices", "Grow from seeds", "Paint"} <= shown


def test_clicks_count_in_views_that_a_later_layout_brings(panel, scan):
    from KAFSegmentationLib.scene.SliceClicks import SliceClicks

    points = []
    clicks = SliceClicks(points.append)
    clicks.start()
    manager = slicer.app.layoutManager()
    before = manager.layout
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutTwoOverTwoView)
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    try:
        widget = manager.sliceWidget("Slice4")
        host.click_view(widget, np.array([0.0, 0.0, widget.sliceLogic().GetSliceOffset()]))
        assert len(points) == 1
        clicks.close()
        manager.setLayout(before)
        host.click_view(widget, np.array([0.0, 0.0, widget.sliceLogic().GetSliceOffset()]))
        assert len(points) == 1
    finally:
        manager.setLayout(before)


def test_escape_stops_a_run(panel, scan):
    begin_held(panel)
    host.press_key(panel.panel, qt.Qt.Key_Escape)
    wait_for_run(panel)
    assert "stopped" in panel.ui.messageLabel.text


def test_escape_stops_an_attention_map_and_the_key_is_the_editor_s_again(panel, scan):
    section = panel.widget.segmentation
    panel.ui.attentionSection.collapsed = False
    hold_worker(panel)
    host.choose(panel.ui.viewComboBox, panel.ui.viewComboBox.itemText(1))
    host.wait_until(lambda: section.attention.isRunning, "a question on its way")
    assert section._escape.enabled
    host.press_key(panel.panel, qt.Qt.Key_Escape)
    assert "Stopped" in panel.ui.hintLabel.text
    assert not panel.logic.backend.isBusy()
    assert not section._escape.enabled
    host.choose(panel.ui.viewComboBox, panel.ui.viewComboBox.itemText(2))
    assert section.attention.isRunning, "another view is computed"
    settle(panel)
    assert not section._escape.enabled


def test_escape_stops_the_search_for_the_next_slice(adapting):
    run(adapting)
    hold_worker(adapting)
    host.click(adapting.ui.nextSliceButton)
    assert not adapting.ui.nextSliceButton.enabled
    host.press_key(adapting.panel, qt.Qt.Key_Escape)
    assert "stopped" in adapting.ui.adaptMessageLabel.text
    assert adapting.ui.nextSliceButton.enabled
    assert not adapting.logic.backend.isBusy()
