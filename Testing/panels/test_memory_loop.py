"""Correct and adapt is one loop: draw, accept, and the other slices follow; nothing that was drawn is ever lost."""

import json
import struct

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from adapt_panel import look_at, marked, red_offset, text, unfold
from memory_client import MemoryClient
from segmentation_panel import add_scan, segment_array, segments

import host


@pytest.fixture(scope="module")
def shared(make_shared_panel):
    panel = make_shared_panel(client=MemoryClient())
    panel.client = panel.logic.backend.client()
    return panel


@pytest.fixture
def client(shared):
    shared.client.__init__()
    return shared.client


@pytest.fixture
def opened(shared, heart, client, quietHost):
    """The panel with a scan, the section unfolded, and a worker that answers at once."""
    host.close_scene()
    shared.logic.getParameterNode().modelName = "tiny"
    shared.scan = add_scan(heart)
    host.choose(shared.ui.inputSelector, "Heart")
    yield unfold(shared)
    host.check_errors()


@pytest.fixture
def loop(opened):
    """The same with an empty structure to draw."""
    host.click(opened.ui.newStructureButton)
    opened.node = opened.ui.outputSelector.currentNode()
    return opened


def paint(panel, index, rows, name="New structure", axis=0):
    """Draws a block of rows into a slice of a structure, and nothing else into that slice."""
    voxels = segment_array(panel.node, name, panel.scan)
    sheet = np.moveaxis(voxels, axis, 0)[index]
    sheet[:] = False
    sheet[rows, 20:40] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels.astype(np.uint8), panel.node,
                                                     segments(panel.node)[name], panel.scan)
    return sheet.copy()


def drawn(panel, name="New structure"):
    return segment_array(panel.node, name, panel.scan)


def accept(panel, index):
    look_at(index, panel.scan)
    host.click(panel.ui.addExampleButton)
    wait(panel)


def wait(panel):
    part = panel.widget.segmentation.adaptation.propagation
    host.wait_until(lambda: not part.loop.isRunning and not panel.logic.backend.isBusy(), "the update")


def test_an_accepted_slice_updates_the_others_and_stays_as_drawn(loop, client, pictures):
    mine = paint(loop, 1, slice(10, 30))
    accept(loop, 1)
    assert (drawn(loop) == mine).all(axis=(1, 2)).tolist() == [True] * 4
    assert [words.split(",")[0] for words in marked(loop)] == ["Slice 2 of 4"]
    assert text(loop).startswith("Slice 2 of 4, ")
    assert text(loop).endswith("was accepted. The other slices were updated.")
    assert loop.ui.resultLabel.text == ("Shown: the finished slices alone, because the structures are new; the "
                                        "Dice that it expects of the other slices is 0.50.")
    verb, settings, arrays, _options = client.requests[-1]
    assert (verb, settings["slices"], settings["axis"], settings["labels"]) == \
        ("propagate", [1], "axial", {1: "New structure"})
    assert settings["use"] == "memory"  # the model is not asked about what it does not know
    assert not arrays["drawn"][0][[0, 2, 3]].any()
    pictures(loop, "memory-updated")


@pytest.mark.parametrize(("choice", "words"), [
    ({"source": "combination", "reason": "measured", "slices": 3, "dice": {"model": 0.88, "combination": 0.932}},
     "Shown: the model and the finished slices together, the best on 3 finished slices left out in turn (Dice: the "
     "model alone 0.88, the model and the finished slices together 0.93); the Dice that it expects of the other slices "
     "is 0.90."),
    ({"source": "model", "reason": "asked", "slices": 0, "dice": {}},
     "Shown: the model alone, as you asked; the Dice that it expects of the other slices is 0.90."),
    ({"source": "model", "reason": "nothing", "slices": 0, "dice": {}},
     "Shown: the finished slices of earlier patients, because no slice of this scan is finished; the Dice that it "
     "expects of the other slices is 0.90."),
    ({"source": "a later version's"}, "")])
