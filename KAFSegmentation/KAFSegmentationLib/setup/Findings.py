"""What a probe of a Python has found, and what of it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from slicer.i18n import tr as _

from kaf.runtime.errors import ResourceError
from KAFSegmentationLib.setup.Packages import TORCH_THAT_RUNS, satisfies

OLDEST_PYTHON = ">=3.10"
FROM_SLICER = ("numpy", "scipy", "SimpleITK")  # what a Python outside Slicer has to bring itself


@dataclass
class Findings:
    """Package -> version, package -> why it cannot be imported, and how the probe ended."""

    python: str = ""
    executable: str = ""
    machine: str = ""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ending: str = ""
    """Why the probe did not finish, as a message; empty when it did."""
    detail: str = ""
    """What it wrote to stderr."""
    _importing: str = ""

    def take(self, values: object) -> None:
        """One line of the probe."""
        if not isinstance(values, dict):
            return
        if "importing" in values:
            self._importing = values["importing"]
        elif "error" in values:
            self.errors[values["name"]] = values["error"]
        elif "version" in values:
            self.versions[values["name"]] = values["version"]
        elif "done" in values:
            self._importing = ""
        else:
            for key in ("python", "executable", "machine", "device"):
                setattr(self, key, values.get(key, getattr(self, key)))

    def end(self, failure: str, detail: str) -> None:
        """The probe is over; ``failure`` says how it was interrupted, or is empty."""
        self.detail = detail
        self.ending = failure
        if self._importing:
            text = _("{failure} while importing {module}") if failure else \
                _("it stopped without a message while importing {module}")
            self.ending = text.format(failure=failure, module=self._importing)

    def problem(self, requirements: Sequence) -> str:
        """The first thing that is wrong, a clause; empty when KAF can run there."""
        if not self.python:
            return self.ending or _("this is not a working Python")
        if not satisfies(self.python, OLDEST_PYTHON):
            return _("this is Python {version}, and KAF needs 3.10 or newer").format(version=self.python)
        if self.ending:
            return self.ending
        lacking = self.lacking(requirements)
        if lacking:
            name, more = lacking[0][0], len(lacking) - 1
            text = _("{package} cannot be used ({reason})") if not more else \
                _("{package} and 1 other package cannot be used ({reason})") if more == 1 else \
                _("{package} and {count} other packages cannot be used ({reason})")
            return text.format(package=name, count=more, reason=self._reason(name))
        if "kaf.verbs.segment" in self.errors:
            return _("KAF cannot be loaded ({reason})").format(reason=self.errors["kaf.verbs.segment"])
        return ""

    def lacking(self, requirements: Sequence) -> list[tuple[str, str]]:
        """(package, specifier) of what is not there, is too old or cannot be imported; torch first."""
        wanted = [("torch", TORCH_THAT_RUNS), *((name, "") for name in FROM_SLICER)]
        wanted += [(requirement.name, str(requirement.specifier)) for requirement in requirements]
        return [(name, specifier) for name, specifier in wanted if not self._has(name, specifier)]

    def _has(self, name: str, specifier: str) -> bool:
        version = self.versions.get(name)
        # An importable package whose version nobody can tell is given the benefit of the doubt.
        return version is not None and (not version or satisfies(version, specifier))

    def _reason(self, name: str) -> str:
        if name in self.errors:
            return self.errors[name]
        if name in self.versions:
            return _("version {version} is too old").format(version=self.versions[name])
        return _("not installed")


def notLoaded(findings: Findings, requirements: Sequence, problem: str, external: str) -> ResourceError:
    """The error of a Python that cannot run KAF, with what to do about it.

    Args:
        problem: what is wrong, a clause.
        external: the interpreter outside Slicer; empty where it is Slicer's own.
    """
    if not external:
        return ResourceError(
            _("Slicer's Python"), problem,
            _("Restart Slicer and press Set up again, or use another Python; press Diagnose for details."))
    lacking = " ".join(f'"{name}{specifier}"' for name, specifier in findings.lacking(requirements))
    if findings.python and lacking:
        command = f'"{external}" -m pip install {lacking}'
        remedy = _("Run {command}, then press Set up again.").format(command=command)
    else:
        remedy = _("Press Set up again and choose the program python (python.exe on Windows) of an environment "
                   "with KAF's packages.")
    return ResourceError(external, problem, remedy)
