"""The panel of KAFSegmentation on the test host, with a real worker and a tiny model in a private library."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

TESTING = Path(__file__).resolve().parents[1]
MODULE = TESTING.parent / "KAFSegmentation"
for folder in (TESTING, TESTING / "backend", MODULE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import host  # noqa: E402

host.start()

import slicer  # noqa: E402


class ReadySetup:
    """A set-up that is done: the worker runs in this Python."""

    ready = True
    words = "PyTorch is missing. Set up installs it once (about 200 MB)."

    def __init__(self):
        self.asked = 0

    def isReady(self):
        return self.ready

    def python(self):
        return sys.executable

    def statusText(self):
        return "Ready." if self.ready else self.words

    def run(self, parent=None):
        self.asked += 1
        return self.ready

    useOtherPython = run

    def diagnose(self):
        return f"Python: {sys.executable}"


def pytest_addoption(parser):
    parser.addoption("--screenshots", default="", help="folder for a picture of every state of the panels")


@pytest.fixture
def pictures(request):
    """Writes a picture of a panel, view or window under a name, if the option asks for pictures."""
    folder = request.config.getoption("--screenshots")

    def take(shown, name):
        if folder:
            host.screenshot(shown, Path(folder) / f"{name}.png")

    return take


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A user's data folder with the model ``tiny`` in its library, known to this process and to the worker."""
    from made_models import tiny_model

    home = tmp_path_factory.mktemp("home")
    (home / "kaf" / "models").mkdir(parents=True)
    tiny_model(home / "kaf" / "models" / "tiny.safetensors", description="Random weights, for tests.")
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(home)
    yield home / "kaf" / "models"
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session")
def worker(library):
    """One client for all tests: closing a panel leaves its worker warm for the next one."""
    from kaf.client import Client

    class Shared(Client):
        def close(self):
            if self._job is not None:
                self._job.cancel()

    client = Shared(python=sys.executable)
    yield client
    Client.close(client)


@pytest.fixture
def make_panel(library, worker):
    """Loads the module, as often as it is called, with a set-up of one's own.

    With ``own`` it gets a worker of its own, which it also ends.
    """
    import qt

    host.close_scene()
    host.dialogs().clear()
    host.take_errors()
    qt.QSettings().clear()
    # The host forgets a module's folder when it unloads the module; kaf, which lies in it, is everybody's.
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "kaf"}
    loaded = []

    def make(setup=ReadySetup, own=False):
        module = host.load_module(MODULE / "KAFSegmentation.py")
        module.source.KAFSegmentationWidget.makeSetup = setup
        if not own:
            module.widget.logic.backend._makeClient = lambda **_: worker
        module.show()
        loaded.append(module)
        return module

    yield make
    for module in loaded:
        module.unload()
    sys.modules.update(kept)
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    host.check_errors()
    host.close_scene()


@pytest.fixture
def panel(make_panel):
    """The panel, open, with everything ready."""
    return make_panel()


@pytest.fixture(scope="session")
def heart():
    from kaf.phantom import cardiac_phantom

    return cardiac_phantom(3, slices=4, size=64, spacing=3.0)[0]


@pytest.fixture
def scan(panel, heart):
    """A scan in the scene, shown in the views, and chosen in the panel."""
    node = add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    return node


def add_scan(volume, name="Heart"):
    """A volume of the backend as a volume node."""
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(volume.voxels), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.affine))
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def wait_for_run(panel, seconds=60):
    """Waits until the button says Apply again."""
    host.wait_until(lambda: panel.ui.applyButton.text == "Apply", seconds, "the end of the run")


def run(panel):
    """Presses Apply and waits; returns the segmentation node."""
    host.click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Cancel"
    wait_for_run(panel)
    return panel.ui.outputSelector.currentNode()


def segments(node):
    """Segment id by name."""
    segmentation = node.GetSegmentation()
    return {segmentation.GetSegment(key).GetName(): key for key in segmentation.GetSegmentIDs()}


def segment_array(node, name, volume):
    """A segment on the grid of a volume, bool (slice, row, column)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segments(node)[name], volume).astype(bool)
