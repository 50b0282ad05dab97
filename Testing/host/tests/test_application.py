"""What the host itself is: a main window, dialogs that never wait, Slicer's own files in place of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer

import host
from host.startup import checkedSources


def test_the_main_window_selects_modules(toy):
    window = host.main_window(toy, 1200, 800)
    assert slicer.util.mainWindow() is window
    assert slicer.util.selectedModule() == "ToyThreshold"
    assert toy.panel.visible
    assert host.pixels(window).shape == (800, 1200, 3)
    slicer.util.selectModule("Volumes")
    assert not toy.panel.isEntered
    slicer.util.selectModule("ToyThreshold")
    assert toy.panel.isEntered
    window.hide()
    assert not any(isinstance(getattr(host, name), type(host)) for name in host.__all__)


def test_dialogs_are_recorded_and_never_wait(empty):
    box = qt.QMessageBox
    host.dialogs().answer(box.No)
    assert box.question(None, "Title", "Really?", box.Yes | box.No) == box.No
    assert slicer.util.confirmOkCancelDisplay is not None
    host.dialogs().answer(box.Ok, "/data/scan.nrrd", None)
    assert slicer.util.confirmOkCancelDisplay("Go on?")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "") == ("/data/scan.nrrd", "")
    assert qt.QFileDialog.getExistingDirectory(None, "Folder", "") == ""
    assert host.dialogs().texts()[:2] == ["Really?", "Go on?"]
    with pytest.raises(host.UnansweredDialog, match="Go on"):
        slicer.util.confirmOkCancelDisplay("Go on?")


def test_slicers_own_files_and_an_older_slicer_without_window(tmp_path):
    for name in ("ScriptedLoadableModule.py", "i18n.py", "parameterNodeWrapper/__init__.py", "packaging.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ORIGIN = 'given'\n", encoding="utf-8")
    code = (
        "import host, sys; host.start(slicerSources=sys.argv[1], version=(5, 10), mainWindow=False);"
        "import slicer.i18n, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper as p, importlib.util as u;"
        "print(slicer.i18n.ORIGIN, slicer.ScriptedLoadableModule.ORIGIN, p.ORIGIN);"
        "print(slicer.app.minorVersion, u.find_spec('slicer.packaging'), slicer.util.mainWindow())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(host.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=2 * host.PATIENCE)
    assert "given given given\n10 None None" in done.stdout, done.stderr
    (tmp_path / "i18n.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks Slicer's i18n.py"):
        checkedSources(tmp_path)
