"""The table of structures: what it shows, what a click does, and that it goes with the segmentation and the scene."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
import qt
import slicer
from segmentation_panel import add_scan, run, segment_array, segments

import host


def rows(panel):
    """The texts of the table."""
    table = panel.ui.structureTable
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def titles(panel):
    table = panel.ui.structureTable
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]


def wait_for_rows(panel, expected):
    host.wait_until(lambda: rows(panel) == expected, "the table")


def predict(panel, node, words):
    """As a run of a model that predicts the quality of its result."""
    from KAFSegmentationLib.scene.SegmentVolumes import segmentVolumes
    from KAFSegmentationLib.segment import PredictedQuality

    found = {segments(node)[name]: PredictedQuality.Quality.of(
        {"dice": dice, "low": low, "word": word}, segmentVolumes(node)[segments(node)[name]][0])
        for name, (dice, low, word) in words.items()}
    PredictedQuality.keep(node, found)
    panel.widget.segmentation.results.table.refresh()


def test_volumes_are_those_of_the_voxels_and_follow_corrections(panel, scan, pictures):
    assert not panel.ui.structureTable.isVisible()
    node = run(panel)
    assert titles(panel) == ["Structure", "Volume (mL)"]
    each = float(np.prod(scan.GetSpacing())) / 1000
    expected = [[name, f"{segment_array(node, name, scan).sum() * each:.1f}"] for name in segments(node)]
    assert rows(panel) == expected
    pictures(panel, "segmentation-table")
    name = next(iter(segments(node)))
    mask = np.zeros_like(segment_array(node, name, scan))
    mask[1, 4:8, 4:8] = True
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segments(node)[name], scan)
    wait_for_rows(panel, [[name, f"{16 * each:.1f}"], *expected[1:]])


def test_a_structure_is_hidden_renamed_removed_and_added(panel, scan):
    node = run(panel)
    first, *others = segments(node)
    table, key = panel.ui.structureTable, segments(node)[first]
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert not node.GetDisplayNode().GetSegmentVisibility(key)
    node.GetDisplayNode().SetSegmentVisibility(key, True)
    host.wait_until(lambda: table.item(0, 0).checkState() == qt.Qt.Checked, "the mark")
    node.GetSegmentation().GetSegment(key).SetName("renamed")
    host.wait_until(lambda: rows(panel)[0][0] == "renamed", "the name")
    node.GetSegmentation().RemoveSegment(key)
    host.wait_until(lambda: [row[0] for row in rows(panel)] == others, "the structures that are left")
    node.GetSegmentation().AddEmptySegment("mine", "mine")
    host.wait_until(lambda: rows(panel)[-1] == ["mine", "0.0"], "the new structure")


def test_a_click_jumps_to_the_structure(panel, scan):
    node = run(panel)
    for view in ("Red", "Green", "Yellow"):
        slicer.app.layoutManager().sliceWidget(view).sliceLogic().SetSliceOffset(0)
    panel.ui.structureTable.cellClicked.emit(2, 0)
    centre = node.GetSegmentCenterRAS(segments(node)["LV cavity"])
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    assert red.GetSliceOffset() == pytest.approx(centre[2], abs=scan.GetSpacing()[2])


def test_the_predicted_quality_is_a_column_only_where_there_is_one(panel, scan, pictures, tmp_path):
    node = run(panel)
    names = list(segments(node))
    predict(panel, node, {names[0]: (0.912, 0.87, "good"), names[1]: (0.55, 0.31, "doubtful")})
    assert titles(panel)[2] == "Predicted Dice"
    assert [row[2] for row in rows(panel)][:2] == ["0.91 (good)", "0.55 (doubtful)"]
    assert "not below 0.31" in panel.ui.structureTable.item(1, 2).toolTip()
    pictures(panel, "segmentation-quality")
    predict(panel, node, {names[2]: (0.99, None, "uncalibrated")})
    assert rows(panel)[2][2] == "uncalibrated"
    assert "usually too high" in panel.ui.structureTable.item(2, 2).toolTip()
    mask = segment_array(node, names[0], scan)
    mask[0, :3, :3] = ~mask[0, :3, :3]
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segments(node)[names[0]], scan)
    host.wait_until(lambda: rows(panel)[0][2] == "", "a prediction that is of another segment")
    path, before = str(tmp_path / "scene.mrb"), rows(panel)
    assert slicer.util.saveScene(path)
    host.close_scene()
    assert not panel.ui.structureTable.isVisible()
    slicer.util.loadScene(path)
    wait_for_rows(panel, before)


def test_what_a_run_predicts_is_kept_with_its_segments(panel, scan, monkeypatch):
    from KAFSegmentationLib.segment.SegmentationRun import SegmentationRun

    take = SegmentationRun.take

    def predicting(self, answer):
        first = answer["labels"][0]["name"]
        take(self, {**answer, "predicted_quality": {first: {"dice": 0.8, "low": 0.7, "word": "check"}, "other": 1}})

    monkeypatch.setattr(SegmentationRun, "take", predicting)
    run(panel)
    assert [row[2] for row in rows(panel)] == ["0.80 (check)", "", ""]


@pytest.mark.parametrize("text", ["{", "[]", "1", '{"a": 1}',
                                  '{"a": {"dice": "x", "low": 0, "word": "", "voxels": 1}}'])
def test_an_attribute_of_another_kind_counts_as_none(panel, scan, text):
    node = run(panel)
    node.SetAttribute("KAFSegmentation.PredictedQuality", text)
    panel.widget.segmentation.results.table.refresh()
    assert titles(panel) == ["Structure", "Volume (mL)"]


def test_the_table_follows_the_scan(panel, scan, heart):
    node = run(panel)
    add_scan(heart, "Other")
    host.choose(panel.ui.inputSelector, "Other")
    assert not panel.ui.structureTable.isVisible()
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.outputSelector.currentNode() is node
    assert len(rows(panel)) == 3
    slicer.mrmlScene.RemoveNode(node)
    host.wait_until(lambda: not panel.ui.structureTable.isVisible(), "an empty table")
