"""What a person does with the panel when all goes well."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from made_models import LABELS
from segmentation_panel import (
    MODULE,
    ReadySetup,
    add_scan,
    hold_worker,
    press,
    run,
    segment_array,
    segments,
    wait_for_run,
)

import host
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment

LIBRARY = sorted((MODULE / "KAFSegmentationLib").rglob("*.py"))


def test_ui_file_and_code_belong_together():
    assert host.lint_ui(MODULE / "Resources" / "UI" / "KAFSegmentation.ui", MODULE) == []


def test_no_keyword_arguments_to_cpp():
    assert host.lint_keyword_arguments([MODULE / "KAFSegmentation.py", *LIBRARY]) == []


def test_slicer_never_imports_torch():
    for path in [MODULE / "KAFSegmentation.py", *LIBRARY]:
        assert "import pydantic" not in path.read_text(encoding="utf-8"), path
        assert "kaf.settings" not in path.read_text(encoding="utf-8"), path


def test_the_empty_panel_says_where_to_begin(panel, pictures):
    ui = panel.ui
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Choose a scan first"
    assert ui.forecastLabel.text == "Choose a scan to begin."
    assert not ui.progressBar.isVisible()
    assert not ui.setUpFrame.isVisible()
    assert not ui.messageFrame.isVisible()
    pictures(panel, "segmentation-empty")


def test_the_scan_that_is_shown_is_chosen_when_the_panel_opens(panel, heart):
    panel.leave()
    add_scan(heart, "Left alone")
    shown = add_scan(heart, "Shown")
    panel.show()
    assert panel.ui.inputSelector.currentNode() is shown
    panel.leave()
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    panel.logic.getParameterNode().inputVolume = None
    slicer.util.setSliceViewerLayers(background=labels)
    panel.show()
    assert panel.ui.inputSelector.currentNode() is None


def test_the_card_tells_what_the_model_is_for(panel):
    text = f"{panel.ui.modelLineLabel.text} {panel.ui.modelCardLabel.text}".replace("&nbsp;", " ")
    for words in ("RV cavity", "myocardium", "LV cavity", "MR scans", "slice spacing of about 8 mm", "1.6 mm",
                  "CC0-1.0", "Dice 0.87", "32 held-out cases", "Training data: nothing"):
        assert words in text
    assert panel.ui.modelComboBox.currentText == "tiny"


def test_time_and_memory_are_reported_before(panel, scan, pictures):
    assert panel.ui.applyButton.enabled
    text = panel.ui.forecastLabel.text
    assert "a rough estimate" in text
    assert "GB of memory on the CPU" in text
    pictures(panel, "segmentation-ready")


def test_apply_gives_the_backends_labels(panel, scan, heart, library, pictures):
    from KAFSegmentationLib.backend.Devices import workerThreads

    node = run(panel)
    settings = SegmentSettings(model=str(library / "tiny.safetensors"), threads=workerThreads())
    expected = segment(heart, settings)
    for label in LABELS:
        np.testing.assert_array_equal(segment_array(node, label.name, scan), expected.labels.voxels == label.value)
    ui = panel.ui
    assert node.GetName() == "Heart segmentation"
    assert ui.messageLabel.text.startswith("Done in ")
    for label in LABELS:
        assert f"{label.name} {expected.volumes_ml[label.value]:.1f} mL" in ui.logText.plainText
    assert " mL" not in ui.messageLabel.text  # they stand in the table
    assert "rough estimate" not in ui.forecastLabel.text  # it has learnt from the run
    assert "Last run: cpu" in ui.deviceReasonLabel.text
    assert not ui.progressBar.isVisible()
    assert "Done in" in ui.logText.plainText
    pictures(panel, "segmentation-done")


def test_the_result_is_seen_in_the_slices(panel, scan, pictures):
    red = slicer.app.layoutManager().sliceWidget("Red")
    before = host.pixels(red).astype(int)
    run(panel)
    host.pump(50)
    after = host.pixels(red).astype(int)
    colourful = (np.ptp(after, axis=2) > 40).sum()
    assert (np.ptp(before, axis=2) > 40).sum() < 200
    assert colourful > 1000
    window = host.main_window(panel)
    pictures(window, "segmentation-window")
    window.hide()


def test_progress_is_shown_with_the_time_left(panel, scan):
    from kaf.runtime.events import Progress

    host.click(panel.ui.applyButton)
    assert panel.ui.progressBar.isVisible()
    assert panel.ui.progressBar.maximum == 0  # busy while the worker starts
    panel.widget.segmentation._onEvent(Progress("segmenting", 3, 4, 12.4))
    assert panel.ui.progressBar.value == 750
    assert panel.ui.progressBar.format == "Segmenting: %p%, about 12 s left"
    wait_for_run(panel)


def test_cancel_leaves_everything_as_it_was(panel, scan, pictures):
    nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    hold_worker(panel)
    host.click(panel.ui.applyButton)
    host.pump(100)
    pictures(panel, "segmentation-running")
    host.click(panel.ui.applyButton)  # it says Cancel now
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.messageLabel.text == "Segmentation: stopped. Nothing was changed."
    host.pump(200)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes
    run(panel)  # a fresh worker
    assert panel.ui.messageLabel.text.startswith("Done in ")


def test_two_runs_in_a_row_share_one_segmentation_and_one_worker(panel, scan):
    node = run(panel)
    child = panel.logic.backend.client()._children[0].pid
    assert run(panel) is node
    assert panel.logic.backend.client()._children[0].pid == child
    assert sorted(segments(node)) == ["LV cavity", "RV cavity", "myocardium"]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_the_segment_editor_can_undo_too(panel, scan):
    node = run(panel)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(node)
    slicer.modules.SegmentEditorWidget = type("SegmentEditorWidget", (), {"editor": editor})
    try:
        segmentId = segments(node)["LV cavity"]
        drawn = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
        drawn[1, 5:9, 5:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentId, scan)
        run(panel)
        editor.undo()
        np.testing.assert_array_equal(segment_array(node, "LV cavity", scan), drawn.astype(bool))
    finally:
        del slicer.modules.SegmentEditorWidget
        editor.delete()


def test_options_and_log_unfold(panel, scan, pictures):
    ui = panel.ui
    assert not ui.deviceComboBox.isVisible()
    ui.optionsGroupBox.checked = True
    ui.logSection.collapsed = False
    host.pump()
    assert ui.deviceComboBox.isVisible()
    assert "no NVIDIA driver was found" in ui.deviceReasonLabel.text or "NVIDIA" in ui.deviceReasonLabel.text
    assert not ui.framesCheckBox.enabled  # the scan is no sequence
    host.click(ui.diagnoseButton)
    assert f"Python: {sys.executable}" in ui.logText.plainText
    assert slicer.app.clipboard().text() == f"Python: {sys.executable}"
    host.click(ui.copyLogButton)
    assert slicer.app.clipboard().text() == ui.logText.plainText
    pictures(panel, "segmentation-options")


def test_the_choices_travel_with_the_scene(panel, scan, tmp_path):
    panel.ui.flipsCheckBox.checked = True
    panel.ui.deviceComboBox.setCurrentIndex(1)
    host.dialogs().answer(press("Segment anyway"))  # the model has not learned from mirrored scans
    node = run(panel)
    before = {name: segment_array(node, name, scan) for name in segments(node)}
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.close_scene()
    assert not panel.ui.applyButton.enabled
    assert not panel.ui.flipsCheckBox.checked
    slicer.util.loadScene(path)
    host.pump()
    ui = panel.ui
    assert ui.inputSelector.currentNode().GetName() == "Heart"
    assert ui.outputSelector.currentNode().GetName() == "Heart segmentation"
    assert ui.modelComboBox.currentText == "tiny"
    assert ui.deviceComboBox.currentText == "CPU"
    assert ui.flipsCheckBox.checked
    volume, found = ui.inputSelector.currentNode(), ui.outputSelector.currentNode()
    for name, expected in before.items():
        np.testing.assert_array_equal(segment_array(found, name, volume), expected)
    host.dialogs().answer(press("Segment anyway"))
    again = run(panel)  # still knows its own segments
    assert again is found
    assert sorted(segments(again)) == ["LV cavity", "RV cavity", "myocardium"]


def test_no_path_of_this_computer_is_in_the_scene(panel, scan):
    run(panel)
    text = str(panel.logic.getParameterNode().parameterNode)
    assert os.path.expanduser("~") + "/" not in text
    assert str(Path(__file__).resolve().parents[2]) not in text
    assert "safetensors" not in text


def test_reload_and_go_on(panel, scan, worker):
    run(panel)
    panel.reload()
    host.pump()
    assert panel.ui.inputSelector.currentNode() is scan
    setup = ReadySetup()  # the reloaded module made its own
    panel.widget.segmentation.setup = panel.logic.backend.setup = setup
    panel.logic.backend._makeClient = lambda **_: worker
    assert run(panel).GetName() == "Heart segmentation"


def test_leaving_and_coming_back_during_a_run(panel, scan):
    host.click(panel.ui.applyButton)
    panel.leave()
    host.wait_until(lambda: not panel.logic.isRunning(), "the end of the run")
    panel.show()
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.messageLabel.text.startswith("Done in ")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_keys(panel, scan):
    import qt

    window = panel.panel.window()
    window.activateWindow()
    panel.ui.applyButton.setFocus()
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    assert panel.ui.applyButton.text == "Cancel", host.seen()
    host.press_key(panel.ui.applyButton, qt.Qt.Key_Escape)
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.messageLabel.text == "Segmentation: stopped. Nothing was changed."


def test_the_modules_own_test_passes(panel):
    panel.module._instance.runTest(1)


@pytest.mark.parametrize("name", ["cardiac-mr-sax"])
def test_a_shipped_model_finds_the_heart(make_panel, monkeypatch, name):
    if not (MODULE / "kaf" / "models" / f"{name}.safetensors").is_file():
        pytest.skip(f"the model {name} does not ship with this copy")
    import kaf.modelfile.library
    from kaf.phantom.heart import cardiac_phantom

    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: MODULE / "kaf" / "models")
    panel = make_panel()
    image, truth = cardiac_phantom(1)
    node = add_scan(image, "Phantom")
    host.choose(panel.ui.inputSelector, "Phantom")
    host.choose(panel.ui.modelComboBox, name)
    found = run(panel)
    whole = np.zeros(truth.voxels.shape, bool)
    for segmentName in segments(found):
        whole |= segment_array(found, segmentName, node)
    overlap = 2 * (whole & (truth.voxels > 0)).sum() / (whole.sum() + (truth.voxels > 0).sum())
    assert overlap > 0.5


def test_a_core_is_left_to_slicer_where_there_are_more_than_two(monkeypatch):
    from KAFSegmentationLib.backend.Devices import workerThreads

    for free, given, threads in ((8, None, 7), (3, None, 2), (2, None, 2), (1, None, 1), (5, "5", 5)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        monkeypatch.setitem(workerThreads.__globals__, "free_processors", lambda free=free: free)
        assert workerThreads() == threads
