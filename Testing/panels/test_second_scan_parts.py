"""A second scan after a first result: views, drawings, examples and what was learned stay with their scan, too."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from adapt_panel import adapt, begin, draw, look_at, marked, masks, same, text, unfold, wait_for_adapt
from segmentation_panel import add_scan, hold_worker, overlay, press, run, segments, settle

import host
from kaf.imaging.volume import Volume


@pytest.fixture
def second(scan, heart):
    return add_scan(Volume(np.ascontiguousarray(heart.voxels[:, ::-1]), heart.affine), "Second")


@pytest.fixture
def looking(panel, scan, second):
    """The panel with the attention of the first scan on the slices."""
    panel.ui.attentionSection.collapsed = False
    host.pump()
    host.choose(panel.ui.viewComboBox, "Attention of the whole scan")
    settle(panel)
    assert overlay(panel).isShown()
    return panel


def points(panel):
    nodes = panel.widget.segmentation.attention.keypoints._nodes
    return sum(node.GetNumberOfControlPoints() for node in nodes)


def test_attention_of_one_scan_is_not_seen_on_another(looking):
    hold_worker(looking)  # the new answer takes its time
    host.choose(looking.ui.inputSelector, "Second")
    assert not overlay(looking).isShown()
    assert points(looking) == 0
    assert not looking.ui.exportButton.enabled


def test_attention_comes_for_the_scan_that_is_shown(looking, second):
    host.choose(looking.ui.inputSelector, "Second")
    settle(looking)
    assert overlay(looking).isShown()
    assert overlay(looking)._volumeNode is second
    host.click(looking.ui.exportButton)
    assert slicer.util.getNode("Second attention") is not None


def test_a_keypoint_of_one_scan_is_not_asked_on_another(looking, second, heart):
    host.choose(looking.ui.viewComboBox, "Attention from a keypoint")
    part = looking.widget.segmentation.attention
    part.ask((heart.affine @ [20, 30, 1, 1])[:3])
    settle(looking)
    assert part._asked.view == "from"
    host.choose(looking.ui.inputSelector, "Second")
    assert part._asked.view == "saliency"  # nothing is asked there yet: only what can be clicked
    assert part._asked.key[0] == second.GetID()


def test_a_scan_that_was_changed_while_the_panel_was_closed(looking, second):
    looking.leave()
    looking.logic.getParameterNode().inputVolume = second
    hold_worker(looking)
    looking.show()
    assert not overlay(looking).isShown()
    assert points(looking) == 0


def test_an_answer_that_fails_leaves_nothing_of_the_one_before(looking, library):
    from made_models import tiny_model

    path = tiny_model(library / "brief.safetensors")
    try:
        looking.leave()
        looking.show()
        settle(looking)
        host.choose(looking.ui.modelComboBox, "brief")
        settle(looking)
        assert overlay(looking).isShown()
        path.unlink()
        host.choose(looking.ui.viewComboBox, "Uncertainty of the result")
        settle(looking)
        assert looking.widget.segmentation.message.level == "error"
        assert not overlay(looking).isShown()
    finally:
        path.unlink(missing_ok=True)


@pytest.fixture
def learned(adapting, scan, second):
    """The model has learned from a slice of the first scan."""
    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    adapt(adapting)
    return adapting


def test_what_was_learned_is_shown_and_saved_with_its_scan(learned, library, pictures):
    ui = learned.ui
    assert ui.saveModelButton.enabled
    host.choose(ui.inputSelector, "Second")
    assert not ui.saveModelButton.enabled
    assert ui.modelNameEdit.text == ""
    assert not ui.adaptMessageFrame.isVisible()
    assert not ui.undoButton.enabled
    assert "The model adapted to 'Heart' has not been saved. Select that scan to save it." in ui.adaptForecastLabel.text
    pictures(learned, "second-scan-learned")
    host.choose(ui.inputSelector, "Heart")
    assert ui.modelNameEdit.text == "tiny-adapted"
    ui.modelNameEdit.text = "first heart"
    try:
        host.click(ui.saveModelButton)
        assert text(learned).startswith("Model saved as 'first heart'.")
        host.choose(ui.inputSelector, "Second")
        assert "The model adapted to" not in ui.adaptForecastLabel.text
    finally:
        (library / "first heart.safetensors").unlink(missing_ok=True)


def test_both_scans_keep_what_they_have_learned(learned, scan, second):
    logic, ui = learned.logic, learned.ui
    first = logic.adaptations.of(scan).model
    host.choose(ui.inputSelector, "Second")
    node = run(learned)
    draw(node, second, "LV cavity", [2])
    adapt(learned)
    assert logic.adaptations.of(second).model is not first
    host.click(ui.undoButton)
    assert logic.adaptations.of(second) is None
    host.choose(ui.inputSelector, "Heart")
    assert logic.adaptations.of(scan).model is first
    assert ui.saveModelButton.enabled


def test_a_model_that_was_not_saved_outlives_its_scene(learned, heart, library):
    host.close_scene()
    add_scan(heart, "Third")
    host.choose(learned.ui.inputSelector, "Third")
    assert "The model adapted to 'Heart', which is no longer in the scene, has not been saved yet." \
        in learned.ui.adaptForecastLabel.text
    learned.ui.modelNameEdit.text = "rescued"
    try:
        host.click(learned.ui.saveModelButton)
        assert (library / "rescued.safetensors").is_file()
        assert not learned.ui.saveModelButton.enabled
        assert "The model adapted to" not in learned.ui.adaptForecastLabel.text
    finally:
        (library / "rescued.safetensors").unlink(missing_ok=True)


def test_learning_that_ends_after_another_scan_was_chosen(adapting, scan, second):
    import os
    import signal

    first = run(adapting)
    draw(first, scan, "LV cavity", [1])
    worker = begin(adapting)
    host.choose(adapting.ui.inputSelector, "Second")
    os.kill(worker, signal.SIGCONT)
    wait_for_adapt(adapting)
    assert text(adapting).startswith("Learned from 1 slice of 'Heart' and updated 'Heart segmentation'.")
    assert "RV cavity" not in text(adapting)
    assert adapting.ui.outputSelector.currentNode() is None
    assert not adapting.ui.saveModelButton.enabled
    assert adapting.logic.adaptations.of(scan) is not None
    assert adapting.logic.adaptations.of(second) is None


def test_adapt_asks_before_it_writes_among_what_is_another_scans(adapting, scan, second):
    ui = adapting.ui
    first = run(adapting)
    drawn = draw(first, scan, "LV cavity", [1])
    host.choose(ui.inputSelector, "Second")
    host.choose(ui.outputSelector, "Heart segmentation")
    editor = adapting.widget.segmentation.adaptation.editor
    assert not ui.editorFrame.isVisible()  # a brush would write, too
    assert not editor._isOpen
    look_at(1, second)
    for button in (ui.findExamplesButton, ui.addExampleButton, ui.adaptButton):
        host.dialogs().answer(press("Cancel"))
        host.click(button)
        assert "'Heart segmentation' belongs to the scan 'Heart', not to 'Second'." in host.dialogs().texts()[-1]
        assert marked(adapting) == []
    assert ui.adaptButton.text == "Train"
    same(masks(first, scan), drawn)
    adapting.widget.segmentation.adaptation.examples.add([1])
    host.dialogs().answer(press("Write anyway"))
    adapt(adapting)
    assert text(adapting).startswith("Learned from 1 slice")
    assert ui.editorFrame.isVisible()
    host.click(ui.undoButton)
    same(masks(first, scan), drawn)


def test_a_new_structure_goes_into_a_segmentation_of_the_scan(adapting, scan, second):
    ui = adapting.ui
    first = run(adapting)
    host.choose(ui.inputSelector, "Second")
    host.choose(ui.outputSelector, "Heart segmentation")
    host.dialogs().answer(press("Cancel"))
    host.click(ui.newStructureButton)
    assert sorted(segments(first)) == ["LV cavity", "RV cavity", "myocardium"]
    host.dialogs().answer(press("New segmentation"))
    host.click(ui.newStructureButton)
    node = ui.outputSelector.currentNode()
    assert node.GetName() == "Second segmentation"
    assert sorted(segments(node)) == ["New structure"]
    assert sorted(segments(first)) == ["LV cavity", "RV cavity", "myocardium"]


def test_ticks_are_of_the_segmentation_not_of_the_number_of_a_segment(adapting, scan, second):
    ui = adapting.ui
    host.click(ui.newStructureButton)
    first = ui.outputSelector.currentNode()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn elsewhere")
    other.SetReferenceImageGeometryParameterFromVolumeNode(second)
    (segmentId,) = first.GetSegmentation().GetSegmentIDs()
    other.GetSegmentation().AddEmptySegment(segmentId, "not to be learned")
    host.choose(ui.inputSelector, "Second")
    host.choose(ui.outputSelector, "Drawn elsewhere")
    parameters = adapting.logic.getParameterNode()
    assert list(parameters.newStructures) == []
    host.choose(ui.inputSelector, "Heart")
    assert ui.outputSelector.currentNode() is first
    assert list(parameters.newStructures) == [segmentId]


def test_each_scan_keeps_the_slices_that_were_marked_on_it(adapting, scan, second):
    def mark(index, volume):
        if adapting.ui.outputSelector.currentNode() is None:
            host.click(adapting.ui.newStructureButton)
        look_at(index, volume)
        host.click(adapting.ui.addExampleButton)

    mark(2, scan)
    host.choose(adapting.ui.inputSelector, "Second")
    assert marked(adapting) == []
    mark(0, second)
    mark(1, second)
    for _ in range(2):
        host.choose(adapting.ui.inputSelector, "Heart")
        assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 3 of 4"]
        host.choose(adapting.ui.inputSelector, "Second")
        assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 1 of 4", "Slice 2 of 4"]


def test_a_review_that_comes_late_is_not_shown_on_another_scan(adapting, scan, second):
    run(adapting)
    hold_worker(adapting)
    host.click(adapting.ui.nextSliceButton)
    host.choose(adapting.ui.inputSelector, "Second")
    assert not adapting.ui.adaptMessageFrame.isVisible()
    assert adapting.ui.nextSliceButton.enabled
    assert marked(adapting) == []


def test_the_section_is_made_for_the_scan_that_is_chosen_later(panel, scan, second):
    run(panel)
    host.choose(panel.ui.inputSelector, "Second")
    unfold(panel)
    assert not panel.ui.editorFrame.isVisible()
    host.click(panel.ui.newStructureButton)
    editor = panel.widget.segmentation.adaptation.editor.widget
    assert editor.sourceVolumeNode() is second
    assert editor.segmentationNode().GetName() == "Second segmentation"
