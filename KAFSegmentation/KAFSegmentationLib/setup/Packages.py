"""What Python packages there are, read from their metadata: nothing is imported, torch least of all."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# What runs, and what is installed afresh: 2.9 works but is slow under mixed precision (pytorch issue 166122).
# Other extensions use the same torch, so one that runs is left as it is.
TORCH_THAT_RUNS = ">=2.6"
TORCH_TO_INSTALL = ">=2.6,!=2.9.*"

# The four builds of OpenCV share one import name and must not be mixed: any of them will do.
_SAME_AS = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
}
IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "scikit-image": "skimage",
    "pillow": "PIL",
    "pydantic-settings": "pydantic_settings",
}


class Packages:
    """The packages of this Python that KAF needs.

    ``distribution`` and ``findSpec`` are importlib's own; tests put others in their place.
    """

    def __init__(
        self,
        requirementsFile: Path,
        distribution: Callable[[str], Any] = importlib.metadata.distribution,
        findSpec: Callable[[str], Any] = importlib.util.find_spec,
    ):
        self.requirementsFile = Path(requirementsFile)
        self._distribution = distribution
        self._findSpec = findSpec

    def requirements(self) -> list[Requirement]:
        """The lines of requirements.txt."""
        from packaging.requirements import Requirement  # with pip in every Slicer

        lines = (
            line.split("#")[0].strip()
            for line in self.requirementsFile.read_text(encoding="utf-8").splitlines()
        )
        return [Requirement(line) for line in lines if line]

    def missing(self) -> list[Requirement]:
        """The requirements that no installed package satisfies."""
        importlib.invalidate_caches()  # pip ran in another process
        return [requirement for requirement in self.requirements() if not self._isSatisfied(requirement)]

    def version(self, name: str) -> str:
        """The installed version; empty without one, or where its metadata cannot be read."""
        try:
            return str(self._distribution(name).metadata["Version"] or "")
        except (importlib.metadata.PackageNotFoundError, KeyError, TypeError, OSError, ValueError):
            return ""

    def torchState(self) -> str:
        """``ok``, ``missing``, ``old``, or ``broken``: what an interrupted installation leaves behind.

        Such a one still imports, as a namespace package without content, and its metadata may lack the
        version, which makes ``PyTorchUtilsLogic.torchInstalled()`` raise TypeError.
        """
        importlib.invalidate_caches()
        spec, version = self._torchSpec(), self.version("torch")
        if spec is None and not self._isRecorded("torch"):
            return "missing"
        if spec is None or not getattr(spec, "origin", None) or not version:
            return "broken"
        return "ok" if satisfies(version, TORCH_THAT_RUNS) else "old"

    def fingerprint(self) -> str:
        """Changes whenever one of the packages does."""
        names = ["torch", *(requirement.name for requirement in self.requirements())]
        return ";".join(f"{name}={self.version(name)}" for name in names)

    def _isSatisfied(self, requirement: Requirement) -> bool:
        return any(
            version and requirement.specifier.contains(version, prereleases=True)
            for version in map(self.version, (requirement.name, *_SAME_AS.get(requirement.name, ())))
        )

    def _isRecorded(self, name: str) -> bool:
        try:
            self._distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return True

    def _torchSpec(self) -> Any:
        try:
            return self._findSpec("torch")
        except (ImportError, ValueError):  # half an import is in sys.modules
            return None


def satisfies(version: str, specifier: str) -> bool:
    """Whether a version, with or without a build tag such as ``+cu126``, lies within ``specifier``."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidVersion:
        return False
