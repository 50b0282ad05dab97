"""Many scans: those that are loaded and those of a folder; states, doubts first, results on a click, and going on after
a crash."""

import json
import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
import qt
import slicer
from pretrain_panel import cpu_time, heart, write_volume
from segmentation_panel import add_scan, hold_worker, run, segments

import host


def unfold(panel, source="All loaded scans"):
    panel.ui.manySection.collapsed = False
    host.pump()
    host.choose(panel.ui.manySourceComboBox, source)
    return panel.widget.segmentation.manyScans


def rows(panel):
    table = panel.ui.manyTable
    return [tuple(table.item(row, column).text() for column in range(2)) for row in range(table.rowCount)]


def wait_for_all(panel):
    host.wait_until(lambda: not panel.widget.segmentation.manyScans.isRunning, "the end of many scans",
                    progress=cpu_time)
    host.pump(20)


@pytest.fixture
def folder(tmp_path):
    """Three scans and one file that is none."""
    for index in range(3):
        write_volume(heart(index)[0], tmp_path / "scans" / f"p{index}.nii.gz")
    (tmp_path / "scans" / "p3.nii.gz").write_bytes(b"nothing of the kind")
    return tmp_path / "scans"


def choose_folder(panel, folder):
    part = unfold(panel, "All scans of a folder")
    host.dialogs().answer(str(folder))
    host.click(panel.ui.manyFolderButton)
    host.wait_until(lambda: not part._search.isRunning, "the scans of the folder")
    return part


def test_all_loaded_scans_are_segmented_and_what_is_done_stays(panel, scan, pictures):
    first = run(panel)
    for index in range(2):
        add_scan(heart(index)[0], f"Patient {index}")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    unfold(panel)
    assert rows(panel) == [("Patient 0", "waiting"), ("Patient 1", "waiting"), ("Heart", "done")]
    host.click(panel.ui.manyStartButton)
    assert panel.ui.manyStartButton.text == "Cancel"
    wait_for_all(panel)
    assert sorted(rows(panel)) == [("Heart", "done"), ("Patient 0", "check"), ("Patient 1", "check")]  # of 4 mm pixels
    made = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert sorted(node.GetName() for node in made) == ["Heart segmentation", "Patient 0 segmentation",
                                                       "Patient 1 segmentation"]
    assert first in made
    assert not panel.ui.manyStartButton.enabled
    pictures(panel, "many-scans-loaded")
    row = [name for name, _ in rows(panel)].index("Patient 1")
    panel.ui.manyTable.cellClicked.emit(row, 0)
    assert panel.ui.inputSelector.currentNode().GetName() == "Patient 1"
    assert panel.ui.outputSelector.currentNode().GetName() == "Patient 1 segmentation"


def test_escape_stops_and_the_next_start_goes_on(panel, scan):
    add_scan(heart(1)[0], "Second")
    part = unfold(panel)
    hold_worker(panel)
    host.click(panel.ui.manyStartButton)
    host.wait_until(lambda: panel.logic.backend._running and panel.logic.backend._running.job, "a worker at work")
    assert [state for _, state in rows(panel)] == ["running", "waiting"]
    host.press_key(panel.panel, qt.Qt.Key_Escape)
    wait_for_all(panel)
    assert "Stopped" in panel.ui.messageLabel.text
    assert [state for _, state in rows(panel)] == ["waiting", "waiting"]
    host.click(panel.ui.manyStartButton)
    wait_for_all(panel)
    assert rows(panel) == [("Second", "check"), ("Heart", "done")]
    assert part._items[0].volumes


def test_a_scan_that_cannot_be_segmented_stands_first_and_the_others_are_done(panel, scan):
    bad = add_scan(heart(1)[0], "Bad")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    bad.SetAndObserveTransformNodeID(transform.GetID())
    unfold(panel)
    host.click(panel.ui.manyStartButton)
    wait_for_all(panel)
    assert rows(panel) == [("Bad", "failed"), ("Heart", "done")]
    assert "non-linear transform" in panel.ui.manyTable.item(0, 0).toolTip()
    assert "could not be segmented: 1" in panel.ui.messageLabel.text


