"""Packages through Slicer's own pip, torch through the PyTorch extension, and the list of what is needed."""

import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import host
from kaf.runtime.errors import ResourceError
from KAFSegmentationLib.setup import PackageInstaller as installerFile
from KAFSegmentationLib.setup.PackageInstaller import SLICERS_OWN, PackageInstaller
from KAFSegmentationLib.setup.Packages import Packages
from KAFSegmentationLib.setup.Setup import REQUIREMENTS
from KAFSegmentationLib.setup.SetupPlan import _SIZES, SetupPlan, packageName

ROOT = Path(__file__).resolve().parents[2]
PLAN = SetupPlan("missing", ("monai>=1.4", "opencv-python-headless>=4.8"), False, True)
pytestmark = pytest.mark.usefixtures("quietHost")


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
    with pytest.raises(ResourceError, match=r"PyTorch: it could not be installed \(no space left\)"):
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
