"""Correct and adapt: what a person marks is learned, stays as drawn, and can be taken back, saved and used again."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from made_models import LABELS, stored
from segmentation_panel import PATIENCE, add_scan, hold_worker, run, segment_array, segments, wait_for_run

import host
from kaf.segment import segment
from kaf.settings import SegmentSettings
from kaf.volume import Volume

NAMES = [label.name for label in LABELS]


@pytest.fixture
def adapting(panel, scan):
    """The panel with a scan, the section unfolded, and a second to learn."""
    return unfold(panel)


def unfold(panel):
    panel.ui.adaptSection.collapsed = False
    panel.ui.adaptSecondsSlider.value = 1
    host.pump()
    return panel


def masks(node, volume):
    return {name: segment_array(node, name, volume) for name in segments(node)}


def draw(node, volume, name, slices, axis=0, seed=0):
    """Scribbles into slices of a segment, and takes that away from the others, as the segment editor does."""
    found = masks(node, volume)
    place = tuple(list(slices) if other == axis else slice(None) for other in range(3))
    pattern = np.random.default_rng(seed).random(found[name][place].shape) < 0.3
    for other in found:
        found[other][place] = pattern if other == name else found[other][place] & ~pattern
        slicer.util.updateSegmentBinaryLabelmapFromArray(found[other].astype(np.uint8), node, segments(node)[other],
                                                         volume)
    return masks(node, volume)


def marked(panel):
    rows = panel.ui.exampleList
    return [rows.item(row).text() for row in range(rows.count)]


def text(panel):
    return panel.ui.adaptMessageLabel.text


def adapt(panel):
    """Presses Adapt and waits; returns the labels that the worker answered."""
    answers = []
    write, logic = panel.logic._write, panel.logic
    logic._write = lambda run, answer: (answers.append(np.array(answer["arrays"]["labels"][0])), write(run, answer))
    try:
        host.click(panel.ui.adaptButton)
        assert panel.ui.adaptButton.text == "Cancel", text(panel)
        wait_for_adapt(panel)
    finally:
        del logic._write
    return answers[0] if answers else None


def wait_for_adapt(panel):
    host.wait_until(lambda: panel.ui.adaptButton.text == "Adapt", PATIENCE, "the end of learning")


def red_offset(index, volume):
    """The offset of the red view for an axial slice of a scan."""
    return float((slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume)) @ [0, 0, index, 1])[2])


def ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def look_at(index, volume):
    slicer.app.layoutManager().sliceWidget("Red").sliceLogic().SetSliceOffset(red_offset(index, volume))


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_corrected_slices_are_found_learned_and_stay_as_drawn(adapting, scan, library, pictures):
    panel = adapting
    base = (library / "tiny.safetensors").read_bytes()
    node = run(panel)
    drawn = draw(node, scan, "LV cavity", [1, 2])
    host.click(panel.ui.findExamplesButton)
    assert [words.split(",")[0] for words in marked(panel)] == ["Slice 2 of 4", "Slice 3 of 4"]
    assert "Will learn from 2 slices for 1 s, then segment the other 2." in panel.ui.adaptForecastLabel.text
    answer = adapt(panel)
    found = masks(node, scan)
    assert sorted(found) == sorted(NAMES)
    for label in LABELS:
        np.testing.assert_array_equal(found[label.name][1:3], drawn[label.name][1:3])
        np.testing.assert_array_equal(found[label.name], answer == label.value)
    assert any((found[name][[0, 3]] != drawn[name][[0, 3]]).any() for name in found), "nothing was learned"
    assert text(panel).startswith("Learned from 2 slices: RV cavity ")
    assert not panel.ui.messageFrame.isVisible()  # the volumes that it told are not true any more
    assert not panel.ui.adaptProgressBar.isVisible()
    assert (library / "tiny.safetensors").read_bytes() == base
    pictures(panel, "adapt-done")


def test_adapt_finds_the_corrected_slices_by_itself(adapting, scan):
    node = run(adapting)
    draw(node, scan, "myocardium", [3])
    adapt(adapting)
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 4 of 4"]
    host.click(adapting.ui.findExamplesButton)
    assert "none was corrected since the last result" in text(adapting)
    draw(node, scan, "myocardium", [0], seed=1)
    host.click(adapting.ui.findExamplesButton)
    assert text(adapting) == "1 slice added: what differs from the last result."
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 1 of 4", "Slice 4 of 4"]


def test_undo_brings_back_the_corrections_and_forgets_the_model(adapting, scan):
    panel = adapting
    node = run(panel)
    drawn = draw(node, scan, "LV cavity", [1])
    adapt(panel)
    assert panel.ui.saveModelButton.enabled
    host.click(panel.ui.adaptUndoButton)
    same(masks(node, scan), drawn)
    assert not panel.ui.saveModelButton.enabled
    assert not panel.ui.adaptUndoButton.enabled
    host.click(panel.ui.clearExamplesButton)
    assert marked(panel) == []
    host.click(panel.ui.findExamplesButton)  # compares with the result before, again
    assert [words.split(",")[0] for words in marked(panel)] == ["Slice 2 of 4"]


def test_the_editors_own_undo_takes_an_adaptation_back(adapting, scan):
    node = run(adapting)
    drawn = draw(node, scan, "LV cavity", [1])
    adapt(adapting)
    adapting.widget.segmentation.adaptation.editor.widget.undo()
    same(masks(node, scan), drawn)


def test_cancel_changes_nothing(adapting, scan, pictures):
    panel = adapting
    node = run(panel)
    drawn = draw(node, scan, "LV cavity", [1])
    hold_worker(panel)
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Cancel"
    assert not panel.ui.applyButton.enabled
    assert not panel.ui.addExampleButton.enabled
    assert panel.widget.segmentation.adaptation.editor.widget.readOnly
    pictures(panel, "adapt-running")
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Adapt"
    assert text(panel) == "Learning was stopped. Nothing was changed."
    assert not panel.widget.segmentation.adaptation.editor.widget.readOnly
    host.pump(100)
    same(masks(node, scan), drawn)
    assert not panel.ui.saveModelButton.enabled
    adapt(panel)  # a fresh worker
    assert text(panel).startswith("Learned from 1 slice: ")


def test_progress_tells_the_time_left(adapting, scan):
    from kaf.events import Progress

    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    hold_worker(adapting)
    host.click(adapting.ui.adaptButton)
    bar = adapting.ui.adaptProgressBar
    assert bar.isVisible()
    assert bar.maximum == 0  # nothing can be told yet
    adapting.widget.segmentation.adaptation._onEvent(Progress("training", 0.25, 1.0, 30.2))
    assert bar.value == 250
    assert bar.format == "Learning: %p%, about 30 s left"
    assert not adapting.ui.progressBar.isVisible()
    host.click(adapting.ui.adaptButton)


def test_the_adapted_model_is_saved_listed_and_used(adapting, scan, library):
    panel, ui = adapting, adapting.ui
    assert not ui.saveModelButton.enabled
    node = run(panel)
    draw(node, scan, "LV cavity", [1, 2])
    adapt(panel)
    assert ui.modelNameEdit.text == "tiny-adapted"
    host.type_text(ui.modelNameEdit, "mine")
    path = library / "mine.safetensors"
    try:
        host.click(ui.saveModelButton)
        assert text(panel) == "Saved as 'mine'. Choose it under Model to use it on other scans."
        assert ui.modelComboBox.currentText == "tiny"
        host.click(ui.saveModelButton)
        assert "'mine' is in the library already" in text(panel)
        host.choose(ui.modelComboBox, "mine")
        assert "Adapted from tiny" in ui.modelCardLabel.text
        ui.outputSelector.setCurrentNode(None)
        again = run(panel)
        assert again is not node
        volume = Volume(slicer.util.arrayFromVolume(scan).copy(), slicer.util.arrayFromVTKMatrix(ijk_to_ras(scan)))
        expected = segment(volume, SegmentSettings(model=str(path), threads=1))
        assert expected.card.name == "mine"
        for label in LABELS:
            np.testing.assert_array_equal(segment_array(again, label.name, scan),
                                          expected.labels.voxels == label.value)
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(("name", "words"), [("a/b", "cannot be a file name"), ("tiny", "in the library already")])
def test_a_name_that_cannot_be_used(adapting, scan, library, name, words):
    import qt

    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    adapt(adapting)
    before = (library / "tiny.safetensors").read_bytes()
    host.type_text(adapting.ui.modelNameEdit, name)
    host.press_key(adapting.ui.modelNameEdit, qt.Qt.Key_Return)
    assert words in text(adapting)
    assert (library / "tiny.safetensors").read_bytes() == before
    assert [path.name for path in library.iterdir()] == ["tiny.safetensors"]


def test_a_structure_from_nothing(adapting, scan, library, pictures):
    panel, ui = adapting, adapting.ui
    assert "press New structure" in ui.adaptForecastLabel.text
    assert not ui.adaptButton.enabled
    host.click(ui.newStructureButton)
    node = ui.outputSelector.currentNode()
    assert node.GetName() == "Heart segmentation"
    assert ui.learnComboBox.currentText == "New structures"
    editor = panel.widget.segmentation.adaptation.editor.widget
    assert editor.currentSegmentID() == segments(node)["New structure"]
    assert editor.sourceVolumeNode() is scan
    node.GetSegmentation().GetSegment(segments(node)["New structure"]).SetName("valve")
    node.GetSegmentation().AddEmptySegment("other", "other")
    host.pump()
    shown = [(ui.structureList.item(row).text(), ui.structureList.item(row).checkState().value) for row in range(2)]
    assert shown == [("valve", 2), ("other", 0)]
    draw(node, scan, "other", [1], seed=5)
    drawn = draw(node, scan, "valve", [0, 2])
    for index in (2, 0):
        look_at(index, scan)
        host.click(ui.addExampleButton)
    assert [words.split(",")[0] for words in marked(panel)] == ["Slice 1 of 4", "Slice 3 of 4"]
    answer = adapt(panel)
    found = masks(node, scan)
    np.testing.assert_array_equal(found["valve"][[0, 2]], drawn["valve"][[0, 2]])
    np.testing.assert_array_equal(found["valve"], answer == 1)
    np.testing.assert_array_equal(found["other"][[0, 2, 3]], drawn["other"][[0, 2, 3]])
    assert sorted(found) == ["other", "valve"]
    pictures(panel, "adapt-from-nothing")
    host.type_text(ui.modelNameEdit, "valves")
    try:
        host.click(ui.saveModelButton)
        host.choose(ui.modelComboBox, "valves")
        assert "valve" in ui.modelCardLabel.text
        assert "myocardium" not in ui.modelCardLabel.text
    finally:
        (library / "valves.safetensors").unlink(missing_ok=True)


def test_next_slice_is_the_most_uncertain_that_is_no_example(adapting, scan, heart, library):
    panel = adapting
    expected = segment(heart, SegmentSettings(model=str(library / "tiny.safetensors"), threads=1, uncertainty=True))
    doubt = expected.uncertainty.voxels
    order = np.argsort(-doubt.sum(axis=(1, 2)))
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    green = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode()

    def press():
        host.click(panel.ui.nextSliceButton)
        host.wait_until(lambda: panel.ui.nextSliceButton.enabled, PATIENCE, "the order of the slices")
        return red.GetSliceOffset()

    assert press() == pytest.approx(red_offset(order[0], scan))
    row = np.unravel_index(np.argmax(doubt[order[0]]), doubt.shape[1:])[0]
    place = slicer.util.arrayFromVTKMatrix(ijk_to_ras(scan)) @ [0, row, 0, 1]
    assert green.GetSliceOffset() == pytest.approx(place[1])
    assert text(panel).startswith(f"Slice {order[0] + 1} of 4, ")
    assert press() == pytest.approx(red_offset(order[1], scan))
    look_at(order[2], scan)
    host.click(panel.ui.addExampleButton)
    assert press() == pytest.approx(red_offset(order[3], scan))  # the third is an example
    press()
    assert text(panel).startswith("Every slice was shown or is an example.")
    assert press() == pytest.approx(red_offset(order[0], scan))


def test_after_learning_the_adapted_model_says_what_to_check(adapting, scan):
    panel = adapting
    node = run(panel)
    draw(node, scan, "LV cavity", [1])
    adapt(panel)
    order = [index for index in panel.logic.review.order if index != 1]
    host.click(panel.ui.nextSliceButton)
    assert not panel.logic.backend.isBusy()  # nothing has to be asked
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    assert red.GetSliceOffset() == pytest.approx(red_offset(order[0], scan))


def test_a_new_structure_has_no_uncertainty_before_it_is_learned(adapting, scan):
    host.click(adapting.ui.newStructureButton)
    host.click(adapting.ui.nextSliceButton)
    assert text(adapting) == ("The model does not know the new structure yet. Draw it on about three slices and press "
                              "Adapt.")
    assert not adapting.logic.backend.isBusy()


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
    assert text(panel) == ("The Red view was not along the slices of the scan and has been turned to lie along them. "
                           "Look at the slice and add it again.")
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
    assert text(adapting).startswith("The last result is not known any more, so corrections cannot be found.")
    assert marked(adapting) == []


def test_examples_belong_to_their_scan(adapting, scan, heart):
    look_at(2, scan)
    host.click(adapting.ui.addExampleButton)
    add_scan(heart, "Another")
    host.choose(adapting.ui.inputSelector, "Another")
    assert marked(adapting) == []
    host.choose(adapting.ui.inputSelector, "Heart")
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 3 of 4"]


def test_the_list_of_examples(adapting, scan):
    ui = adapting.ui
    assert not ui.removeExampleButton.enabled
    for index in (3, 0, 3):
        look_at(index, scan)
        host.click(ui.addExampleButton)
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 1 of 4", "Slice 4 of 4"]
    assert text(adapting).endswith("is already an example.")
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
    assert adapting.ui.adaptButton.text == "Cancel"
    host.press_key(adapting.ui.adaptButton, qt.Qt.Key_Escape)
    assert adapting.ui.adaptButton.text == "Adapt"


def test_every_widget_has_a_tool_tip(adapting):
    import qt

    kinds = (qt.QPushButton, qt.QComboBox, qt.QLineEdit, qt.QListWidget, qt.QProgressBar)
    parts = [part for kind in kinds for part in adapting.ui.adaptSection.findChildren(kind)
             if not part.objectName.startswith("qt_") and part.objectName in vars(adapting.ui)]
    assert len(parts) >= 14
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


def begin(panel):
    """Presses Adapt with a worker that stands still, and waits until it has the voxels."""
    hold_worker(panel)
    host.click(panel.ui.adaptButton)
    host.wait_until(lambda: panel.logic.backend._running and panel.logic.backend._running.job, PATIENCE)
    return panel.logic.backend.client()._children[0].pid


def test_what_is_drawn_while_the_model_learns_stays(adapting, scan):
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    worker = begin(adapting)
    drawn = draw(node, scan, "RV cavity", [3], seed=7)
    os.kill(worker, signal.SIGCONT)
    wait_for_adapt(adapting)
    for name, found in masks(node, scan).items():
        np.testing.assert_array_equal(found[[1, 3]], drawn[name][[1, 3]])
    assert "Slice 4 was edited while the model was learning and stays as it is now." in text(adapting)


def test_the_worker_is_killed(adapting, scan):
    node = run(adapting)
    drawn = draw(node, scan, "LV cavity", [1])
    os.kill(begin(adapting), signal.SIGKILL)
    wait_for_adapt(adapting)
    assert text(adapting).startswith("Learning: the worker was killed")
    assert adapting.widget.segmentation.adaptation.message.level == "error"
    same(masks(node, scan), drawn)
    assert len(marked(adapting)) == 1
    adapt(adapting)
    assert text(adapting).startswith("Learned from 1 slice")


def test_the_scan_changes_or_goes_during_learning(adapting, scan):
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    worker = begin(adapting)
    slicer.util.updateVolumeFromArray(scan, slicer.util.arrayFromVolume(scan)[1:].copy())
    os.kill(worker, signal.SIGCONT)
    wait_for_adapt(adapting)
    assert text(adapting).startswith("Heart was changed while the model was running.")
    assert not adapting.ui.saveModelButton.enabled


@pytest.mark.parametrize("gone", ["scan", "segmentation", "segment", "scene"])
def test_something_is_removed_during_learning(adapting, scan, gone):
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    worker = begin(adapting)
    if gone == "segment":
        node.GetSegmentation().RemoveSegment(segments(node)["LV cavity"])
        os.kill(worker, signal.SIGCONT)
        wait_for_adapt(adapting)
        assert text(adapting).startswith("The segment 'LV cavity' was removed while the model was learning.")
        return
    if gone == "scene":
        host.close_scene()
    else:
        slicer.mrmlScene.RemoveNode(scan if gone == "scan" else node)
    host.pump(100)
    assert adapting.ui.adaptButton.text == "Adapt"
    assert "scene was closed" in text(adapting) if gone == "scene" else "was removed while" in text(adapting)


def test_no_scan_no_segmentation_no_choice(panel, heart):
    import qt

    ui = unfold(panel).ui
    assert ui.adaptForecastLabel.text == "Choose a scan and a model first."
    for button in (ui.adaptButton, ui.addExampleButton, ui.newStructureButton, ui.nextSliceButton):
        assert not button.enabled
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    assert ui.adaptForecastLabel.text.startswith("Press Apply and correct the result, or press New structure")
    assert not ui.adaptButton.enabled
    host.click(ui.newStructureButton)
    ui.structureList.item(0).setCheckState(qt.Qt.Unchecked)
    assert ui.adaptForecastLabel.text.startswith("Tick what to learn")
    assert not ui.adaptButton.enabled


def test_a_segment_added_in_the_editor_can_be_learned(adapting, scan):
    ui = adapting.ui
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    ui.outputSelector.setCurrentNode(node)
    assert not ui.adaptButton.enabled
    editor = adapting.widget.segmentation.adaptation.editor.widget
    host.click(next(button for button in editor.children() if button.objectName == "AddSegmentButton"))
    assert ui.adaptButton.enabled
    host.choose(ui.learnComboBox, "New structures")  # what no model made is ticked
    assert ui.structureList.isVisible()
    assert adapting.widget.segmentation.adaptation.structures.chosen() == list(node.GetSegmentation().GetSegmentIDs())
    node.GetSegmentation().RemoveAllSegments()
    assert not ui.adaptButton.enabled


def refused(panel):
    """Presses Adapt; nothing begins, and the reason is told."""
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Adapt"
    assert not panel.logic.isRunning()
    return text(panel)


def test_no_example_is_told(adapting, scan):
    run(adapting)
    assert refused(adapting) == ("No slice is marked as an example, and none was corrected since the last result. "
                                 "Correct or draw some slices, then add them.")


def test_examples_without_anything_drawn(adapting, scan):
    host.click(adapting.ui.newStructureButton)
    look_at(1, scan)
    host.click(adapting.ui.addExampleButton)
    assert refused(adapting) == ("The example slices hold nothing of 'New structure'. Draw it in at least one of them, "
                                 "or add a slice that shows it.")
    node = adapting.ui.outputSelector.currentNode()
    drawn = draw(node, scan, "New structure", [2])
    look_at(2, scan)
    host.click(adapting.ui.addExampleButton)
    adapt(adapting)  # one that holds nothing is allowed: nothing is there
    assert "Nothing is drawn in slice 2: the model has learned that nothing is there." in text(adapting)
    found = segment_array(node, "New structure", scan)
    np.testing.assert_array_equal(found[[1, 2]], drawn["New structure"][[1, 2]])
    assert not found[1].any()


def test_two_structures_over_each_other(adapting, scan):
    node = run(adapting)
    both = np.zeros((4, 64, 64), np.uint8)
    both[2, 20:30, 20:30] = 1
    for name in ("LV cavity", "RV cavity"):
        node.GetSegmentation().SeparateSegmentLabelmap(segments(node)[name])
        slicer.util.updateSegmentBinaryLabelmapFromArray(both, node, segments(node)[name], scan)
    if not (segment_array(node, "LV cavity", scan) & segment_array(node, "RV cavity", scan)).any():
        pytest.fail("the two do not overlap, so nothing is tested")
    look_at(2, scan)
    host.click(adapting.ui.addExampleButton)
    assert refused(adapting).startswith("Two structures lie over each other in slice 3")


def test_a_segmentation_of_something_else(adapting, scan):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Liver")
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    node.GetSegmentation().AddEmptySegment("liver", "liver")
    adapting.ui.outputSelector.setCurrentNode(node)
    look_at(1, scan)
    host.click(adapting.ui.addExampleButton)
    assert refused(adapting).startswith("Liver has no segment of the model 'tiny'.")


def test_segments_drawn_by_hand_under_the_names_of_the_model(adapting, scan):
    """Nobody has pressed Apply: what is called like a structure of the model is that structure, and becomes its own."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    node.GetSegmentation().AddEmptySegment("a", "lv CAVITY")
    adapting.ui.outputSelector.setCurrentNode(node)
    drawn = draw(node, scan, "lv CAVITY", [2])
    adapt(adapting)
    assert sorted(segments(node)) == ["RV cavity", "lv CAVITY", "myocardium"]
    np.testing.assert_array_equal(segment_array(node, "lv CAVITY", scan)[2], drawn["lv CAVITY"][2])
    run(adapting)
    assert sorted(segments(node)) == ["RV cavity", "lv CAVITY", "myocardium"]


def test_scripts_do_the_same_without_a_panel(panel, scan, library):
    from kaf.errors import InputError
    from KAFSegmentationLib import AdaptationLogic

    logic = AdaptationLogic(backend=panel.logic.backend)
    node = logic.process(scan, {"model": "tiny", "threads": 1}).segmentationNode
    drawn = draw(node, scan, "LV cavity", [0, 2])
    assert logic.corrected(scan, node, "tiny") == [0, 2]
    with pytest.raises(InputError, match="No model: was adapted yet"):
        logic.saveModel("batch")
    result = logic.adapt(scan, node, {"model": "tiny", "seconds": 1, "threads": 1, "slices": [2]})
    assert result.examples == [2]
    assert sorted(result.review.order) == [0, 1, 2, 3]
    for name, found in masks(node, scan).items():
        np.testing.assert_array_equal(found[2], drawn[name][2])
    with pytest.raises(InputError, match="Slice 5: is not in the scan, which has 4 slices"):
        logic.adapt(scan, node, {"model": "tiny", "slices": [4]})
    try:
        assert logic.saveModel("batch").card.name == "batch"
    finally:
        (library / "batch.safetensors").unlink(missing_ok=True)
    assert panel.widget.segmentation.adaptation.editor.widget is None
