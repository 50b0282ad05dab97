"""Correct and adapt: a person draws on slices, the model learns from them, the rest of the scan follows."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from adapt_panel import NAMES, adapt, draw, ijk_to_ras, look_at, marked, masks, red_offset, same, text
from made_models import LABELS
from segmentation_panel import hold_worker, run, segment_array, segments

import host
from kaf.imaging.volume import Volume
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment


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
    assert text(panel).startswith("Learned from 2 slices.")
    assert not panel.ui.messageFrame.isVisible()  # that a run is done is not true any more
    assert not panel.ui.adaptProgressBar.isVisible()
    assert (library / "tiny.safetensors").read_bytes() == base
    pictures(panel, "adapt-done")


def test_adapt_finds_the_corrected_slices_by_itself(adapting, scan):
    node = run(adapting)
    draw(node, scan, "myocardium", [3])
    adapt(adapting)
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 4 of 4"]
    host.click(adapting.ui.findExamplesButton)
    assert text(adapting) == "No slice was drawn or corrected since the last result."
    draw(node, scan, "myocardium", [0], seed=1)
    host.click(adapting.ui.findExamplesButton)
    assert text(adapting).startswith("1 corrected slice was accepted.")
    assert [words.split(",")[0] for words in marked(adapting)] == ["Slice 1 of 4", "Slice 4 of 4"]


def test_undo_brings_back_the_corrections_and_forgets_the_model(adapting, scan):
    panel = adapting
    node = run(panel)
    drawn = draw(node, scan, "LV cavity", [1])
    adapt(panel)
    assert panel.ui.saveModelButton.enabled
    host.click(panel.ui.undoButton)
    same(masks(node, scan), drawn)
    assert not panel.ui.saveModelButton.enabled
    assert not panel.ui.undoButton.enabled
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
    assert panel.ui.adaptButton.text == "Cancel", host.seen()
    assert not panel.ui.applyButton.enabled
    assert not panel.ui.addExampleButton.enabled
    assert panel.widget.segmentation.adaptation.editor.widget.readOnly
    pictures(panel, "adapt-running")
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Train"
    assert text(panel) == "Learning: stopped. Nothing was changed."
    assert not panel.widget.segmentation.adaptation.editor.widget.readOnly
    host.pump(100)
    same(masks(node, scan), drawn)
    assert not panel.ui.saveModelButton.enabled
    adapt(panel)  # a fresh worker
    assert text(panel).startswith("Learned from 1 slice.")


def test_progress_tells_the_time_left(adapting, scan):
    from kaf.runtime.events import Progress
    from kaf.runtime.message_codes import TRAINING

    node = run(adapting)
    draw(node, scan, "LV cavity", [1])
    hold_worker(adapting)
    host.click(adapting.ui.adaptButton)
    bar = adapting.ui.adaptProgressBar
    assert bar.isVisible()
    assert bar.maximum == 0  # nothing can be known yet
    adapting.widget.segmentation.adaptation.training.onEvent(Progress("training", 0.25, 1.0, 30.2, TRAINING))
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
        assert text(panel) == "Model saved as 'mine'. Choose it under Model to use it on other scans."
        assert ui.modelComboBox.currentText == "tiny"
        host.click(ui.saveModelButton)
        assert "'mine': is in the library already" in text(panel)
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
    assert "press Add structure" in ui.adaptForecastLabel.text
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
        assert "valve" in ui.modelLineLabel.text
        assert "myocardium" not in ui.modelLineLabel.text + ui.modelCardLabel.text
    finally:
        (library / "valves.safetensors").unlink(missing_ok=True)


def test_next_slice_is_the_most_uncertain_that_is_no_example(adapting, scan, heart, library):
    panel = adapting
    run(panel)
    expected = segment(heart, SegmentSettings(model=str(library / "tiny.safetensors"), threads=1, uncertainty=True))
    doubt = expected.uncertainty.voxels
    order = np.argsort(-doubt.sum(axis=(1, 2)))
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    green = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode()

    def press():
        host.click(panel.ui.nextSliceButton)
        host.wait_until(lambda: panel.ui.nextSliceButton.enabled, "the order of the slices")
        return red.GetSliceOffset()

    assert press() == pytest.approx(red_offset(order[0], scan))
    row = np.unravel_index(np.argmax(doubt[order[0]]), doubt.shape[1:])[0]
    place = slicer.util.arrayFromVTKMatrix(ijk_to_ras(scan)) @ [0, row, 0, 1]
    assert green.GetSliceOffset() == pytest.approx(place[1])
    assert text(panel).startswith(f"Slice {order[0] + 1} of 4, ")
    assert press() == pytest.approx(red_offset(order[1], scan))
    panel.widget.segmentation.adaptation.examples.add([int(order[2])])
    assert press() == pytest.approx(red_offset(order[3], scan))  # the third is finished
    press()
    assert text(panel).startswith("Every slice has been shown or is finished.")
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
    draw(adapting.ui.outputSelector.currentNode(), scan, "New structure", [1])
    host.click(adapting.ui.nextSliceButton)
    assert text(adapting) == "Model: it does not know the new structure yet. Draw it on a slice and accept that slice."
    assert not adapting.logic.backend.isBusy()
