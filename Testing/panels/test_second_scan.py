"""A second scan after a first result: what was found in one patient stays with that patient."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from segmentation_panel import add_scan, begin_held, let_go, press, run, segment_array, segments, wait_for_run

import host
from kaf.imaging.volume import Volume


@pytest.fixture
def second(scan, heart):
    """Another patient, mirrored, so that a result of one is none of the other; in a study of its own."""
    node = add_scan(Volume(np.ascontiguousarray(heart.voxels[:, ::-1]), heart.affine), "Second")
    for volume, patient in ((scan, "Anna"), (node, "Ben")):
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        subject = tree.CreateSubjectItem(tree.GetSceneItemID(), patient)
        tree.SetItemParent(tree.GetItemByDataNode(volume), tree.CreateStudyItem(subject, f"Study of {patient}"))
    return node


def owner(node):
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def study(node):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return tree.GetItemName(tree.GetItemParent(tree.GetItemByDataNode(node)))


def found_in(node, volume):
    return {name: segment_array(node, name, volume) for name in segments(node)}


def same(found, before):
    assert found.keys() == before.keys()
    for name in before:
        np.testing.assert_array_equal(found[name], before[name])


def results():
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_it_gets_a_segmentation_of_its_own_and_the_first_stays(panel, scan, second, pictures):
    first = run(panel)
    before = found_in(first, scan)
    host.choose(panel.ui.inputSelector, "Second")
    assert panel.ui.outputSelector.currentNode() is None
    assert not panel.ui.messageFrame.isVisible()  # it told of the other scan
    pictures(panel, "second-scan-chosen")
    other = run(panel)
    assert other is not first
    assert other.GetName() == "Second segmentation"
    assert (owner(other), study(other)) == (second, "Study of Ben")
    assert (owner(first), study(first)) == (scan, "Study of Anna")
    same(found_in(first, scan), before)
    mirrored = found_in(other, second)
    assert any((mirrored[name] != before[name]).any() for name in before)
    assert host.dialogs().shown == []


def test_going_back_chooses_what_belongs_to_the_scan(panel, scan, second):
    first = run(panel)
    host.choose(panel.ui.inputSelector, "Second")
    other = run(panel)
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.outputSelector.currentNode() is first
    assert not panel.ui.messageFrame.isVisible()
    host.choose(panel.ui.inputSelector, "Second")
    assert panel.ui.outputSelector.currentNode() is other


def test_of_several_results_the_one_that_was_chosen_last_comes_back(panel, scan, second):
    first = run(panel)
    panel.ui.outputSelector.setCurrentNode(None)
    later = run(panel)
    assert later is not first
    host.choose(panel.ui.outputSelector, first.GetName())
    host.choose(panel.ui.inputSelector, "Second")
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.outputSelector.currentNode() is first


def test_a_run_that_ends_after_another_scan_was_chosen_goes_to_its_own(panel, scan, second, pictures):
    first = run(panel)
    before = found_in(first, scan)
    drawn = np.zeros(before["LV cavity"].shape, np.uint8)
    drawn[1, 3:9, 3:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, first, segments(first)["LV cavity"], scan)
    begin_held(panel)
    host.choose(panel.ui.inputSelector, "Second")
    assert panel.ui.forecastLabel.text == (
        "'Heart' is still being segmented; the result will be written to 'Heart segmentation'.")
    pictures(panel, "second-scan-while-the-first-runs")
    let_go(panel)
    wait_for_run(panel)
    assert panel.ui.inputSelector.currentNode() is second
    assert panel.ui.outputSelector.currentNode() is None
    same(found_in(first, scan), before)
    assert results() == [first]
    assert panel.ui.messageLabel.text.startswith("'Heart' was segmented into 'Heart segmentation' in ")
    assert "RV cavity" not in panel.ui.messageLabel.text  # volumes would be read as this scan's
    assert "RV cavity" in panel.ui.logText.plainText
    assert not panel.ui.undoButton.enabled
    other = run(panel)
    assert (other.GetName(), owner(other)) == ("Second segmentation", second)
    same(found_in(first, scan), before)


def test_a_first_run_that_ends_after_another_scan_was_chosen(panel, scan, second):
    begin_held(panel)
    host.choose(panel.ui.inputSelector, "Second")
    let_go(panel)
    wait_for_run(panel)
    (first,) = results()
    assert (first.GetName(), owner(first), study(first)) == ("Heart segmentation", scan, "Study of Anna")
    assert panel.ui.outputSelector.currentNode() is None
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.outputSelector.currentNode() is first


def test_an_error_of_another_scan_says_whose_it_is(panel, scan, second):
    begin_held(panel)
    host.choose(panel.ui.inputSelector, "Second")
    os.kill(panel.logic.backend.client()._children[0].pid, signal.SIGKILL)
    wait_for_run(panel)
    assert panel.ui.messageLabel.text.startswith("'Heart' was not segmented. Segmentation: the worker was killed")
    result = run(panel)
    assert result is not None, host.seen()  # which says why the next run failed
    assert result.GetName() == "Second segmentation"


def test_a_scan_that_is_removed_while_another_is_shown(panel, scan, second):
    begin_held(panel)
    host.choose(panel.ui.inputSelector, "Second")
    slicer.mrmlScene.RemoveNode(scan)
    host.pump(100)
    assert "Heart: this node was removed while the model was running." in panel.ui.messageLabel.text
    assert run(panel).GetName() == "Second segmentation"


def test_undo_is_of_the_scan_that_is_shown(panel, scan, second):
    first = run(panel)
    before = found_in(first, scan)
    drawn = np.zeros(before["LV cavity"].shape, np.uint8)
    drawn[1, 3:9, 3:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, first, segments(first)["LV cavity"], scan)
    run(panel)
    assert panel.ui.undoButton.enabled
    host.choose(panel.ui.inputSelector, "Second")
    assert not panel.ui.undoButton.enabled
    panel.widget.segmentation.undo.undo()  # a shortcut, or a click that was on its way
    same(found_in(first, scan), before)
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.undoButton.enabled
    host.click(panel.ui.undoButton)
    np.testing.assert_array_equal(segment_array(first, "LV cavity", scan), drawn.astype(bool))


QUESTION = "'Heart segmentation' belongs to the scan 'Heart', not to 'Second'."


def test_the_segmentation_of_another_scan_is_written_into_after_a_question_only(panel, scan, second, pictures):
    first = run(panel)
    before = found_in(first, scan)
    host.choose(panel.ui.inputSelector, "Second")
    host.choose(panel.ui.outputSelector, "Heart segmentation")
    assert QUESTION in panel.ui.forecastLabel.text
    assert panel.ui.applyButton.enabled
    asked = []

    def cancel(box):
        asked.append([button.text.replace("&", "") for button in box.buttons()])
        pictures(box, "second-scan-question")
        return press("Cancel")(box)

    host.dialogs().answer(cancel)
    host.click(panel.ui.applyButton)
    assert asked == [["New segmentation", "Write anyway", "Cancel"]]
    assert host.dialogs().texts()[0].startswith(QUESTION)
    assert panel.ui.applyButton.text == "Apply"
    same(found_in(first, scan), before)

    host.dialogs().answer(press("New segmentation"))
    other = run(panel)
    assert (other.GetName(), owner(other)) == ("Second segmentation", second)
    same(found_in(first, scan), before)

    host.choose(panel.ui.outputSelector, "Heart segmentation")
    host.dialogs().answer(press("Write anyway"))
    assert run(panel) is first
    assert (owner(first), study(first), first.GetName()) == (scan, "Study of Anna", "Heart segmentation")
    assert any((found != before[name]).any() for name, found in found_in(first, scan).items())
    run(panel)  # once is enough
    assert len(host.dialogs().shown) == 3


def test_nobody_is_asked_where_nobody_can_answer(panel, scan, second):
    first = run(panel)
    before = found_in(first, scan)
    host.choose(panel.ui.inputSelector, "Second")
    host.choose(panel.ui.outputSelector, "Heart segmentation")
    host.set_testing(True)
    try:
        other = run(panel)
    finally:
        host.set_testing(False)
    assert (other.GetName(), owner(other)) == ("Second segmentation", second)
    same(found_in(first, scan), before)


def test_what_was_made_on_a_scan_that_is_gone_is_not_taken_for_another(panel, scan, second):
    first = run(panel)
    before = found_in(first, second)
    scan.SetName("Renamed")
    slicer.mrmlScene.RemoveNode(scan)
    host.pump()
    host.choose(panel.ui.inputSelector, "Second")
    assert panel.ui.outputSelector.currentNode() is None
    assert not panel.ui.messageFrame.isVisible()
    host.choose(panel.ui.outputSelector, "Heart segmentation")
    host.dialogs().answer(press("Cancel"))
    host.click(panel.ui.applyButton)
    assert host.dialogs().texts()[0].startswith(
        "'Heart segmentation' was created from the scan 'Heart', which is no longer in the scene, not from 'Second'.")
    same(found_in(first, second), before)


def test_after_saving_and_loading_it_is_still_known(panel, scan, second, tmp_path):
    run(panel)
    host.choose(panel.ui.inputSelector, "Second")
    run(panel)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    slicer.util.loadScene(path)
    host.pump()
    ui = panel.ui
    assert ui.outputSelector.currentNode().GetName() == "Second segmentation"
    host.choose(ui.inputSelector, "Heart")
    assert ui.outputSelector.currentNode().GetName() == "Heart segmentation"
    host.choose(ui.inputSelector, "Second")
    assert ui.outputSelector.currentNode().GetName() == "Second segmentation"


def test_a_scene_that_mixed_them_up_is_asked_about(panel, scan, second, tmp_path):
    """Scenes of versions before may hold one scan beside the segmentation of another."""
    first = run(panel)
    panel.leave()
    panel.logic.getParameterNode().inputVolume = second
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    slicer.util.loadScene(path)
    panel.show()
    first, volume = slicer.util.getNode("Heart segmentation"), slicer.util.getNode("Heart")
    before = found_in(first, volume)
    assert panel.ui.outputSelector.currentNode() is first
    host.dialogs().answer(press("Cancel"))
    host.click(panel.ui.applyButton)
    same(found_in(first, volume), before)
    host.dialogs().answer(press("New segmentation"))
    assert run(panel).GetName() == "Second segmentation"
    same(found_in(first, volume), before)


def test_scripts_are_refused(panel, scan, second):
    from kaf.runtime.errors import InputError

    logic, settings = panel.logic, {"model": "tiny", "threads": 1}
    first = logic.process(scan, settings).segmentationNode
    before = found_in(first, scan)
    with pytest.raises(InputError, match="belongs to the scan 'Heart', not to 'Second'"):
        logic.process(second, settings, first)
    with pytest.raises(InputError, match="belongs to the scan 'Heart'"):
        logic.start(second, settings, first)
    with pytest.raises(InputError, match="belongs to the scan 'Heart'"):
        logic.adapt(second, first, {**settings, "slices": [1], "seconds": 1})
    same(found_in(first, scan), before)
    assert logic.process(second, settings, first, otherScan=True).segmentationNode is first
    assert owner(first) is scan


def test_a_segmentation_that_changes_hands_during_the_run_is_left_alone(panel, scan, second):
    first = run(panel)
    before = found_in(first, scan)
    begin_held(panel)
    first.SetReferenceImageGeometryParameterFromVolumeNode(second)
    let_go(panel)
    wait_for_run(panel)
    assert panel.ui.messageLabel.text.startswith("Result: 'Heart segmentation' belongs to the scan 'Second'")
    same(found_in(first, scan), before)


def test_voxels_that_were_exchanged_during_the_run_get_no_result(panel, scan, heart):
    """Another time point of a sequence, or an import into the same node: same size, same place, other patient."""
    begin_held(panel)
    slicer.util.updateVolumeFromArray(scan, np.ascontiguousarray(heart.voxels[:, ::-1]))
    let_go(panel)
    wait_for_run(panel)
    assert panel.ui.messageLabel.text.startswith("Heart: this scan was changed while the model was running.")
    assert results() == []


def test_the_region_of_one_scan_is_not_applied_to_the_next(panel, scan, second):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    panel.ui.optionsGroupBox.checked = True
    host.pump()
    host.choose(panel.ui.roiSelector, "Box")
    assert panel.logic.getParameterNode().roi is roi
    host.choose(panel.ui.inputSelector, "Second")
    assert panel.logic.getParameterNode().roi is None
    assert panel.ui.roiSelector.currentNode() is None


def test_a_segmentation_that_the_selector_makes_is_the_scans(panel, scan, second):
    host.choose(panel.ui.inputSelector, "Second")
    host.choose(panel.ui.outputSelector, "Create new Segmentation")
    node = panel.ui.outputSelector.currentNode()
    assert (node.GetName(), owner(node), study(node)) == ("Second segmentation", second, "Study of Ben")
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.outputSelector.currentNode() is None


def test_the_scan_that_is_shown_when_the_panel_opens_gets_its_own(panel, scan, second):
    first = run(panel)
    panel.leave()
    panel.logic.getParameterNode().inputVolume = None
    slicer.util.setSliceViewerLayers(background=second)
    panel.show()
    assert panel.ui.inputSelector.currentNode() is second
    assert panel.ui.outputSelector.currentNode() is None
    assert run(panel) is not first