def test_the_sentence_about_the_result(shared, choice, words):
    from KAFSegmentationLib.adapt.ResultSentence import resultSentence

    assert resultSentence(choice, 0.9) == words


def test_one_key_accepts_and_one_goes_on(loop, client):
    paint(loop, 0, slice(10, 30))
    look_at(0, loop.scan)
    loop.panel.window().activateWindow()
    loop.ui.addExampleButton.setFocus()
    host.press_key(loop.ui.addExampleButton, qt.Qt.Key_A)
    wait(loop)
    host.press_key(loop.ui.addExampleButton, qt.Qt.Key_N)
    assert text(loop).startswith("Slice 4 of 4, ")
    assert "check this one next. Confidence 0.50, 8 mm beyond the outermost finished slice." in text(loop)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    assert red.GetSliceOffset() == pytest.approx(red_offset(3, loop.scan))
    loop.ui.adaptSection.collapsed = True
    host.press_key(loop.panel, qt.Qt.Key_A)
    assert len(marked(loop)) == 1


def test_what_is_drawn_while_an_update_runs_is_kept_and_the_latest_update_wins(loop, client):
    paint(loop, 0, slice(10, 30))
    client.isHeld = True
    look_at(0, loop.scan)
    host.click(loop.ui.addExampleButton)
    host.wait_until(lambda: len(client.requests) == 1, "the first update")
    second = paint(loop, 3, slice(30, 50))
    look_at(3, loop.scan)
    host.click(loop.ui.addExampleButton)
    third = paint(loop, 1, slice(5, 8))  # not accepted
    client.isHeld = False
    wait(loop)
    assert [settings["slices"] for _verb, settings, *_rest in client.requests] == [[0], [0, 3]]
    found = drawn(loop)
    np.testing.assert_array_equal(found[3], second)
    np.testing.assert_array_equal(found[2], second)
    np.testing.assert_array_equal(found[1], third)
    assert "Slice 2 was drawn on but not accepted, and stays as drawn." in text(loop)
    accept(loop, 1)
    np.testing.assert_array_equal(drawn(loop)[1], third)


def test_undo_is_one_step_and_keeps_what_was_drawn_since(loop):
    first = paint(loop, 0, slice(10, 30))
    accept(loop, 0)
    second = paint(loop, 2, slice(40, 50))
    accept(loop, 2)
    later = paint(loop, 3, slice(2, 4))
    host.click(loop.ui.undoButton)
    found = drawn(loop)
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], first)
    np.testing.assert_array_equal(found[2], second)  # drawn before the update
    np.testing.assert_array_equal(found[3], later)
    assert [words.split(",")[0] for words in marked(loop)] == ["Slice 1 of 4"]
    assert host.dialogs().shown == []
    assert not loop.ui.undoButton.enabled
    assert not loop.ui.resultLabel.isVisible()
    accept(loop, 2)
    np.testing.assert_array_equal(drawn(loop)[3], later)


def test_a_slice_that_is_taken_off_stays_as_drawn(loop):
    paint(loop, 0, slice(10, 30))
    accept(loop, 0)
    second = paint(loop, 3, slice(40, 50))
    accept(loop, 3)
    loop.ui.exampleList.setCurrentRow(1)
    host.click(loop.ui.removeExampleButton)
    wait(loop)
    np.testing.assert_array_equal(drawn(loop)[3], second)
    assert (drawn(loop)[1] == drawn(loop)[0]).all()


def test_an_empty_slice_waits_for_a_drawn_one(loop, client):
    accept(loop, 0)
    assert text(loop).endswith("was accepted. No structure is drawn in a finished slice yet. Draw it in at least one "
                               "slice and accept that slice.")
    assert client.requests == []
    mine = paint(loop, 3, slice(10, 30))
    accept(loop, 3)
    assert not drawn(loop)[[0, 1]].any()
    np.testing.assert_array_equal(drawn(loop)[2], mine)


