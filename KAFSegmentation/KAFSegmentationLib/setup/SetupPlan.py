"""What set-up will do, as text and in megabytes, before anybody is asked."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from kaf.runtime.errors import ResourceError
from KAFSegmentationLib.setup.Packages import TORCH_TO_INSTALL, Packages

# (to download, on disk) in MB, each with what it brings along; measured in wheels for Linux, Python 3.11.
_SIZES = {
    "monai": (2, 7),
    "safetensors": (1, 2),
    "pydantic": (3, 8),
    "pydantic-settings": (1, 1),
    "opencv-python-headless": (62, 160),
    "scikit-image": (17, 39),
    "pillow": (7, 20),
    "tqdm": (1, 1),
    "einops": (1, 1),
    "jinja2": (1, 1),
    "psutil": (1, 1),
}
_SPARE_MEGABYTES = 500
_TORCH_CPU = (200, 900)
_TORCH_GPU = (3000, 7000)  # with the CUDA libraries of the wheels
_WHAT_FOR = {
    "torch": _("runs the networks"),
    "monai": _("losses for adapting models"),
    "safetensors": _("reads model files"),
    "pydantic": _("checks settings"),
    "pydantic-settings": _("checks settings"),
    "opencv-python-headless": _("finds keypoints"),
    "scikit-image": _("superpixels for pretraining"),
    "pillow": _("writes images"),
    "tqdm": _("progress on the command line"),
    "einops": _("part of the network SwinUNETR"),
    "jinja2": _("writes reports"),
    "psutil": _("reports free memory"),
}
_TORCH_NAMES = {
    "missing": "PyTorch",
    "old": _("PyTorch (replaces an outdated version)"),
    "broken": _("PyTorch (repairs a broken installation)"),
}


@dataclass(frozen=True)
class SetupPlan:
    """The steps that are left: torch's state, the packages that are missing, the extension that torch takes."""

    torchState: str  # of Packages.torchState
    packages: tuple[str, ...]  # requirement strings
    hasExtension: bool
    hasGpu: bool
    torchRequirement: str = TORCH_TO_INSTALL
    obstacle: str = ""
    """Why torch cannot be installed here at all, a clause."""

    @property
    def isNeeded(self) -> bool:
        return self.torchState != "ok" or bool(self.packages)

    @property
    def needsTorch(self) -> bool:
        return self.torchState != "ok"

    @property
    def torchMegabytes(self) -> int:
        """What torch alone takes to download."""
        return (_TORCH_GPU if self.hasGpu else _TORCH_CPU)[0]

    @property
    def downloadMegabytes(self) -> int:
        return sum(row[2] for row in self.rows())

    @property
    def diskMegabytes(self) -> int:
        return sum(row[3] for row in self.rows())

    def rows(self) -> list[tuple[str, str, int, int]]:
        """(what, what for, MB to download, MB on disk), torch first."""
        found = []
        if self.needsTorch:
            found.append((_TORCH_NAMES[self.torchState], _WHAT_FOR["torch"],
                          *(_TORCH_GPU if self.hasGpu else _TORCH_CPU)))
        for text in self.packages:
            name = packageName(text)
            found.append((name, _WHAT_FOR.get(name, ""), *_SIZES.get(name, (5, 15))))
        return found

    def summary(self) -> str:
        """One sentence for the panel."""
        if not self.isNeeded:
            return _("Nothing needs to be installed.")
        if self.obstacle and self.needsTorch:
            return _("{reason}: press Set up and choose another Python.").format(reason=self.obstacle)
        torch, count = self.needsTorch, len(self.packages)
        if torch and not count:
            text = _("KAF needs {torch}: about {size} to download.")
        elif torch:
            text = _("KAF needs {torch} and 1 Python package: about {size} to download.") if count == 1 else \
                _("KAF needs {torch} and {count} Python packages: about {size} to download.")
        else:
            text = _("KAF needs 1 Python package: about {size} to download.") if count == 1 else \
                _("KAF needs {count} Python packages: about {size} to download.")
        return text.format(torch=_TORCH_NAMES.get(self.torchState, ""), count=count,
                           size=megabytes(self.downloadMegabytes))


def makePlan(packages: Packages, hasExtension: bool) -> SetupPlan:
    """The plan for this Python."""
    return SetupPlan(
        packages.torchState(), tuple(str(requirement) for requirement in packages.missing()), hasExtension,
        hasNvidiaDriver(), TORCH_TO_INSTALL if hasLongPaths() else f"{TORCH_TO_INSTALL},<2.13",
        torchObstacle(),
    )


def checkDisk(plan: SetupPlan, folder: str | Path) -> None:
    """Whether the plan fits on the disk of a folder.

    Raises:
        ResourceError: it does not.
    """
    needed = plan.diskMegabytes + plan.downloadMegabytes + _SPARE_MEGABYTES
    free = shutil.disk_usage(folder).free / 1e6
    if free < needed:
        reason = _("{free} of disk space is free, and the set-up needs about {needed}")
        raise ResourceError(folder, reason.format(free=megabytes(free), needed=megabytes(needed)),
                            _("Free some disk space and press Set up again."))


def packageName(requirement: str) -> str:
    """``opencv-python-headless`` of ``opencv-python-headless>=4.8``."""
    from packaging.requirements import Requirement

    return Requirement(requirement).name


def megabytes(count: float) -> str:
    return f"{count / 1000:.1f} GB" if count >= 1000 else f"{count:.0f} MB"


def hasNvidiaDriver() -> bool:
    """Whether an NVIDIA driver is there; asks the file system, not torch."""
    return os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi") is not None


def hasLongPaths() -> bool:
    """False on a Windows where paths of over 260 characters fail.

    torch 2.13 has files whose paths get longer than that below a user's AppData folder; pip then fails half way.
    """
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def torchObstacle() -> str:
    """Why this Slicer's Python cannot have a torch that KAF runs on; empty where it can."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return _("PyTorch for Intel Macs ended with version 2.2, and this Slicer runs as an Intel program")
    return ""
