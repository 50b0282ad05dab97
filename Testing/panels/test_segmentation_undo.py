"""Undo takes the last run back, and nothing that a person drew before, after or beside it."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from segmentation_panel import run, segment_array, segments

import host

UNDONE = "The last run was undone; all other changes are kept."


@pytest.fixture
def draw(scan):
    """Makes a segment a block, and gives the block."""

    def make(node, segmentId, rows, columns=slice(10, 20)):
        drawn = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
        drawn[2, rows, columns] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentId, scan)
        return drawn.astype(bool)

    return make


@pytest.fixture
def corrected(panel, scan, draw):
    """A segmentation in which the myocardium was corrected, and which was then segmented again."""
    node = run(panel)
    drawn = draw(node, segments(node)["myocardium"], slice(10, 20))
    run(panel)
    assert (segment_array(node, "myocardium", scan) != drawn).any()
    return node, drawn


def test_it_brings_back_what_the_user_had(panel, scan, draw):
    assert not panel.ui.undoButton.enabled
    node = run(panel)
    assert not panel.ui.undoButton.enabled  # there was nothing before
    others = {name: segment_array(node, name, scan) for name in ("LV cavity", "RV cavity")}
    drawn = draw(node, segments(node)["myocardium"], slice(10, 20))
    run(panel)
    host.click(panel.ui.undoButton)
    np.testing.assert_array_equal(segment_array(node, "myocardium", scan), drawn)
    for name, before in others.items():
        np.testing.assert_array_equal(segment_array(node, name, scan), before)
    assert panel.ui.messageLabel.text == UNDONE
    assert host.dialogs().shown == []  # nothing would have been lost
    assert not panel.ui.undoButton.enabled


def test_what_was_drawn_later_stays(panel, scan, draw, corrected):
    node, before = corrected
    mine = node.GetSegmentation().AddEmptySegment("mine", "mine")
    drawn = draw(node, mine, slice(14, 30))  # over a part of what comes back
    node.GetSegmentation().GetSegment(segments(node)["myocardium"]).SetName("heart muscle")
    host.click(panel.ui.undoButton)
    np.testing.assert_array_equal(segment_array(node, "mine", scan), drawn)
    np.testing.assert_array_equal(segment_array(node, "heart muscle", scan), before)
    assert host.dialogs().shown == []


def test_it_asks_before_a_later_correction_is_lost(panel, scan, draw, corrected):
    node, before = corrected
    later = draw(node, segments(node)["myocardium"], slice(30, 40))
    host.dialogs().answer(None)
    host.click(panel.ui.undoButton)
    assert "These segments were changed after the run: myocardium." in host.dialogs().texts()[0]
    np.testing.assert_array_equal(segment_array(node, "myocardium", scan), later)
    assert panel.ui.undoButton.enabled
    import qt

    host.dialogs().answer(qt.QMessageBox.Ok)
    host.click(panel.ui.undoButton)
    np.testing.assert_array_equal(segment_array(node, "myocardium", scan), before)
    assert panel.ui.messageLabel.text == UNDONE


def test_a_segment_that_was_removed_since_comes_back_if_that_is_wanted(panel, scan, corrected):
    node, before = corrected
    node.GetSegmentation().RemoveSegment(segments(node)["myocardium"])
    assert panel.logic.changedSinceRun() == ["myocardium"]
    panel.logic.undo()
    np.testing.assert_array_equal(segment_array(node, "myocardium", scan), before)


def test_segments_that_the_run_added_go(panel, scan, draw):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    drawn = draw(node, node.GetSegmentation().AddEmptySegment("mine", "mine"), slice(5, 9))
    host.choose(panel.ui.outputSelector, "Mine")
    run(panel)
    assert len(segments(node)) == 4
    host.click(panel.ui.undoButton)
    assert sorted(segments(node)) == ["mine"]
    np.testing.assert_array_equal(segment_array(node, "mine", scan), drawn)


def test_a_surface_follows_and_a_run_that_changed_nothing_cannot_be_undone(panel, scan, corrected):
    node, before = corrected
    node.CreateClosedSurfaceRepresentation()
    host.click(panel.ui.undoButton)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    surface = node.GetClosedSurfaceInternalRepresentation(segments(node)["myocardium"])
    bounds = np.array(surface.GetBounds())
    spans = [np.ptp(places) * scan.GetSpacing()[2 - axis] for axis, places in enumerate(np.nonzero(before))]
    assert bounds[1] - bounds[0] == pytest.approx(spans[2], abs=2 * max(scan.GetSpacing()))
    run(panel)
    run(panel)
    assert not panel.ui.undoButton.enabled


def test_it_ends_with_the_segmentation(panel, scan, corrected):
    node, _ = corrected
    assert panel.logic.canUndo()
    slicer.mrmlScene.RemoveNode(node)
    assert not panel.logic.canUndo()
    assert panel.logic.changedSinceRun() == []
    panel.logic.undo()  # of nothing
