"""Fixtures for the tests on Slicer's real MRML: a scene, a tiny model in a private library, a warm worker."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[1]
for folder in (TESTING, TESTING / "helpers", TESTING.parent / "KAFSegmentation"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if find_spec("slicer") and find_spec("PySide6"):  # without them every test file here skips itself
    import host

    host.start()


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A user's data folder with the model ``tiny`` in its library."""
    from made_models import tiny_model

    home = tmp_path_factory.mktemp("home")
    (home / "kaf" / "models").mkdir(parents=True)
    tiny_model(home / "kaf" / "models" / "tiny.safetensors")
    return home


@pytest.fixture(scope="module")
def logic(library):
    """The logic with one warm worker for the tests of a file."""
    from KAFSegmentationLib import PlainSetup, SegmentationLogic

    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(library)
    made = SegmentationLogic(PlainSetup(sys.executable))
    made.backend.silence = host.PATIENCE
    yield made
    made.close()
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(autouse=True)
def scene():
    import slicer

    host.close_scene()
    host.take_errors()
    yield slicer.mrmlScene
    host.check_errors()
    host.close_scene()