def test_a_worker_that_dies_is_asked_again_once(loop, client):
    mine = paint(loop, 1, slice(10, 30))
    client.deaths = 1
    accept(loop, 1)
    assert (drawn(loop) == mine).all()
    assert len(client.requests) == 2
    paint(loop, 3, slice(40, 50))
    before = drawn(loop)
    client.deaths = 2
    accept(loop, 3)
    assert "the worker was killed" in text(loop)
    np.testing.assert_array_equal(drawn(loop), before)
    assert len(marked(loop)) == 2  # it is finished all the same
    accept(loop, 3)
    assert text(loop).endswith("The other slices were updated.")


def test_several_structures_and_every_direction(loop, client):
    host.click(loop.ui.newStructureButton)
    name = "New structure 2"
    paint(loop, 1, slice(10, 30))
    paint(loop, 1, slice(40, 50), name)
    accept(loop, 1)
    assert drawn(loop)[3, 20, 30]
    assert drawn(loop, name)[3, 45, 30]
    host.choose(loop.ui.directionComboBox, "Coronal slices")
    sheet = paint(loop, 32, slice(1, 3), axis=1)
    green = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode()
    point = loop.widget.segmentation.adaptation.examples.scan.centre(32)
    green.JumpSliceByOffsetting(*point)
    host.click(loop.ui.addExampleButton)
    wait(loop)
    settings = client.requests[-1][1]
    assert settings["slices"] == [1]
    assert settings["axis"] == "axial"
    assert settings["coronal"] == [32]
    np.testing.assert_array_equal(drawn(loop)[:, 32], sheet)
    assert [words.split(",")[0] for words in marked(loop)] == ["Slice 33 of 64", "Slice 2 of 4"]


def test_structures_that_overlap_are_refused(loop, client):
    host.click(loop.ui.newStructureButton)
    both = np.zeros((4, 64, 64), np.uint8)
    both[2, 20:30, 20:30] = 1
    for segmentId in segments(loop.node).values():
        loop.node.GetSegmentation().SeparateSegmentLabelmap(segmentId)
        slicer.util.updateSegmentBinaryLabelmapFromArray(both, loop.node, segmentId, loop.scan)
    accept(loop, 2)
    assert "two structures overlap in it. Erase one of them" in text(loop)
    assert client.requests == []


def test_no_model_at_all(loop, client):
    loop.logic.getParameterNode().modelName = ""
    mine = paint(loop, 2, slice(10, 30))
    accept(loop, 2)
    assert client.requests[-1][1]["model"] == ""
    assert (drawn(loop) == mine).all()


def test_where_a_label_came_from(loop, client, pictures):
    paint(loop, 1, slice(10, 30))
    assert not loop.ui.whereFromButton.enabled
    accept(loop, 1)
    look_at(2, loop.scan)
    host.click(loop.ui.whereFromButton)
    tool = loop.widget.segmentation.adaptation.whereFrom
    widget = slicer.app.layoutManager().sliceWidget("Red")
    scan = loop.widget.segmentation.adaptation.examples.scan
    manager = slicer.app.layoutManager()
    views = {name: manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()}
    before = {name: slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).copy() for name, node in views.items()}
    host.click_view(widget, scan.point([2, 20, 30]))
    host.wait_until(lambda: tool._ticket is None, "the answer")
    assert client.requests[-1][0] == "provenance"
    assert client.requests[-1][3] == {"voxel": [30, 20, 2]}
    assert text(loop).startswith("Label 'New structure', taken from slice 2 (100 %): 75 % of the marked places")
    changed = {name: matrix for name, node in views.items()
               if abs((matrix := slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())) - before[name]).max() > 1e-6}
    ((_name, shown),) = changed.items()
    np.testing.assert_allclose(shown[:3, 3] @ shown[:3, 2], scan.centre(1) @ shown[:3, 2], atol=1e-3)
    points = [node.GetNumberOfControlPoints() for node in tool._markers._nodes]
    assert sum(points) == 3
    pictures(loop, "memory-where-from")
    host.click(loop.ui.whereFromButton)
    for name, node in views.items():
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()), before[name], atol=1e-9)
    assert sum(node.GetNumberOfControlPoints() for node in tool._markers._nodes) == 0


