"""Set-up asks once, installs only then, verifies in another process, and explains itself in one sentence."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "KAFSegmentation"))

import host

host.start()

from reworded import said  # noqa: E402
from setup_fakes import GOOD, NO_METADATA, TORCH, Bench, Installed, allGood  # noqa: E402

from kaf.runtime.errors import ModelError, ModelExistsError, ResourceError  # noqa: E402
from KAFSegmentationLib.setup.Findings import Findings  # noqa: E402
from KAFSegmentationLib.setup.Setup import Setup  # noqa: E402

ALL = {**GOOD, **TORCH}


@pytest.fixture
def bench(tmp_path):
    return lambda **options: Bench(tmp_path, **options)


def test_where_everything_is_there_nothing_is_asked_and_nothing_installed(bench):
    made = bench(versions=ALL)
    assert made.setup.isReady()
    assert made.setup.statusText() == "Ready; uses PyTorch 2.8.0+cpu."
    assert made.setup.run()
    assert (made.dialogs.asked, made.steps) == ([], [])
    assert made.interpreter.probed == [made.setup.python()]


def test_looking_whether_it_is_ready_neither_imports_torch_nor_starts_anything(bench):
    before = set(sys.modules)
    made = bench(versions=ALL)
    assert made.setup.isReady()
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "torch"}
    assert made.interpreter.probed == []


def test_first_use_asks_once_and_installs_torch_before_the_rest(bench):
    made = bench()
    assert not made.setup.isReady()
    assert f"PyTorch and {len(GOOD)} Python packages: about" in made.setup.statusText()
    assert made.setup.run()
    assert len(made.dialogs.asked) == 1
    assert made.steps == ["torch", "packages"]
    assert "opencv-python-headless>=4.8" in made.installer.steps[1]
    assert not any("torch" in item or "numpy" in item for item in made.installer.steps[1][1:])
    assert made.setup.isReady()
    assert made.dialogs.reported == []
    assert not made.dialogs.busyNow


def test_only_what_is_missing_is_installed(bench):
    made = bench(versions={**ALL, "pydantic": "1.10", "monai": NO_METADATA})
    assert made.setup.run()
    assert made.installer.steps == [("packages", "monai>=1.4", "pydantic>=2.7")]


def test_another_build_of_opencv_will_do(bench):
    versions = {name: version for name, version in ALL.items() if "opencv" not in name}
    assert not bench(versions=versions).setup.isReady()
    assert bench(versions={**versions, "opencv-contrib-python": "4.11"}).setup.isReady()
    assert not bench(versions={**versions, "opencv-python": "4.5"}).setup.isReady()


def test_declined_means_that_nothing_happens_and_the_panel_says_so(bench):
    made = bench(consent="")
    assert not made.setup.run()
    assert made.steps == []
    assert made.setup.statusText().startswith(f"Nothing was installed. KAF needs PyTorch and {len(GOOD)} Python")
    assert made.dialogs.reported == []  # the person knows what they pressed


def test_a_failure_of_pip_is_one_sentence_and_the_next_try_starts_again(bench):
    made = bench()
    made.installer.fails["packages"] = ResourceError("Python packages", "could not be installed (no network)",
                                                     "Check the network connection.")
    assert not made.setup.run()
    words = "Python packages: could not be installed (no network). Check the network connection."
    assert made.setup.statusText() == words
    assert made.dialogs.reported == [(words, "")]
    assert not made.setup.isReady()
    made.installer.fails.clear()
    assert made.setup.run()
    assert made.steps == ["torch", "packages", "packages"]


@pytest.mark.parametrize(("versions", "origin"), [
    ({"torch": NO_METADATA}, None), ({"torch": NO_METADATA}, "torch/__init__.py"), (TORCH, None)])
def test_a_half_installed_torch_is_seen_and_repaired(bench, versions, origin):
    made = bench(versions={**GOOD, **versions})
    made.installed.torchOrigin = origin
    assert not made.setup.isReady()
    assert "repairs a broken installation" in made.setup.statusText()
    assert made.setup.run()
    assert made.steps == ["remove", "torch"]


def test_an_old_torch_is_replaced_and_a_slow_one_of_somebody_else_is_left(bench):
    old = bench(versions={**ALL, "torch": "2.2.2"})
    assert old.setup.run()
    assert old.installer.steps == [("torch", ">=2.6,!=2.9.*")]
    assert bench(versions={**ALL, "torch": "2.9.1+cu128"}).setup.isReady()


def test_without_the_pytorch_extension_slicer_restarts_once_and_set_up_goes_on(bench):
    made = bench(extension=False, restart=True)
    assert not made.setup.run()
    assert made.steps == ["extension", "restart"]
    assert "restart Slicer" in made.setup.statusText()
    assert not made.setup.mustContinue()  # not before the restart, however often the panel is opened
    made.installer.extension = True
    after = made.again()
    assert after.mustContinue()
    assert after.run()
    assert len(made.dialogs.asked) == 1  # the answer from before the restart holds
    assert made.steps[2:] == ["torch", "packages"]
    assert not after.mustContinue()


def test_what_somebody_else_finished_is_not_continued_for_ever(bench):
    made = bench(extension=False)
    made.setup.run()
    made.installed.versions.update(ALL)
    after = made.again()
    assert after.mustContinue()
    assert after.run()
    assert not made.again().mustContinue()


def test_packages_that_crash_when_they_are_loaded_are_not_ready_until_they_change(bench):
    findings = allGood()
    findings.take({"importing": "torch"})
    findings.end("crashed (SIGSEGV)", "Fatal Python error")
    made = bench(versions=ALL, findings=lambda path: findings)
    assert not made.setup.run()
    text, detail = made.dialogs.reported[0]
    assert text.startswith("Slicer's Python: crashed (SIGSEGV) while importing torch. Restart Slicer")
    assert detail == "Fatal Python error"
    later = made.again()
    assert not later.isReady()
    assert "cannot be loaded" in later.statusText()
    made.installed.versions["torch"] = "2.8.1"
    assert made.again().isReady()


def test_a_folder_of_wheels_does_it_without_the_network_and_brings_models(bench, tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("torch-2.8.0-cp312-none-any.whl", "mine.safetensors", "theirs.safetensors"):
        (folder / name).touch()
    made = bench(consent="folder", folder=str(folder))
    made.interpreter.failures["theirs.safetensors"] = ModelExistsError("model 'theirs'", "is there", "Remove it.")
    assert made.setup.run()
    assert made.installer.steps == [("folder", str(folder))]
    assert [arguments[:4] for _, arguments in made.interpreter.runs] == [["-m", "kaf", "models", "add"]] * 2
    assert made.interpreter.runs[0][1][4] == str(folder / "mine.safetensors")


def test_a_damaged_model_in_the_folder_is_named(bench, tmp_path):
    for name in ("a-1-py3-none-any.whl", "bad.safetensors"):
        (tmp_path / name).touch()
    made = bench(consent="folder", folder=str(tmp_path))
    made.interpreter.failures["bad.safetensors"] = "ended with exit code 1"
    assert not made.setup.run()
    assert said("bad.safetensors: ended with exit code 1") in made.setup.statusText()
    made = bench(consent="folder", folder=str(tmp_path))
    made.interpreter.failures["bad.safetensors"] = ModelError("bad", "is damaged", "Get it again.")
    assert not made.setup.run()
    assert said("bad.safetensors: bad: is damaged. Get it again.") in made.setup.statusText()


def test_a_folder_without_wheels_and_no_folder_at_all(bench, tmp_path):
    made = bench(consent="folder", folder=str(tmp_path))
    assert not made.setup.run()
    assert "contains no wheels" in made.setup.statusText()
    made.dialogs.folder = ""
    assert not made.setup.run()
    assert made.setup.statusText().startswith("Nothing was installed.")
    assert made.steps == []


def test_a_full_disk_is_reported_before_anything_is_downloaded(bench, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=600e6))
    made = bench()
    assert not made.setup.run()
    assert made.steps == []
    assert "600 MB of disk space is free, and the set-up needs about" in made.setup.statusText()


def test_a_python_outside_slicer_is_checked_and_remembered(bench, tmp_path):
    python = tmp_path / "python"
    python.touch()
    made = bench(consent="python", python=str(python))
    assert made.setup.run()
    assert made.steps == []
    assert made.setup.python() == str(python)
    later = made.again()
    assert later.isReady()
    assert later.statusText() == f"Ready; uses the Python {python}."
    python.write_text("another one lies there now")
    changed = made.again()
    assert not changed.isReady()
    assert "has changed" in changed.statusText()
    assert changed.run()
    assert changed.isReady()
    changed.useSlicerPython()
    assert changed.python() != str(python)
    assert not changed.isReady()


@pytest.mark.parametrize(("findings", "said"), [
    (Findings(python="3.8.10"), "is Python 3.8.10, and KAF needs 3.10 or newer"),
    (Findings(ending="it cannot be started (Permission denied)"),
     "it cannot be started (Permission denied). Press Set up again and choose"),
    (Findings(python="3.11.2", errors={"torch": "ModuleNotFoundError: No module named 'torch'"}),
     f"torch and {len(GOOD) + 3} other packages cannot be used (ModuleNotFoundError: No module named 'torch'). Run "),
])
def test_a_python_that_will_not_do_is_refused_as_a_message_and_forgotten(bench, tmp_path, findings, said):
    made = bench(consent="python", python=str(tmp_path / "python"), findings=lambda path: findings)
    assert not made.setup.run()
    assert said in made.setup.statusText()
    assert len(made.dialogs.reported) == 1
    assert made.setup.python() != str(tmp_path / "python")


def test_what_pip_must_install_elsewhere_is_spelled_out(bench, tmp_path):
    findings = allGood()
    del findings.versions["monai"]
    findings.versions["torch"] = "2.2.2"
    made = bench(versions=ALL, python="/opt/py/bin/python", findings=lambda path: findings)
    assert not made.setup.useOtherPython()
    assert '"/opt/py/bin/python" -m pip install "torch>=2.6" "monai>=1.4"' in made.setup.statusText()
    assert "version 2.2.2 is too old" in made.setup.statusText()


def test_nothing_is_installed_where_nobody_can_be_asked(bench):
    made = bench(present=False)
    assert not made.setup.run()
    assert (made.steps, made.dialogs.asked, made.dialogs.reported) == ([], [], [])
    assert "Setup().run(consent=True)" in made.setup.statusText()
    assert made.setup.run(consent=True)
    assert (made.steps, made.dialogs.asked) == (["torch", "packages"], [])


def test_pressing_the_button_again_meanwhile_does_nothing(bench):
    made = bench()
    again = []
    made.installer.installPackages = lambda requirements: again.append(made.setup.run())
    made.setup.run()
    assert again == [False]
    assert len(made.dialogs.asked) == 1


def test_on_an_intel_mac_another_python_is_the_way(bench, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    made = bench()
    assert "PyTorch for Intel Macs ended with version 2.2" in made.setup.statusText()
    assert not made.setup.run()
    assert made.steps == []


def test_ready_is_reported_fast_enough_to_be_asked_on_every_redraw(bench):
    calls = []
    installed = Installed(ALL)
    made = bench(versions=ALL)
    packages = installed.packages()
    packages._distribution = lambda name: calls.append(name) or installed.distribution(name)
    setup = Setup(packages, made.installer, made.dialogs, made.setup._settings, made.interpreter)
    assert setup.isReady()
    first = len(calls)
    assert setup.isReady()
    assert len(calls) == first  # what was found is kept
