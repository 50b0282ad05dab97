"""The host, running, and an empty scene for the tests of its stand-ins."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[2]
if str(TESTING) not in sys.path:
    sys.path.insert(0, str(TESTING))

if find_spec("slicer") and find_spec("PySide6"):  # without them every test file here skips itself
    import host

    host.start()


@pytest.fixture
def scene():
    """The scene, empty before and after; an error that was logged meanwhile fails the test."""
    import slicer

    host.dialogs().clear()
    host.take_errors()
    host.close_scene()
    yield slicer.mrmlScene
    host.check_errors()
    host.close_scene()
