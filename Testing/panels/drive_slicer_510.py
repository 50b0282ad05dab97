"""Sets KAF up in a Slicer 5.10, as far as the host can be one: the panel, its dialogs and the installer are real, pip
and the Python that is looked into are not. Prints what happened as JSON; test_slicer_510.py runs it in a process of
its own, because a host has one version for life."""

import importlib.util
import json
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]

import host  # noqa: E402

host.start(version=(5, 10))

import slicer  # noqa: E402
from segmentation_panel import MODULE  # noqa: E402
from setup_fakes import GOOD, TORCH, FakeInterpreter, Installed, allGood  # noqa: E402

from KAFSegmentationLib.setup.PackageInstaller import PackageInstaller  # noqa: E402
from KAFSegmentationLib.setup.Setup import Setup  # noqa: E402


def main(folder: str) -> None:
    installed, calls = Installed(), []

    def pip_install(requirements):  # of Slicer 5.10: one argument, waits, raises on failure
        calls.append(requirements)
        names = [text for text in requirements if text[0].isalpha() and "/" not in text]
        for name in (name for name in GOOD if any(text.startswith(f"{name}>") for text in names)):
            installed.versions[name] = GOOD[name]

    def pip_uninstall(requirements):
        calls.append(["uninstall", *requirements])

    slicer.util.pip_install, slicer.util.pip_uninstall = pip_install, pip_uninstall
    for name in ("executePythonModule", "isPipInstallInProgress"):  # came with slicer.packaging
        if hasattr(slicer.util, name):
            delattr(slicer.util, name)
    host.add_extension("PyTorch")
    import PyTorchUtils

    installTorch = PyTorchUtils.PyTorchUtilsLogic.installTorch
    PyTorchUtils.PyTorchUtilsLogic.installTorch = lambda *arguments: (
        installed.versions.update(TORCH), installTorch(*arguments))[1]
    interpreter = FakeInterpreter(allGood)
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = lambda: Setup(
        installed.packages(), PackageInstaller(sitePackages=Path(folder)), interpreter=interpreter)
    module.show()
    before = module.ui.setUpLabel.text
    host.dialogs().answer(lambda box: next(b for b in box.buttons() if b.text.replace("&", "") == "Install").click())
    host.click(module.ui.setUpButton)
    host.check_errors()
    print(json.dumps({
        "version": f"{slicer.app.majorVersion}.{slicer.app.minorVersion}",
        "packaging": importlib.util.find_spec("slicer.packaging") is not None,
        "before": before, "asked": host.dialogs().texts(), "torch": len(PyTorchUtils.calls), "pip": calls,
        "verified": len(interpreter.probed), "message": module.ui.messageLabel.text,
        "stillAsks": module.ui.setUpFrame.isVisible(),
    }))  # fmt: skip
    module.unload()


if __name__ == "__main__":
    main(sys.argv[1])
