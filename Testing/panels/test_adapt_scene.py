"""Correct and adapt: however the scan is stored, saved with the scene, examples, keys."""

import os

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from adapt_panel import NAMES, adapt, draw, ijk_to_ras, look_at, marked, masks, red_offset, text, unfold
from made_models import stored
from segmentation_panel import add_scan, hold_worker, run, segment_array, wait_for_run

import host
from kaf.imaging.volume import Volume


@pytest.mark.parametrize(("order", "flips"), [((2, 1, 0), (False, False, True)), ((1, 0, 2), (True, True, False))])
def test_however_the_scan_is_stored(panel, heart, order, flips):
    axis = order.index(0)
    node = add_scan(stored(heart, order, flips))
    host.choose(panel.ui.inputSelector, "Heart")
    unfold(panel)
    result = run(panel)
    stack = slicer.util.arrayFromVolume(node).shape[axis]
    drawn = draw(result, node, "LV cavity", [1], axis)
    centre = (np.array(slicer.util.arrayFromVolume(node).shape) - 1) / 2
    centre[axis] = 1
    point = slicer.util.arrayFromVTKMatrix(ijk_to_ras(node)) @ [*centre[::-1], 1]
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    red.JumpSliceByOffsetting(*point[:3])
    host.click(panel.ui.addExampleButton)
    assert marked(panel)[0].startswith(f"Slice 2 of {stack}, "), text(panel)
    host.click(panel.ui.clearExamplesButton)
    adapt(panel)  # finds the same one
    assert marked(panel)[0].startswith(f"Slice 2 of {stack}, ")
    found = masks(result, node)
    for name in NAMES:
        np.testing.assert_array_equal(np.take(found[name], 1, axis), np.take(drawn[name], 1, axis))


def test_a_scan_that_lies_oblique_and_is_moved(panel, heart):
    import vtk
    from made_models import turned

    node = add_scan(Volume(heart.voxels, turned() @ heart.affine))
    move = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
    transform = vtk.vtkTransform()
    transform.Translate(5, -7, 11)
    transform.RotateX(8)
    move.SetMatrixTransformToParent(transform.GetMatrix())
    node.SetAndObserveTransformNodeID(move.GetID())
    host.choose(panel.ui.inputSelector, "Heart")
    unfold(panel)
    result = run(panel)
    assert result.GetTransformNodeID() == move.GetID()
    drawn = draw(result, node, "LV cavity", [2])
    host.click(panel.ui.addExampleButton)
    assert text(panel) == ("Red view: it was not parallel to the slices of the scan and has been aligned with them. "
                           "Check the slice and accept it again.")
    assert marked(panel) == []
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    toRas = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())[:3, :3]
    np.testing.assert_allclose(toRas.T @ toRas, np.eye(3), atol=1e-6)
    world = slicer.util.arrayFromVTKMatrix(transform.GetMatrix()) @ turned() @ heart.affine
    assert abs(toRas[:, 2] @ (world[:3, 2] / np.linalg.norm(world[:3, 2]))) == pytest.approx(1)
    red.JumpSliceByOffsetting(*(world @ [31.5, 31.5, 2, 1])[:3])
    host.click(panel.ui.addExampleButton)
    assert marked(panel)[0].startswith("Slice 3 of 4, ")
    adapt(panel)
    for name, found in masks(result, node).items():
        np.testing.assert_array_equal(found[2], drawn[name][2])


def test_the_choices_travel_with_the_scene(adapting, scan, tmp_path):
    panel, ui = adapting, adapting.ui
    host.click(ui.newStructureButton)
    node = ui.outputSelector.currentNode()
    drawn = draw(node, scan, "New structure", [1, 3])
    for index in (3, 1):
        look_at(index, scan)
        host.click(ui.addExampleButton)
    before = marked(panel)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    assert marked(panel) == []
    assert not ui.adaptButton.enabled
    slicer.util.loadScene(path)
    host.pump()
    assert marked(panel) == before
    assert ui.adaptSecondsSlider.value == 1
    assert ui.learnComboBox.currentText == "New structures"
    adapt(panel)
    volume, node = ui.inputSelector.currentNode(), ui.outputSelector.currentNode()
    found = segment_array(node, "New structure", volume)
    np.testing.assert_array_equal(found[[1, 3]], drawn["New structure"][[1, 3]])
    assert text(panel).startswith("Learned from 2 slices")
    words = str(panel.logic.getParameterNode().parameterNode)
    assert "safetensors" not in words
    assert os.path.expanduser("~") + "/" not in words


