"""The tests that are meant for a real Slicer run on the host too, so that they are known to work."""

import sys
import unittest
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "KAFSegmentation"))

import host

host.start()

ROOT = Path(__file__).resolve().parents[2]


def test_they_pass_here():
    host.close_scene()
    host.take_errors()
    # Unloading forgets all that lies in the module's folder; other tests hold on to it.
    kept = {name: found for name, found in sys.modules.items() if name.split(".")[0] in ("kaf", "KAFSegmentationLib")}
    module = host.load_module(ROOT / "KAFSegmentation" / "KAFSegmentation.py")
    folder = str(ROOT / "Testing" / "Python")
    sys.path.append(folder)
    host.set_testing(True)
    try:
        suite = unittest.TestLoader().loadTestsFromName("KAFSegmentationTest")
        result = unittest.TextTestRunner(verbosity=0).run(suite)
    finally:
        host.set_testing(False)
        sys.path.remove(folder)
        module.unload()
        sys.modules.update(kept)
        sys.path.insert(0, str(ROOT / "KAFSegmentation"))
        host.take_errors()
    assert result.wasSuccessful(), [text for _, text in result.failures + result.errors]
    assert result.testsRun >= 6