def test_in_a_finished_slice_the_label_is_the_users_own(loop, client):
    paint(loop, 1, slice(10, 30))
    accept(loop, 1)
    look_at(1, loop.scan)
    host.click(loop.ui.whereFromButton)
    count = len(client.requests)
    scan = loop.widget.segmentation.adaptation.examples.scan
    host.click_view(slicer.app.layoutManager().sliceWidget("Red"), scan.point([1, 20, 30]))
    assert text(loop) == "This slice is finished: its labels are those that you drew."
    assert len(client.requests) == count


def test_where_nothing_is_drawn_the_first_slices_are_proposed(loop, client):
    host.click(loop.ui.nextSliceButton)
    assert text(loop).startswith("Slice 3 of 4, ")
    assert "draw the structure here if it is visible" in text(loop)
    loop.ui.learnComboBox.setCurrentIndex(0)  # those of the model, which can look for them
    host.click(loop.ui.nextSliceButton)
    host.wait_until(lambda: loop.ui.nextSliceButton.enabled, "the proposal")
    assert client.requests[-1][0] == "propose"
    assert "one of 2 slices to draw first" in text(loop)


def test_corrected_slices_are_accepted_together(loop, client):
    paint(loop, 0, slice(10, 30))
    paint(loop, 3, slice(10, 30))
    host.click(loop.ui.findExamplesButton)
    wait(loop)
    assert text(loop) == "2 corrected slices were accepted. The other slices were updated."
    host.click(loop.ui.findExamplesButton)
    assert text(loop) == "All corrected slices are finished already."


def test_scripts_do_the_same_without_a_panel(loop):
    from KAFSegmentationLib.adapt.Structures import Structures

    mine, other = paint(loop, 0, slice(10, 30)), paint(loop, 3, slice(40, 50))
    structures = Structures.drawn(loop.scan, loop.node, list(loop.node.GetSegmentation().GetSegmentIDs()))
    result = loop.logic.propagate(structures, {0: [0]})
    assert result.kept == [(0, 3)]  # drawn, and not named as finished
    assert result.report["review"][0] == 3
    np.testing.assert_array_equal(drawn(loop), np.stack([mine, mine, mine, other]))


@pytest.mark.parametrize("isBetter", [False, True])
def test_training_never_replaces_a_better_result(loop, client, isBetter):
    ui = loop.ui
    for index, rows in ((0, slice(10, 30)), (1, slice(12, 30)), (3, slice(14, 30))):
        paint(loop, index, rows)
        accept(loop, index)
    before, canUndo = drawn(loop), ui.undoButton.enabled
    client.learned = np.copy if isBetter else np.zeros_like
    ui.onlyIfBetterCheckBox.checked = True
    host.click(ui.adaptButton)
    host.wait_until(lambda: ui.adaptButton.text == "Train", "the end of learning")
    assert [(verb, settings["slices"]) for verb, settings, *_rest in client.requests[-2:]] == \
        [("propagate", [0, 3]), ("adapt", [0, 3])]
    np.testing.assert_array_equal(drawn(loop)[[0, 1, 3]], before[[0, 1, 3]])
    if isBetter:
        assert "Shown: the adapted model, because on slice 2, which it has not seen, its Dice is 1.00" in text(loop)
        assert ui.saveModelButton.enabled
        assert not ui.resultLabel.isVisible()
        return
    assert text(loop) == ("Slice 2 was left out of training to compare: the trained model reaches a Dice of 0.00 "
                          "there, and what is shown 0.95. It stays, and nothing was changed.")
    np.testing.assert_array_equal(drawn(loop), before)
    assert ui.resultLabel.isVisible()
    assert canUndo
    assert ui.undoButton.enabled
    assert not ui.saveModelButton.enabled
    tool = loop.widget.segmentation.adaptation.whereFrom
    tool.ask(loop.widget.segmentation.adaptation.examples.scan.point([2, 20, 30]))
    host.wait_until(lambda: tool._ticket is None, "the answer")
    assert [verb for verb, *_rest in client.requests[-2:]] == ["propagate", "provenance"]
    assert client.requests[-2][1]["slices"] == [0, 1, 3]  # what is shown, not what was compared