def test_a_result_of_another_session_cannot_be_compared_with(adapting, scan, tmp_path):
    run(adapting)
    path = str(tmp_path / "scene.mrb")
    slicer.util.saveScene(path)
    host.close_scene()
    slicer.util.loadScene(path)
    host.pump()
    host.click(adapting.ui.findExamplesButton)
    assert text(adapting).startswith("Last result: it is no longer known, so corrected slices cannot be found.")
    assert marked(adapting) == []


def test_examples_belong_to_their_scan(adapting, scan, heart):
    host.click(adapting.ui.newStructureButton)
    look_at(2, scan)
    host.click(adapting.ui.addExampleButton)
    add_scan(heart, "Another")
    host.choose(adapting.ui.inputSelector, "Another")
    assert marked(adapting) == []
    host.choose(adapting.ui.inputSelector, "Heart")
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 3 of 4"]


def test_the_list_of_examples(adapting, scan):
    ui = adapting.ui
    host.click(ui.newStructureButton)
    assert not ui.removeExampleButton.enabled
    for index in (3, 0, 3):
        look_at(index, scan)
        host.click(ui.addExampleButton)
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 1 of 4", "Slice 4 of 4"]
    ui.exampleList.setCurrentRow(0)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    assert red.GetSliceOffset() == pytest.approx(red_offset(0, scan))
    host.click(ui.removeExampleButton)
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 4 of 4"]
    look_at(40, scan)
    host.click(ui.addExampleButton)
    assert "shows no slice of the scan" in text(adapting)


def test_the_editor_is_made_when_it_is_needed(panel, scan):
    adaptation = panel.widget.segmentation.adaptation
    run(panel)
    assert adaptation.editor.widget is None
    panel.ui.adaptSection.collapsed = False
    host.pump()
    editor = adaptation.editor.widget
    assert editor.isVisible()
    assert editor.segmentationNode() is panel.ui.outputSelector.currentNode()
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect() is not None
    panel.leave()
    assert editor.activeEffect() is None
    panel.show()
    editor.setActiveEffectByName("Paint")
    panel.ui.adaptSection.collapsed = True
    assert editor.activeEffect() is None


def test_keys(adapting, scan):
    import qt

    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    hold_worker(adapting)
    adapting.panel.window().activateWindow()
    adapting.ui.adaptButton.setFocus()
    host.press_key(adapting.ui.adaptButton, qt.Qt.Key_Return, qt.Qt.ControlModifier | qt.Qt.ShiftModifier)
    assert adapting.ui.adaptButton.text == "Cancel", host.seen()
    host.press_key(adapting.ui.adaptButton, qt.Qt.Key_Escape)
    assert adapting.ui.adaptButton.text == "Train"


def test_every_widget_has_a_tool_tip(adapting):
    import qt

    kinds = (qt.QPushButton, qt.QComboBox, qt.QLineEdit, qt.QListWidget, qt.QProgressBar)
    parts = [part for kind in kinds for part in adapting.panel.findChildren(kind)
             if not part.objectName.startswith("qt_") and part.objectName in vars(adapting.ui)]
    assert len(parts) >= 25
    assert [part.objectName for part in parts if not part.toolTip] == []
    assert adapting.ui.adaptSecondsSlider.toolTip


def test_segmenting_and_learning_do_not_run_at_once(adapting, scan):
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    host.click(adapting.ui.applyButton)
    assert not adapting.ui.adaptButton.enabled
    assert adapting.ui.adaptForecastLabel.text == "Wait until the scan is segmented."
    wait_for_run(adapting)
    assert adapting.ui.adaptButton.enabled
