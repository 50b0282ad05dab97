"""Another computer under Device: tried, chosen, remembered on this computer, and alone gets scans."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
import slicer
from segmentation_panel import ReadySetup, add_scan, run, wait_for_run

import host
from kaf.runtime.errors import WorkerError
from kaf.worker.remote_child import Remote

GPU = {"pid": 1, "versions": {"kaf": "0.1.0", "torch": "2.9.0"}, "devices": {"found": [
    {"name": "cuda:0", "description": "NVIDIA H100"}, {"name": "cpu", "description": "CPU with 8 physical cores"}]}}


class Answered:
    """A request that is answered, or refused, at once."""

    detail = ""

    def __init__(self, answer):
        self._answer = answer

    def poll(self, wait=0):
        return True

    def result(self):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def cancel(self):
        pass


class Elsewhere:
    """Stands for the client of another computer; its requests are kept, and those to segment are done by a worker here.
    """

    def __init__(self, worker):
        self.worker, self.remotes, self.settings, self.answer = worker, [], [], GPU

    def __call__(self, remote=None, env=None, python=None):
        self.remotes.append(remote)
        return self

    def submit(self, verb, settings=None, volumes=None, *more, options=None, **named):
        self.settings.append(settings)
        if verb == "ping" or isinstance(self.answer, Exception):
            return Answered(self.answer)
        return self.worker.submit(verb, settings, volumes, *more)

    def close(self):
        pass


@pytest.fixture
def elsewhere(make_panel, worker):
    """The panel where nothing is installed on this computer, and what stands for another one."""

    class NothingHere(ReadySetup):
        ready = False

    panel = make_panel(NothingHere)
    panel.other = Elsewhere(worker)
    panel.logic.backend._makeClient = panel.other
    panel.widget.segmentation.devices.remote._makeClient = panel.other
    panel.ui.optionsGroupBox.checked = True
    return panel


def choose_computer(panel, computer="me@gpu", command="/opt/kaf"):
    host.choose(panel.ui.deviceComboBox, "Another computer...")
    host.type_text(panel.ui.remoteHostEdit, computer)
    host.type_text(panel.ui.remoteCommandEdit, command)
    panel.ui.remoteTestButton.setFocus()
    host.pump(20)


def test_choosing_it_needs_no_set_up_here_and_is_remembered_outside_the_scene(elsewhere):
    ui = elsewhere.ui
    assert ui.setUpFrame.isVisible()
    assert not ui.remoteFrame.isVisible()
    choose_computer(elsewhere)
    assert ui.remoteFrame.isVisible()
    assert not ui.setUpFrame.isVisible()
    node = elsewhere.logic.getParameterNode().parameterNode
    assert not any("gpu" in node.GetParameter(name) for name in node.GetParameterNames())
    slicer.mrmlScene.Clear()
    host.pump(20)
    assert ui.deviceComboBox.currentText == "Another computer..."
    assert ui.remoteHostEdit.text == "me@gpu"
    host.choose(ui.deviceComboBox, "CPU")
    assert not ui.remoteFrame.isVisible()
    assert ui.setUpFrame.isVisible()
    assert elsewhere.logic.backend.remote() is None


def test_a_scan_is_segmented_there_after_the_connection_was_tried(elsewhere, heart, pictures):
    ui = elsewhere.ui
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    choose_computer(elsewhere)
    host.click(ui.remoteTestButton)
    host.wait_until(lambda: ui.remoteTestButton.enabled, "the end of the test")
    assert ui.remoteLabel.text == "me@gpu has KAF 0.1.0, PyTorch 2.9.0 and NVIDIA H100."
    assert run(elsewhere).GetSegmentation().GetNumberOfSegments() > 0
    assert elsewhere.other.remotes == [Remote("me@gpu", "/opt/kaf")] * 2
    assert elsewhere.other.settings[-1]["device"] == "auto"
    assert "threads" not in elsewhere.other.settings[-1]
    pictures(elsewhere, "remote")


def test_a_computer_that_cannot_be_reached_is_an_error_with_a_remedy(elsewhere, heart):
    ui = elsewhere.ui
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    choose_computer(elsewhere)
    elsewhere.other.answer = WorkerError("me@gpu", "could not be connected to", "Run `ssh me@gpu`.")
    host.click(ui.remoteTestButton)
    host.wait_until(lambda: ui.remoteTestButton.enabled, "the end of the test")
    assert ui.remoteLabel.text == "me@gpu: could not be connected to. Run `ssh me@gpu`."
    host.click(ui.applyButton)
    wait_for_run(elsewhere)
    assert "could not be connected to" in ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_folders_of_scans_stay_here(elsewhere):
    elsewhere.ui.manySection.collapsed = False
    choose_computer(elsewhere)
    host.choose(elsewhere.ui.manySourceComboBox, elsewhere.ui.manySourceComboBox.itemText(1))
    assert "on this computer" in elsewhere.ui.manyHintLabel.text
    assert not elsewhere.ui.manyStartButton.enabled
