"""The guarded path for Slicer 5.10, which has no slicer.packaging: set-up from the button to "Ready"."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from setup_fakes import GOOD

import host

DRIVER = Path(__file__).with_name("drive_slicer_510.py")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    command = [sys.executable, str(DRIVER), str(tmp_path_factory.mktemp("site-packages"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * host.PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_a_510(reported):
    assert reported["version"] == "5.10"
    assert not reported["packaging"]


def test_it_asks_once_and_is_ready_then(reported):
    assert reported["before"].startswith(f"KAF needs PyTorch and {len(GOOD)} Python packages")
    assert len(reported["asked"]) == 1
    assert reported["torch"] == 1
    assert reported["verified"] == 1
    assert reported["message"] == "Ready; uses PyTorch 2.8.0+cpu."
    assert not reported["stillAsks"]


def test_pip_brings_neither_a_torch_of_its_own_nor_other_versions_of_what_slicer_has(reported):
    alone, rest = reported["pip"]
    assert alone == ["--no-deps", "monai>=1.4"]
    assert rest[0] == "-c"
    assert len(rest) == 2 + len(GOOD) - 1
    assert not any(text.startswith(("torch", "numpy", "monai")) for text in rest[2:])
