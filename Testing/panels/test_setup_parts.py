"""The parts of set-up against the real thing: other Pythons that work and fail, Slicer's pip, dialogs, report."""

import hashlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "KAFSegmentation"))

import host

host.start()

import qt  # noqa: E402
import slicer  # noqa: E402
from setup_fakes import Bench, allGood  # noqa: E402

from kaf.errors import ResourceError  # noqa: E402
from KAFSegmentationLib import PackageInstaller as installerFile  # noqa: E402
from KAFSegmentationLib.Interpreter import Interpreter  # noqa: E402
from KAFSegmentationLib.PackageInstaller import SLICERS_OWN, PackageInstaller  # noqa: E402
from KAFSegmentationLib.Packages import Packages  # noqa: E402
from KAFSegmentationLib.Setup import REQUIREMENTS  # noqa: E402
from KAFSegmentationLib.SetupDialogs import SetupDialogs  # noqa: E402
from KAFSegmentationLib.SetupPlan import _SIZES, SetupPlan, packageName  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="writes a shell script")
PLAN = SetupPlan("missing", ("monai>=1.4", "opencv-python-headless>=4.8"), False, True)


@pytest.fixture(autouse=True)
def quietHost():
    host.dialogs().clear()
    host.take_errors()
    yield
    host.take_errors()
    host.remove_extension("PyTorch")


def requirements(*lines, folder):
    path = folder / "requirements.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Packages(path).requirements()


# --- another Python -------------------------------------------------------------------------------------------

def test_this_python_is_found_with_its_versions(tmp_path):
    wanted = requirements("pydantic>=2", "pillow>=1", folder=tmp_path)
    findings = Interpreter(sys.executable).probe(wanted, 900)  # torch takes a busy computer its time
    assert findings.python == ".".join(map(str, sys.version_info[:3]))
    assert findings.versions["torch"]
    assert findings.versions["pillow"]  # imported as PIL
    assert findings.device
    assert findings.problem(wanted) == "", findings


def planted(folder, name, body=""):
    """A package that the child will find first, and an empty torch, which loads faster than the real one."""
    for each, text in {"torch": "", name: body}.items():
        (folder / each).mkdir()
        (folder / each / "__init__.py").write_text(text, encoding="utf-8")


