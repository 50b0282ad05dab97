"""Correct and adapt: what goes wrong, what is removed on the way, what cannot be learned; and without a panel."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from adapt_panel import adapt, begin, draw, look_at, marked, masks, refused, same, text, unfold, wait_for_adapt
from segmentation_panel import add_scan, hold_worker, run, segment_array, segments

import host


def test_what_is_drawn_while_the_model_learns_stays(adapting, scan):
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    worker = begin(adapting)
    drawn = draw(node, scan, "RV cavity", [3], seed=7)
    os.kill(worker, signal.SIGCONT)
    wait_for_adapt(adapting)
    for name, found in masks(node, scan).items():
        np.testing.assert_array_equal(found[[1, 3]], drawn[name][[1, 3]])
    assert "Slice 4 was edited while the model was learning and keeps your edits." in text(adapting)


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
    assert text(adapting).startswith("Heart: this scan was changed while the model was running.")
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
        assert text(adapting).startswith("LV cavity: this segment was removed while the model was learning.")
        return
    if gone == "scene":
        host.close_scene()
    else:
        slicer.mrmlScene.RemoveNode(scan if gone == "scan" else node)
    host.pump(100)
    assert adapting.ui.adaptButton.text == "Train"
    assert "scene was closed" in text(adapting) if gone == "scene" else "was removed while" in text(adapting)


def test_no_scan_no_segmentation_no_choice(panel, heart):
    import qt

    ui = unfold(panel).ui
    assert ui.adaptForecastLabel.text == "Choose a scan and a model first."
    for button in (ui.adaptButton, ui.addExampleButton, ui.newStructureButton, ui.nextSliceButton):
        assert not button.enabled
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    assert ui.adaptForecastLabel.text.startswith("Press Apply and correct the result, or press Add structure")
    assert not ui.adaptButton.enabled
    host.click(ui.newStructureButton)
    ui.structureList.item(0).setCheckState(qt.Qt.Unchecked)
    assert ui.adaptForecastLabel.text.startswith("Select the structures")
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


def test_no_example_is_reported(adapting, scan):
    run(adapting)
    assert refused(adapting) == ("Finished slices: no slice was accepted, and none was corrected since the last "
                                 "result. Correct or draw some slices, then accept them.")


def test_examples_without_anything_drawn(adapting, scan):
    host.click(adapting.ui.newStructureButton)
    look_at(1, scan)
    host.click(adapting.ui.addExampleButton)
    assert refused(adapting) == ("Finished slices: none of them shows 'New structure'. Draw it in at least one "
                                 "of them, or accept a slice that shows it.")
    node = adapting.ui.outputSelector.currentNode()
    drawn = draw(node, scan, "New structure", [2])
    look_at(2, scan)
    host.click(adapting.ui.addExampleButton)
    adapt(adapting)  # one that holds nothing is allowed: nothing is there
    assert "Slice 2 is empty: the model has learned it as background." in text(adapting)
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
    assert refused(adapting).startswith("Slice 3: two structures overlap in it")


def test_a_segmentation_of_something_else(adapting, scan):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Liver")
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    node.GetSegmentation().AddEmptySegment("liver", "liver")
    adapting.ui.outputSelector.setCurrentNode(node)
    look_at(1, scan)
    host.click(adapting.ui.addExampleButton)
    assert refused(adapting).startswith("Liver: it has no segment of the model 'tiny'.")


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
    from kaf.runtime.errors import InputError
    from KAFSegmentationLib import AdaptationLogic

    logic = AdaptationLogic(backend=panel.logic.backend)
    node = logic.process(scan, {"model": "tiny", "threads": 1}).segmentationNode
    drawn = draw(node, scan, "LV cavity", [0, 2])
    assert logic.corrected(scan, node, "tiny") == [0, 2]
    with pytest.raises(InputError, match="Model: none has been adapted yet"):
        logic.saveModel("batch")
    result = logic.adapt(scan, node, {"model": "tiny", "seconds": 1, "threads": 1, "slices": [2]})
    assert result.examples == [2]
    assert sorted(result.review.order) == [0, 1, 2, 3]
    for name, found in masks(node, scan).items():
        np.testing.assert_array_equal(found[2], drawn[name][2])
    with pytest.raises(InputError, match="Slice 5: the scan has only 4 slices"):
        logic.adapt(scan, node, {"model": "tiny", "slices": [4]})
    try:
        assert logic.saveModel("batch").card.name == "batch"
    finally:
        (library / "batch.safetensors").unlink(missing_ok=True)
    assert panel.widget.segmentation.adaptation.editor.widget is None


def test_the_worker_is_killed_during_an_update(adapting, scan):
    """The memory itself, in a real worker: the update is sent again, and the worker can be asked about it."""
    host.click(adapting.ui.newStructureButton)
    node = adapting.ui.outputSelector.currentNode()
    drawn = draw(node, scan, "New structure", [1, 2])
    part = adapting.widget.segmentation.adaptation
    look_at(2, scan)
    hold_worker(adapting)
    host.click(adapting.ui.addExampleButton)
    host.wait_until(lambda: adapting.logic.backend._running and adapting.logic.backend._running.job, "the voxels")
    os.kill(adapting.logic.backend.client()._children[0].pid, signal.SIGKILL)
    host.wait_until(lambda: not part.propagation.loop.isRunning, "the update")
    assert text(adapting).startswith("Slice 3 of 4, "), text(adapting)
    assert "Slice 2 was drawn on but not accepted, and stays as drawn." in text(adapting)
    found = segment_array(node, "New structure", scan)
    np.testing.assert_array_equal(found[1:3], drawn["New structure"][1:3])
    assert adapting.ui.resultLabel.text.startswith("Shown: the finished slices alone, because the structures are new;")
    host.click(adapting.ui.whereFromButton)
    part.whereFrom.ask(part.examples.scan.point([3, 32, 32]))
    host.wait_until(lambda: part.whereFrom._ticket is None, "the answer")
    assert "taken from slice 3 (100 %)" in text(adapting)
    rows, columns = np.nonzero(segment_array(node, "New structure", scan)[3])
    adapting.ui.removeClickButton.checked = True
    part.clicks.click(part.examples.scan.point([3, rows[0], columns[0]]))
    host.wait_until(lambda: not part.propagation.loop.isRunning, "the update")
    assert text(adapting).startswith("1 click added. The other slices were updated."), text(adapting)
    assert not segment_array(node, "New structure", scan)[3, rows[0], columns[0]]
