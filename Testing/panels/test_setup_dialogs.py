"""What set-up asks and shows: one question, files and folders, a window that goes away."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer

import host
from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs
from KAFSegmentationLib.setup.SetupPlan import SetupPlan

PLAN = SetupPlan("missing", ("monai>=1.4", "opencv-python-headless>=4.8"), False, True)
pytestmark = pytest.mark.usefixtures("quietHost")


def press(name, seen):
    def act(box):
        seen.append(f"{box.text} {box.informativeText}")
        button = next(button for button in box.buttons() if button.text.replace("&", "") == name)
        button.click()

    return act


@pytest.mark.parametrize(("name", "answer"), [
    ("Install", "install"), ("From a folder...", "folder"), ("Use another Python...", "python"), ("Cancel", "")])
def test_the_question_lists_what_comes_and_how_large_it_is(name, answer):
    seen = []
    host.dialogs().answer(press(name, seen))
    assert SetupDialogs().askConsent(PLAN, "/opt/Slicer/site-packages") == answer
    text = seen[0]
    for said in ("PyTorch", "monai", "finds keypoints", "3.1 GB", "7.2 GB", "NVIDIA", "restart once",
                 "/opt/Slicer/site-packages"):
        assert said in text


def test_where_torch_cannot_be_there_is_no_install_button():
    buttons = []
    host.dialogs().answer(lambda box: buttons.extend(b.text.replace("&", "") for b in box.buttons()) or 0)
    plan = SetupPlan("missing", (), True, False, obstacle="PyTorch for Intel Macs ended with version 2.2")
    assert SetupDialogs().askConsent(plan, "/p") == ""
    assert sorted(buttons) == ["Cancel", "From a folder...", "Use another Python..."]


def test_files_and_folders_are_chosen_in_either_binding(monkeypatch):
    host.dialogs().answer("/usr/bin/python3", "/media/wheels")
    assert SetupDialogs().choosePython() == "/usr/bin/python3"
    assert SetupDialogs().chooseFolder() == "/media/wheels"
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", staticmethod(lambda *_: "/opt/python"))  # as PythonQt
    assert SetupDialogs().choosePython() == "/opt/python"


def test_nobody_is_asked_in_tests_and_in_batch_mode(monkeypatch):
    assert SetupDialogs().mayAsk()
    host.set_testing(True)
    try:
        assert not SetupDialogs().mayAsk()
    finally:
        host.set_testing(False)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda *_: None)
    quiet = SetupDialogs()
    assert not quiet.mayAsk()
    quiet.showBusy("Installing")
    quiet.hideBusy()
    assert host.dialogs().shown == []


def test_the_progress_window_says_what_is_going_on_and_goes_away():
    dialogs = SetupDialogs()
    dialogs.showBusy("Downloading PyTorch, about 3.0 GB...")
    window = dialogs._busy
    assert window.visible
    assert window.labelText == "Downloading PyTorch, about 3.0 GB..."
    dialogs.showBusy("Checking...")
    assert dialogs._busy is window
    dialogs.hideBusy()
    assert dialogs._busy is None