def test_a_package_that_is_not_there_or_too_old_is_named(tmp_path):
    planted(tmp_path, "pydantic")
    wanted = requirements("no-such-package>=1", "pydantic>=999", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert findings.lacking(wanted) == [("no-such-package", ">=1"), ("pydantic", ">=999")]
    assert "cannot use no-such-package and 1 more (" in findings.problem(wanted)
    assert "is too old" in findings.problem(wanted[1:])


def test_a_package_that_crashes_the_child_is_named(tmp_path):
    planted(tmp_path, "rotten", "import os, signal; os.kill(os.getpid(), getattr(signal, 'SIGSEGV', 9))")
    wanted = requirements("rotten", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    problem = findings.problem(wanted)
    assert "while importing rotten" in problem
    assert os.name == "nt" or problem == "crashed (SIGSEGV) while importing rotten"


def test_a_package_that_ends_the_child_quietly_is_named(tmp_path):
    planted(tmp_path, "quiet", "import os; os._exit(0)")
    wanted = requirements("quiet", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert findings.problem(wanted) == "stopped without a word while importing quiet"


def test_a_package_of_which_only_the_folder_is_left_does_not_count(tmp_path):
    planted(tmp_path, "unused")
    (tmp_path / "hollow").mkdir()
    wanted = requirements("hollow", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert "only an empty folder of it is left" in findings.problem(wanted)


def test_a_child_that_never_ends_is_ended_with_all_it_started_and_slicer_stays_alive(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    script = "\n".join((
        "import subprocess, sys, time",
        "sleeper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
        f"open({str(pid)!r}, 'w').write(str(sleeper.pid))",
        "print('hello', flush=True)",
        "time.sleep(600)",
    ))
    redraws, said, clock = [], [], time.monotonic
    # The limit has passed as soon as it has said hello, however slow this computer is.
    monkeypatch.setattr(time, "monotonic", lambda: clock() + (900 if said else 0))
    interpreter = Interpreter(sys.executable, pump=lambda: redraws.append(1))
    assert interpreter.run(["-c", script], 600.0, said.append) == "did not finish within 600 s"
    assert said == ["hello"]
    assert redraws
    assert wasEnded(int(pid.read_text()))


def wasEnded(pid):
    for _ in range(300):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True  # dead, and not yet collected by whoever inherited it
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_program_that_is_no_python_and_one_that_is_not_there(tmp_path):
    assert Interpreter(str(tmp_path / "none")).probe([]).problem([]).startswith("cannot be started (")
    done = Interpreter(sys.executable)
    assert done.run(["-c", "import sys; print('to stderr', file=sys.stderr); sys.exit(3)"], 30) == \
        'ended with exit code 3: "to stderr"'


@POSIX
def test_an_old_python_is_told_by_its_version(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"python": "3.8.10"}\'\necho \'{"done": true}\'\n')
    python.chmod(0o755)
    assert "is Python 3.8.10" in Interpreter(str(python)).probe([]).problem([])


# --- Slicer's pip ---------------------------------------------------------------------------------------------

@pytest.fixture
def packaging(monkeypatch):
    """slicer.packaging of the host, emptied."""
    import slicer.packaging as found

    monkeypatch.setattr(found, "calls", [])
    monkeypatch.setattr(found, "installed", set())
    return found


def test_packages_go_through_slicers_own_installer_and_nothing_of_slicer_is_replaced(packaging):
    PackageInstaller().installPackages(["monai>=1.4", "tqdm>=4.66"])
    (name, arguments), = packaging.calls
    assert name == "pip_ensure"
    assert arguments["requirements"] == ["monai>=1.4", "tqdm>=4.66"]
    assert {"torch", "SimpleITK", "numpy"} <= set(arguments["skip_packages"])
    assert arguments["prompt_install"] is False  # the one question was asked
    assert arguments["requester"] == "KAF Segmentation"


def test_wheels_from_a_folder_never_touch_the_network(packaging, monkeypatch):
    seen = []
    monkeypatch.setattr(packaging, "pip_install", lambda arguments, requester: seen.append((arguments, requester)))
    PackageInstaller().installFromFolder("/media/wheels", PLAN)
    assert seen == [(["--no-index", "--find-links", "/media/wheels", "torch>=2.6,!=2.9.*", "monai>=1.4",
                      "opencv-python-headless>=4.8"], "KAF Segmentation")]


def test_a_failure_of_pip_has_a_remedy(packaging, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("pip ended with 1\nand a long story")

    monkeypatch.setattr(packaging, "pip_ensure", fails)
    with pytest.raises(ResourceError, match=r"could not be installed \(pip ended with 1\)\. Check the network"):
        PackageInstaller().installPackages(["tqdm"])


class Slicer510(ModuleType):
    """A slicer without ``packaging``; pip_install there takes one argument, text or list."""

    def __init__(self, constraints):
        super().__init__("slicer510")
        self.calls = []

        def pip_install(arguments):
            assert isinstance(arguments, list)
            if "-c" in arguments:
                constraints.append(Path(arguments[arguments.index("-c") + 1]).read_text(encoding="utf-8"))
            self.calls.append(arguments)

        self.util = SimpleNamespace(pip_install=pip_install)


def test_slicer_510_installs_monai_without_its_torch_and_keeps_its_own_versions():
    import numpy

    constraints = []
    older = Slicer510(constraints)
    PackageInstaller(older).installPackages(["monai>=1.4", "scikit-image>=0.22", "tqdm>=4.66"])
    assert older.calls[0] == ["--no-deps", "monai>=1.4"]
    assert older.calls[1][0] == "-c"
    assert older.calls[1][2:] == ["scikit-image>=0.22", "tqdm>=4.66"]
    assert f"numpy=={numpy.__version__}" in constraints[0].splitlines()
    assert not Path(older.calls[1][1]).exists()


def test_slicer_510_takes_wheels_from_a_folder_too():
    older = Slicer510([])
    PackageInstaller(older).installFromFolder("/w", SetupPlan("ok", ("tqdm>=4.66",), True, False))
    assert older.calls == [["--no-index", "--find-links", "/w", "tqdm>=4.66"]]


# --- torch ----------------------------------------------------------------------------------------------------

def test_torch_is_left_to_the_pytorch_extension():
    installer = PackageInstaller()
    assert not installer.hasPyTorchExtension()
    host.add_extension("PyTorch")
    assert installer.hasPyTorchExtension()
    import PyTorchUtils

    before = os.environ.get("PIP_PROGRESS_BAR")
    installer.installTorch(">=2.6,!=2.9.*")
    assert PyTorchUtils.calls[-1] == {
        "askConfirmation": False, "forceComputationBackend": None, "torchVersionRequirement": ">=2.6,!=2.9.*",
        "torchvisionVersionRequirement": None}
    assert os.environ.get("PIP_PROGRESS_BAR") == before
    PyTorchUtils.fails = "no space left"
    with pytest.raises(ResourceError, match=r"PyTorch: could not be installed \(no space left\)"):
        installer.installTorch(">=2.6")


def test_the_missing_extension_is_fetched_without_more_questions(monkeypatch):
    seen = []

    class Manager:
        interactive = True
        has = False

        def isExtensionInstalled(self, name):
            return self.has

        def installExtensionFromServer(self, name, restart):
            seen.append((name, restart, self.interactive))
            return self.answer

    manager = Manager()
    fake = ModuleType("slicer")
    fake.app = SimpleNamespace(extensionsManagerModel=lambda: manager)
    manager.answer = False
    with pytest.raises(ResourceError, match="Extensions Manager"):
        PackageInstaller(fake).installPyTorchExtension()
    manager.answer = True
    PackageInstaller(fake).installPyTorchExtension()
    assert seen == [("PyTorch", False, False)] * 2
    assert manager.interactive is True
    manager.has = True
    PackageInstaller(fake).installPyTorchExtension()
    assert len(seen) == 2


def test_a_broken_torch_goes_also_where_pip_gives_up(tmp_path, monkeypatch):
    gone = ["torch", "torchgen", "functorch", "torch-2.13.0.dist-info", "~orch"]
    stays = ["torchio", "torchvision", "torchmetrics-1.0.dist-info", "monai"]
    for name in gone + stays:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()

    def refuses(arguments):
        raise RuntimeError("no RECORD file was found for torch")

    fake = ModuleType("slicer")
    fake.util = SimpleNamespace(pip_uninstall=refuses)
    PackageInstaller(fake, tmp_path).removeBrokenTorch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)
    (tmp_path / "torch").mkdir()

    def inUse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(installerFile.shutil, "rmtree", inUse)
    with pytest.raises(ResourceError, match=r"cannot be removed \(Permission denied\)\. Restart Slicer"):
        PackageInstaller(fake, tmp_path).removeBrokenTorch()


def test_pip_is_asked_to_report_so_that_slicer_goes_on_drawing(monkeypatch):
    for version, expected in (("24.0", None), ("24.1", "raw"), ("25.0.1", "raw")):
        monkeypatch.delenv("PIP_PROGRESS_BAR", raising=False)
        monkeypatch.setattr(installerFile.importlib.metadata, "version", lambda name, v=version: v)
        with installerFile._talkativePip():
            assert os.environ.get("PIP_PROGRESS_BAR") == expected
        assert "PIP_PROGRESS_BAR" not in os.environ


# --- dialogs --------------------------------------------------------------------------------------------------

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


# --- the report -----------------------------------------------------------------------------------------------

def test_the_report_has_what_a_maintainer_asks_for(tmp_path, monkeypatch):
    from KAFSegmentationLib import Models

    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"weights")
    entry = SimpleNamespace(name="mine", path=path, card=SimpleNamespace(version="1.2"))
    monkeypatch.setattr(Models, "listModels", lambda: [entry])
    findings = allGood()
    findings.errors["monai"] = "ImportError: libfoo is missing"
    del findings.versions["monai"]
    made = Bench(tmp_path, findings=lambda path: findings)
    text = made.setup.diagnose()
    for said in (
        "Slicer: 5.12, revision", "Slicer's Python: 3.", "torch 2.8.0+cpu", "torch's device: cpu",
        "monai cannot be imported: ImportError: libfoo is missing", "opencv-python-headless 4.12.0.88",
        "NVIDIA: ", "GB free", "State: it cannot use monai",
        "mine 1.2", f"SHA-256 {hashlib.sha256(b'weights').hexdigest()}",
    ):
        assert said in text, said
    assert not made.dialogs.busyNow


def test_the_report_does_not_tell_who_the_user_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    made = Bench(tmp_path / "site-packages")
    assert str(tmp_path) not in made.setup.diagnose()


# --- requirements.txt -----------------------------------------------------------------------------------------

def test_the_list_agrees_with_the_package_and_pins_nothing_of_slicers():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it")
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {r.name: str(r.specifier) for r in Packages(REQUIREMENTS).requirements()}
    theirs = {r.name: str(r.specifier) for r in map(Requirement, project["dependencies"])}
    assert ours == {name: bound for name, bound in theirs.items() if name not in SLICERS_OWN}
    assert all(bound.startswith(">=") and "," not in bound for bound in ours.values())


def test_each_package_has_a_size_and_a_reason_in_the_question():
    plan = SetupPlan("ok", tuple(map(str, Packages(REQUIREMENTS).requirements())), True, False)
    assert all(purpose for _, purpose, _, _ in plan.rows())
    assert {packageName(text) for text in plan.packages} <= set(_SIZES)
