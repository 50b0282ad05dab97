"""What a person does with the panel of KAFSegmentation, and what it then shows."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import slicer

import host

MODULE = Path(__file__).resolve().parents[2] / "KAFSegmentation"
WORKER_PATIENCE = 0.75 * host.PATIENCE
"""Seconds without a word from a worker; less than tests wait, so that the panel's own message tells of it."""


class ReadySetup:
    """A set-up that is done: the worker runs in this Python."""

    ready = True
    words = "PyTorch is missing. Set up installs it once (about 200 MB)."

    def __init__(self):
        self.asked = 0
        self.interrupted = False

    def isReady(self):
        return self.ready

    def python(self):
        return sys.executable

    def statusText(self):
        return "Ready." if self.ready else self.words

    def mustContinue(self):
        return self.interrupted

    def run(self, parent=None):
        self.asked += 1
        self.interrupted = False
        return self.ready

    useOtherPython = run

    def diagnose(self):
        return f"Python: {sys.executable}"


def add_scan(volume, name="Heart"):
    """A volume of the backend as a volume node."""
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(volume.voxels), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.affine))
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def press(name):
    """Presses a button of a question by the words on it."""

    def act(box):
        (button,) = [button for button in box.buttons() if button.text.replace("&", "") == name]
        button.click()

    return act


def wait_for_run(panel):
    """Waits until the button says Apply again."""
    host.wait_until(lambda: panel.ui.applyButton.text == "Apply", "the end of the run")


def run(panel):
    """Presses Apply and waits; returns the segmentation node."""
    host.click(panel.ui.applyButton)
    # A run that takes a tenth of a second may be over before the click has been processed.
    assert panel.ui.applyButton.text == "Cancel" or panel.ui.messageFrame.isVisible(), host.seen()
    wait_for_run(panel)
    return panel.ui.outputSelector.currentNode()


def settle(panel):
    """Waits until nothing is asked of the worker for the views, and what it answered is drawn."""
    part = panel.widget.segmentation.attention
    host.wait_until(lambda: part._ticket is None, "the answer of the worker")
    host.pump(50)


def overlay(panel):
    return panel.widget.segmentation.attention.overlay


def hold_worker(panel):
    """Stops the worker where it is, so that a run lasts until it is cancelled however fast the computer is."""
    client = panel.logic.backend.client()
    client.start()
    os.kill(client._children[0].pid, signal.SIGSTOP)


def begin_held(panel):
    """Presses Apply with a worker that stands still, and waits until it has the voxels."""
    hold_worker(panel)
    host.click(panel.ui.applyButton)
    host.wait_until(lambda: panel.logic.backend._running and panel.logic.backend._running.job,
                    "a worker that has the voxels")


def let_go(panel):
    """The worker goes on."""
    os.kill(panel.logic.backend.client()._children[0].pid, signal.SIGCONT)


def segments(node):
    """Segment id by name."""
    segmentation = node.GetSegmentation()
    return {segmentation.GetSegment(key).GetName(): key for key in segmentation.GetSegmentIDs()}


def segment_array(node, name, volume):
    """A segment on the grid of a volume, bool (slice, row, column)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segments(node)[name], volume).astype(bool)
