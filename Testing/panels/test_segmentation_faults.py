"""When something is in the way or goes wrong: a sentence in the panel, the detail in the log, and Slicer goes on."""

import os
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from reworded import said
from segmentation_panel import WORKER_PATIENCE, ReadySetup, add_scan, run, wait_for_run

import host

HANGS = """
import time
def hang(request, on_event):
    time.sleep(3600)
TABLE = {"segment": "hanging_verbs:hang"}
"""


def add_empty():
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Bad")


def add_picture():
    slicer.util.addVolumeFromArray(np.ones((1, 8, 8), np.float32), name="Bad")


def add_warped():
    node = slicer.util.addVolumeFromArray(np.ones((4, 8, 8), np.float32), name="Bad")
    import vtk

    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp")
    warp.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    node.SetAndObserveTransformNodeID(warp.GetID())


BAD = {
    add_empty: "Bad: this scan has no voxels. Load the scan again.",
    add_picture: "Bad: this is a single 2-D image. Choose a scan with at least two slices.",
    add_warped: "Bad: this scan is under the non-linear transform 'Warp'. In the Data module right-click the scan and "
                "choose Harden transform, then try again.",
}


@pytest.mark.parametrize("add", BAD, ids=lambda add: add.__name__)
def test_a_scan_that_cannot_be_used_is_reported_at_once(panel, heart, add, pictures):
    add()
    host.choose(panel.ui.inputSelector, "Bad")
    assert panel.ui.messageLabel.text == BAD[add]
    assert panel.ui.messageFrame.isVisible()
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == BAD[add]
    assert BAD[add] in panel.ui.logText.plainText
    if add is add_picture:
        pictures(panel, "segmentation-bad-input")
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")  # a good one takes the sentence back
    assert panel.ui.applyButton.enabled
    assert not panel.ui.messageFrame.isVisible()


def test_a_region_that_was_not_drawn(panel, scan):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    panel.widget.segmentation.parameters.roi = roi
    host.click(panel.ui.applyButton)
    assert panel.ui.messageLabel.text == (
        "Box: this region has not been placed yet. Place the region in a slice view, or choose the whole scan.")
    assert panel.ui.applyButton.text == "Apply"


def begin(panel):
    """Presses Apply and waits until the worker has the voxels."""
    host.click(panel.ui.applyButton)
    host.wait_until(lambda: panel.logic.backend._running and panel.logic.backend._running.job,
                    "a worker that has the voxels")


def test_the_worker_is_killed(panel, scan, pictures):
    begin(panel)
    os.kill(panel.logic.backend.client()._children[0].pid, signal.SIGKILL)
    wait_for_run(panel)
    text = panel.ui.messageLabel.text
    assert text.startswith(f"Segmentation: {said('the worker was killed')}")
    assert "SIGKILL" in text
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    pictures(panel, "segmentation-error")
    run(panel)
    assert panel.ui.messageLabel.text.startswith("Done in ")


def test_the_scene_is_closed_during_a_run(panel, scan, heart):
    begin(panel)
    host.close_scene()
    host.pump(100)
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    assert "stopped because the scene was closed" in panel.ui.messageLabel.text
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    run(panel)
    assert panel.ui.messageLabel.text.startswith("Done in ")


def test_the_scan_is_removed_during_a_run(panel, scan):
    begin(panel)
    slicer.mrmlScene.RemoveNode(scan)
    host.pump(100)
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.messageLabel.text == (
        "Heart: this node was removed while the model was running. The run was stopped and nothing was written.")
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_the_segmentation_is_removed_during_a_run(panel, scan):
    node = run(panel)
    begin(panel)
    slicer.mrmlScene.RemoveNode(node)
    host.pump(100)
    assert panel.ui.messageLabel.text.startswith(
        "Heart segmentation: this node was removed while the model was running.")
    run(panel)
    assert panel.ui.messageLabel.text.startswith("Done in ")


def test_the_scan_is_cropped_during_a_run(panel, scan):
    begin(panel)
    slicer.util.updateVolumeFromArray(scan, slicer.util.arrayFromVolume(scan)[1:].copy())
    wait_for_run(panel)
    assert panel.ui.messageLabel.text.startswith("Heart: this scan was changed while the model was running.")
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_scene_from_elsewhere_names_a_model_that_is_not_here(panel, scan):
    panel.leave()
    panel.logic.getParameterNode().modelName = "liver-ct"
    panel.show()
    assert panel.ui.modelComboBox.currentText == "liver-ct (not on this computer)"
    assert panel.ui.messageLabel.text == (
        "'liver-ct': this model is not on this computer. Choose another one, or press Add model and choose its file.")
    assert not panel.ui.applyButton.enabled
    assert panel.ui.modelCardLabel.text == ""
    host.choose(panel.ui.modelComboBox, "tiny")
    assert panel.ui.applyButton.enabled
    assert panel.logic.getParameterNode().modelName == "tiny"


