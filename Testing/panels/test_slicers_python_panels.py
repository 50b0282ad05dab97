"""Both panels in a Python that has Slicer's own packages only: an adapted model is saved, models come and go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from made_models import tiny_model
from pretrain_panel import heart

from slicers_python import environment, other_python

DRIVER = Path(__file__).with_name("drive_slicers_python.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the other Python is a shell script")


@pytest.fixture(scope="module")
def reported(tmp_path_factory, made):
    """What the driver saw; ``made`` are runs that another Python has finished."""
    folder = tmp_path_factory.mktemp("driven")
    model = tiny_model(folder / "sent.safetensors", name="knee", spacing=4.0)
    volume, _ = heart(3)
    np.savez(folder / "scan.npz", voxels=volume.voxels, affine=volume.affine)
    (folder / "out").mkdir()
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(other_python(folder)), str(model), str(folder / "scan.npz"), str(made),
         str(folder / "out")], capture_output=True, text=True, check=False, timeout=1800,
        env=environment(XDG_DATA_HOME=str(folder / "data"), XDG_STATE_HOME=str(folder / "state")))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_is_added_and_segments(reported):
    assert reported["own at first"] == []
    assert reported["added"] == "Model added and chosen: knee."
    assert reported["segmented"].startswith("Done in ")


def test_what_was_adapted_is_saved_and_listed(reported):
    assert reported["saved"] == "Model saved as 'mine'. Choose it under Model to use it on other scans."
    assert reported["own at last"] == ["knee", "mine"]


def test_the_library_of_the_other_module_is_the_same_and_the_runs_model_enters_it(reported):
    assert sorted(reported["pretrain lists"]) == ["knee", "mine", "tuned"]


def test_cards_are_written_and_models_exported_deleted_and_imported(reported):
    assert reported["card"] == "For tests only"
    assert sorted(reported["after delete"]) == ["knee", "tuned"]
    assert sorted(reported["after import"]) == ["knee", "mine", "tuned"]
    assert "was added to the library" in reported["imported"]