def test_the_scene_is_closed_meanwhile(panel, scan):
    unfold(panel)
    hold_worker(panel)
    host.click(panel.ui.manyStartButton)
    host.close_scene()
    host.pump(50)
    assert not panel.widget.segmentation.manyScans.isRunning
    assert panel.ui.manyStartButton.text == "Segment all"


def test_a_folder_is_segmented_in_a_process_and_gone_on_with_after_a_crash(panel, folder, pictures):
    part = choose_folder(panel, folder)
    assert rows(panel) == [(f"p{index}", "waiting") for index in range(4)]
    results = folder.with_name("scans-tiny")
    assert panel.ui.manyResultsLabel.text.endswith(str(results))
    host.click(panel.ui.manyStartButton)
    host.wait_until((results / "p0-seg.json").exists, "the first result", progress=cpu_time)
    os.kill(part.folder._process._child.pid, signal.SIGKILL)
    wait_for_all(panel)
    assert panel.ui.messageFrame.isVisible()
    host.wait_until(lambda: "check" in [state for _, state in rows(panel)], "the result that was finished")
    kept = {path: path.stat().st_mtime_ns for path in results.glob("p*-seg.json")}
    host.click(panel.ui.manyStartButton)
    wait_for_all(panel)
    assert rows(panel) == [("p3", "failed"), ("p0", "check"), ("p1", "check"), ("p2", "check")]
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    pictures(panel, "many-scans-folder")
    report = json.loads((results / "p1-seg.json").read_text())
    name, volume = next(iter(report["volumes_ml"].items()))
    assert f"{name} {volume:.1f} mL" in panel.ui.manyTable.item(2, 2).text()


def test_a_result_is_opened_once_with_its_names_and_what_was_predicted(panel, folder, tmp_path):
    (folder / "p3.nii.gz").unlink()
    (folder / "p2.nii.gz").unlink()
    choose_folder(panel, folder)
    host.click(panel.ui.manyStartButton)
    wait_for_all(panel)
    report = Path(folder.with_name("scans-tiny")) / "p1-seg.json"
    values = json.loads(report.read_text())
    first = next(iter(values["volumes_ml"]))
    predicted = {first: {"dice": 0.4, "low": 0.2, "word": "check"}}
    report.write_text(json.dumps({**values, "predicted_quality": predicted}))
    panel.widget.segmentation.manyScans.refresh()
    assert rows(panel) == [("p1", "check"), ("p0", "check")], "the one with most doubts stands first"
    for _ in range(2):
        panel.ui.manyTable.cellClicked.emit(0, 0)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    node, scan = panel.ui.outputSelector.currentNode(), panel.ui.inputSelector.currentNode()
    assert scan.GetName() == "p1"
    np.testing.assert_allclose(slicer.util.arrayFromVolume(scan), heart(1)[0].voxels, rtol=1e-5)
    assert list(segments(node)) == list(values["volumes_ml"])
    assert panel.ui.structureTable.item(0, 2).text() == "0.40 (check)"


def test_a_folder_without_scans_and_results_of_another_model(panel, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    choose_folder(panel, tmp_path / "empty")
    assert panel.ui.messageFrame.isVisible() or "No scan" in panel.ui.manyHintLabel.text
    assert not panel.ui.manyStartButton.enabled
    results = folder.with_name("scans-tiny")
    results.mkdir()
    (results / "p0-seg.json").write_text(json.dumps({"model_digest": "other", "model": "knee"}))
    (results / "p0.seg.nrrd").write_bytes(b"")
    choose_folder(panel, folder)
    assert rows(panel)[0] == ("p0", "failed")
    assert "another model (knee)" in panel.ui.manyTable.item(0, 0).toolTip()


def test_the_folder_is_remembered_on_this_computer_and_not_in_the_scene(panel, folder, tmp_path):
    choose_folder(panel, folder)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    assert str(folder) not in (tmp_path / "scene.mrml").read_text()
    panel.reload()
    part = unfold(panel, "All scans of a folder")
    host.wait_until(lambda: not part._search.isRunning, "the scans of the folder")
    assert len(rows(panel)) == 4