def test_no_model_at_all(panel, scan, library):
    path = library / "tiny.safetensors"
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        from kaf.modelfile.library import list_models

        if list_models():
            pytest.skip("this copy ships models, so there is always one")
        panel.leave()
        panel.logic.getParameterNode().modelName = ""
        panel.show()
        assert panel.ui.messageLabel.text.startswith("Model: none was found on this computer.")
        assert not panel.ui.modelComboBox.enabled
    finally:
        hidden.rename(path)


def test_a_tampered_model(panel, scan, library):
    sound = (library / "tiny.safetensors").read_bytes()
    bad = library / "bad.safetensors"
    bad.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    try:
        panel.leave()
        panel.show()
        host.choose(panel.ui.modelComboBox, "bad")
        run_badly(panel)
        text = panel.ui.messageLabel.text
        assert "bad.safetensors" in text
        assert "SHA-256" in text
        assert said("get it again from its source") in text
    finally:
        bad.unlink()


def run_badly(panel):
    host.click(panel.ui.applyButton)
    wait_for_run(panel)
    assert panel.widget.segmentation.message.level == "error"


def test_the_model_file_goes_between_choosing_and_applying(panel, scan, library):
    path = library / "tiny.safetensors"
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        run_badly(panel)
        assert "tiny" in panel.ui.messageLabel.text
        assert "is not in the library" in panel.ui.messageLabel.text
    finally:
        hidden.rename(path)


class Missing(ReadySetup):
    ready = False


def test_without_torch_it_offers_the_set_up(make_panel, heart, pictures):
    panel = make_panel(Missing)
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    assert panel.ui.setUpFrame.isVisible()
    assert panel.ui.setUpLabel.text == Missing.words
    pictures(panel, "segmentation-set-up")
    setup = panel.widget.logic.backend.setup
    host.click(panel.ui.applyButton)  # asks too
    assert setup.asked == 1
    assert not panel.ui.messageFrame.isVisible()  # the line above says it already
    assert panel.ui.applyButton.text == "Apply"
    setup.ready = True
    host.click(panel.ui.setUpButton)
    assert not panel.ui.setUpFrame.isVisible()
    run(panel)
    assert panel.ui.messageLabel.text.startswith("Done in ")


def test_a_python_without_torch_says_so(make_panel, heart, tmp_path):
    """The set-up was wrong, or something was removed since: the worker itself says what is missing."""
    hider = tmp_path / "torch"
    hider.mkdir()
    (hider / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    setup = type("NoTorch", (ReadySetup,), {"python": lambda self: str(python)})
    panel = make_panel(setup, own=True)
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    run_badly(panel)
    assert "torch is not installed" in panel.ui.messageLabel.text
    assert "Use Set up in the KAF panel" in panel.ui.messageLabel.text
    assert "Traceback" in panel.ui.logText.plainText  # the detail


def test_a_python_that_is_not_there(make_panel, heart):
    panel = make_panel(type("Gone", (ReadySetup,), {"python": lambda self: "/nowhere/python"}), own=True)
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    run_badly(panel)
    assert "/nowhere/python: cannot be started" in panel.ui.messageLabel.text


def test_a_worker_that_never_answers(make_panel, heart, tmp_path, monkeypatch):
    from kaf.worker.client import Client

    (tmp_path / "hanging_verbs.py").write_text(HANGS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    panel = make_panel(own=True)
    backend = panel.logic.backend
    backend._makeClient = lambda **given: Client(**given, verbs="hanging_verbs:TABLE", start_timeout=WORKER_PATIENCE)
    backend.silence = 1.0
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    run_badly(panel)
    assert "the worker did not respond for 1 s and it was stopped" in panel.ui.messageLabel.text


def test_a_full_disk(panel, scan, monkeypatch):
    import kaf.worker.array_transfer

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kaf.worker.array_transfer.np, "save", full)
    run_badly(panel)
    assert "No space left on device" in panel.ui.messageLabel.text
    assert "Free space there" in panel.ui.messageLabel.text


def test_a_scene_of_another_version(panel, scan, tmp_path):
    """Choices that this version does not know, or that the other one did not have, are no error."""
    panel.leave()
    node = panel.logic.getParameterNode().parameterNode
    node.SetParameter("device", "quantum")
    node.SetParameter("attentionView", "hologram")
    node.SetParameter("attentionScale", "17")
    node.SetParameter("fromTheFuture", "yes")
    node.UnsetParameter("flips")
    path = str(tmp_path / "scene.mrb")
    slicer.util.saveScene(path)
    host.close_scene()
    slicer.util.loadScene(path)
    panel.show()
    ui = panel.ui
    assert ui.deviceComboBox.currentText == "Automatic"
    assert ui.viewComboBox.currentText == "Nothing"
    assert not ui.flipsCheckBox.checked
    assert ui.inputSelector.currentNode().GetName() == "Heart"
    run(panel)
    assert ui.messageLabel.text.startswith("Done in ")


def test_something_nobody_thought_of(panel, scan, monkeypatch):
    def broken(*_):
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(sys.modules["KAFSegmentationLib.scene.SegmentationWriter"].SegmentationWriter, "write", broken)
    run_badly(panel)
    assert "the moon is full" in panel.ui.messageLabel.text
    assert "report it with the log" in panel.ui.messageLabel.text
    assert "Traceback" in panel.ui.logText.plainText
