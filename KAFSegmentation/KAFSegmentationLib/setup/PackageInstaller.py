"""Installs torch and the packages into Slicer's Python, with Slicer's own means; all of it on the main thread."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from slicer.i18n import tr as _

from kaf.runtime.errors import ResourceError
from KAFSegmentationLib.setup.SetupPlan import SetupPlan

REQUESTER = "KAF Segmentation"
EXTENSION = "PyTorch"
# What Slicer and the PyTorch extension take care of. No package that depends on one of them may replace it.
SLICERS_OWN = ["torch", "torchvision", "SimpleITK", "numpy", "scipy", "pydicom", "requests", "vtk"]
_PULLS_TORCH = ("monai",)  # needs nothing but numpy and torch
_TORCH_FOLDERS = ("torch", "torchgen", "functorch")
_RETRY = _("Check the network connection and press Set up again, or choose a folder with wheels. The Python console "
           "shows the output of pip.")


class PackageInstaller:
    """The steps that change Slicer's Python.

    Args:
        slicer: the module of that name.
        sitePackages: where Slicer's Python keeps its packages; only what lies directly in it is ever removed.
    """

    def __init__(self, slicer: ModuleType | None = None, sitePackages: Path | None = None):
        self._slicer = slicer if slicer is not None else importlib.import_module("slicer")
        self.sitePackages = Path(sitePackages or sysconfig.get_paths()["purelib"])

    def hasPyTorchExtension(self) -> bool:
        """Whether its module can be imported, which takes a restart after it was installed."""
        # Of a module that Slicer has loaded from its file find_spec need not know.
        return "PyTorchUtils" in sys.modules or importlib.util.find_spec("PyTorchUtils") is not None

    def installPyTorchExtension(self) -> None:
        """Gets the PyTorch extension from Slicer's server; Slicer must be restarted before it can be used.

        Raises:
            ResourceError: the server does not give it.
        """
        manager = self._slicer.app.extensionsManagerModel()
        if manager.isExtensionInstalled(EXTENSION):
            return
        asked = getattr(manager, "interactive", None)
        try:
            if asked is not None:
                manager.interactive = False  # the user has agreed once, and to all of it
            installed = manager.installExtensionFromServer(EXTENSION, False)
        finally:
            if asked is not None:
                manager.interactive = asked
        if not installed:
            raise ResourceError(
                _("PyTorch extension"), _("it could not be installed from Slicer's server"),
                _("Install it in the Extensions Manager and press Set up again, or choose a folder with wheels."))

    def restart(self) -> None:
        """Restarts Slicer."""
        self._slicer.util.restart()

    def installTorch(self, requirement: str) -> None:
        """Lets the PyTorch extension choose and install the build for this computer's GPU.

        It imports torch in the end, into Slicer itself; that is the only time, and a failure there says nothing
        about the installation, which is verified in another process.

        Raises:
            ResourceError: it could not be installed.
        """
        from PyTorchUtils import PyTorchUtilsLogic

        try:
            with _talkativePip():
                # By position: the names are part of no promise, and a wrong one once broke every user for a day.
                found = PyTorchUtilsLogic().installTorch(False, None, requirement)
        except ImportError as error:
            print(f"PyTorch was installed but Slicer cannot import it: {error}")
            return
        except Exception as error:
            raise ResourceError("PyTorch", _("it could not be installed ({reason})").format(reason=_reason(error)),
                                _RETRY) from error
        if found is None:
            raise ResourceError("PyTorch", _("it was not installed"), _RETRY)

    def removeBrokenTorch(self) -> None:
        """Removes what an interrupted installation has left: with pip, and where pip gives up, by hand.

        Raises:
            ResourceError: files are in use or cannot be removed.
        """
        # pip refuses when the list of installed files is missing, and that is exactly what happens.
        with contextlib.suppress(Exception):
            self._slicer.util.pip_uninstall(["torch", "torchvision"])
        for path in self._torchLeftovers():
            try:
                shutil.rmtree(path)
            except OSError as error:
                reason = _("it belongs to a broken PyTorch and cannot be removed ({reason})")
                raise ResourceError(
                    path, reason.format(reason=error.strerror or error),
                    _("Restart Slicer and press Set up again before anything else uses PyTorch.")) from error
        importlib.invalidate_caches()

    def installPackages(self, requirements: Sequence[str]) -> None:
        """Installs with ``slicer.packaging`` (Slicer 5.12), or as Slicer 5.10 does it.

        Raises:
            ResourceError: pip failed.
        """
        try:
            packaging = self._packaging()
            if packaging is None:
                self._installAsIn510(requirements)
            else:
                # The list as text: it need not be made by the same copy of the library `packaging`.
                packaging.pip_ensure(list(requirements), skip_packages=SLICERS_OWN, prompt_install=False,
                                     requester=REQUESTER)
        except Exception as error:
            reason = _("they could not be installed ({reason})").format(reason=_reason(error))
            raise ResourceError(_("Python packages"), reason, _RETRY) from error

    def installFromFolder(self, folder: str, plan: SetupPlan) -> None:
        """Installs all of the plan, torch included, from wheels in a folder; the network is not touched.

        Raises:
            ResourceError: pip failed, most often because a wheel is missing or made for another Python.
        """
        if plan.torchState == "broken":
            self.removeBrokenTorch()
        wanted = ["torch" + plan.torchRequirement] if plan.needsTorch else []
        arguments = ["--no-index", "--find-links", folder, *wanted, *plan.packages]
        try:
            packaging = self._packaging()
            if packaging is None:
                self._slicer.util.pip_install(arguments)
            else:
                packaging.pip_install(arguments, requester=REQUESTER)
        except Exception as error:
            raise ResourceError(
                folder, _("its wheels could not be installed ({reason})").format(reason=_reason(error)),
                _("The folder must contain a wheel of every package for this system and Python; the Python console "
                  "names the one that is missing.")) from error

    def _packaging(self):
        """``slicer.packaging``; None before Slicer 5.11."""
        try:
            return importlib.import_module(f"{self._slicer.__name__}.packaging")
        except ImportError:
            return None

    def _installAsIn510(self, requirements: Sequence[str]) -> None:
        loose = [text for text in requirements if text.startswith(_PULLS_TORCH)]
        others = [text for text in requirements if text not in loose]
        if loose:
            self._slicer.util.pip_install(["--no-deps", *loose])
        if others:
            with _keptVersions() as constraints:
                self._slicer.util.pip_install(["-c", constraints, *others])

    def _torchLeftovers(self) -> list[Path]:
        patterns = [*_TORCH_FOLDERS, "torch-*.dist-info", "~orch*"]  # ~: what pip had moved aside
        return [path for pattern in patterns for path in sorted(self.sitePackages.glob(pattern)) if path.is_dir()]


@contextlib.contextmanager
def _talkativePip():
    """Has pip report its progress in lines.

    ``slicer.util.logProcessOutput`` lets Slicer draw itself once per line of output. While pip downloads the two
    gigabytes of a CUDA build it writes none, and Slicer looks frozen, unless it is asked to.
    """
    try:
        numbers = importlib.metadata.version("pip").split(".")
        talks = (int(numbers[0]), int(numbers[1])) >= (24, 1)
    except (importlib.metadata.PackageNotFoundError, IndexError, ValueError):
        talks = False
    before = os.environ.get("PIP_PROGRESS_BAR")
    if talks:
        os.environ["PIP_PROGRESS_BAR"] = "raw"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PIP_PROGRESS_BAR", None)
        else:
            os.environ["PIP_PROGRESS_BAR"] = before


@contextlib.contextmanager
def _keptVersions():
    """A constraints file with what Slicer brings, as it is; Slicer has these files open."""
    lines = []
    for name in SLICERS_OWN:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, KeyError, TypeError):
            lines.append(f"{name}=={importlib.metadata.version(name)}")
    folder = tempfile.mkdtemp(prefix="kaf-")
    try:
        path = Path(folder) / "constraints.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        yield str(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