def test_clicks_correct_an_unfinished_slice(loop, client, pictures):
    paint(loop, 0, slice(10, 30))
    accept(loop, 0)
    look_at(2, loop.scan)
    red = slicer.app.layoutManager().sliceWidget("Red")
    scan = loop.widget.segmentation.adaptation.examples.scan
    assert not loop.ui.undoClickButton.enabled
    for button, row in ((loop.ui.addClickButton, 40), (loop.ui.removeClickButton, 12)):
        host.click(button)
        host.click_view(red, scan.point([2, row, 30]))
        wait(loop)
    assert not loop.ui.addClickButton.checked
    clicks = client.requests[-1][1]["clicks"]
    assert [click[3] for click in clicks] == [1, 0]
    np.testing.assert_allclose([click[:3] for click in clicks], [scan.point([2, 40, 30]), scan.point([2, 12, 30])],
                               atol=1.5)  # half a pixel of the scan
    pictures(loop, "memory-clicks")
    host.click(loop.ui.whereFromButton)
    assert not loop.ui.removeClickButton.checked
    host.click(loop.ui.undoClickButton)
    wait(loop)
    assert [click[3] for click in client.requests[-1][1]["clicks"]] == [1]
    host.click(loop.ui.undoButton)  # of the last update, which was without the second click
    assert len(loop.widget.segmentation.adaptation.clicks.placed) == 2
    accept(loop, 2)
    assert "clicks" not in client.requests[-1][1]  # they lie in a finished slice now


def test_clicks_alone_start_a_structure(loop, client):
    loop.ui.addExampleButton.setFocus()
    loop.panel.window().activateWindow()
    host.press_key(loop.ui.addExampleButton, qt.Qt.Key_P)
    scan = loop.widget.segmentation.adaptation.examples.scan
    look_at(1, loop.scan)
    host.click_view(slicer.app.layoutManager().sliceWidget("Red"), scan.point([1, 20, 30]))
    wait(loop)
    settings = client.requests[-1][1]
    assert ("slices" in settings, settings["axis"], len(settings["clicks"])) == (False, "axial", 1)
    loop.widget.segmentation.adaptation.forgetScan()
    assert loop.widget.segmentation.adaptation.clicks.placed == ()


def test_finished_slices_are_saved_for_other_patients_and_used_on_them(opened, client, tmp_path):
    ui, path = opened.ui, tmp_path / "livers.safetensors"
    words = {"__metadata__": {"kaf_memory": json.dumps({"format": 1, "names": {"1": "liver"}})}}
    header = json.dumps(words).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert not ui.saveMemoryButton.enabled
    (tmp_path / "text.safetensors").write_bytes(b"{}")
    host.dialogs().answer(str(tmp_path / "text.safetensors"))
    host.click(ui.useMemoryButton)
    assert "is not a model file, or is damaged" in text(opened)
    host.dialogs().answer(str(path))
    host.click(ui.useMemoryButton)
    wait(opened)
    settings = client.requests[-1][1]
    assert (settings["memory"], settings["model"], settings["labels"]) == (str(path), "", {1: "liver"})
    assert "slices" not in settings
    assert text(opened).startswith("Using the memory of liver in 'livers.safetensors'. The other slices were updated.")
    opened.node = ui.outputSelector.currentNode()
    paint(opened, 1, slice(10, 30), "liver")
    accept(opened, 1)
    host.dialogs().answer(str(tmp_path / "mine"))
    host.click(ui.saveMemoryButton)
    wait(opened)
    assert client.requests[-1][3]["remember"] == "Heart"
    assert (tmp_path / "mine.safetensors").read_bytes() == b"finished slices"
    assert text(opened).startswith("The finished slices were saved in 'mine.safetensors'.")
    assert ui.useMemoryButton.text == "Stop using memory"
    host.click(ui.useMemoryButton)
    wait(opened)
    assert "memory" not in client.requests[-1][1]
