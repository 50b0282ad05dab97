"""`make demo PANEL=1`: a window where there is a display, a picture where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from show_panel import without_display

SCRIPT = Path(__file__).with_name("show_panel.py")


def found(name):
    return f"lib{name}.so.0"


@pytest.mark.parametrize(("environment", "system", "find", "reason"), [
    ({}, "linux", found, "there is no display"),
    ({"DISPLAY": ":0"}, "linux", found, ""),
    ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", found, ""),
    ({"DISPLAY": ":0"}, "linux", lambda name: None, "libxcb-cursor0"),
    ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, "linux", found, "off screen"),
    ({}, "darwin", found, ""),
    ({}, "win32", found, ""),
])  # fmt: skip
def test_whether_a_window_can_be_opened(environment, system, find, reason):
    said = without_display(environment, system, find)
    assert reason in said if reason else said == ""


def test_without_a_display_it_writes_a_picture(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment.pop("QT_QPA_PLATFORM", None)
    done = subprocess.run([sys.executable, str(SCRIPT), "--output", str(tmp_path)], capture_output=True, text=True,
                          check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert f"There is no display, so the panel was drawn into a picture: {tmp_path / 'panel.png'}" in done.stdout
    import qt

    picture = qt.QImage(str(tmp_path / "panel.png"))
    assert picture.width() > 1000
    colours = {picture.pixel(x, y) for x in range(0, picture.width(), 9) for y in range(0, picture.height(), 9)}
    assert len(colours) > 100  # the scan and the panel, not an empty window


def test_a_scan_that_is_not_there_is_said_at_once(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), "--input", str(tmp_path / "no.nii.gz")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "no.nii.gz does not exist" in done.stderr
