"""The host, running, an empty scene, and the toy module for the tests of the host."""

import shutil
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


@pytest.fixture
def empty():
    """An empty scene before and after, and nothing left of the dialogs and errors of another test."""
    host.dialogs().clear()
    host.take_errors()
    host.close_scene()
    yield
    host.close_scene()


@pytest.fixture
def load(empty, tmp_path):
    """Loads a copy of the toy module, after replacing texts in its two files."""
    loaded = []

    def make(code=(), ui=()):
        from toy_module import TOY, ui_file

        folder = shutil.copytree(TOY, tmp_path / "toy", ignore=shutil.ignore_patterns("__pycache__"))
        for path, changes in ((folder / "ToyThreshold.py", code), (ui_file(folder), ui)):
            text = path.read_text(encoding="utf-8")
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        loaded.append(host.load_module(folder / "ToyThreshold.py"))
        return loaded[-1]

    yield make
    for module in loaded:
        module.unload()


@pytest.fixture
def toy(load):
    module = load()
    module.show()
    return module
