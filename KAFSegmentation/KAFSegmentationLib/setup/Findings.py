"""What a probe of a Python has found, and what of it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """Why the probe did not finish, in words; empty when it did."""
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
        """The probe is over; ``failure`` says how it broke off, or is empty."""
        self.detail = detail
        where = f" while importing {self._importing}" if failure and self._importing else ""
        self.ending = failure + where
        if not failure and self._importing:
            self.ending = f"stopped without a word while importing {self._importing}"

    def problem(self, requirements: Sequence) -> str:
        """The first thing that is wrong, a clause; empty when KAF can run there."""
        if not self.python:
            return self.ending or "does not answer as a Python would"
        if not satisfies(self.python, OLDEST_PYTHON):
            return f"is Python {self.python}, and KAF needs 3.10 or newer"
        if self.ending:
            return self.ending
        lacking = self.lacking(requirements)
        if lacking:
            name, more = lacking[0][0], len(lacking) - 1
            return f"cannot use {name}{f' and {more} more' if more else ''} ({self._reason(name)})"
        if "kaf.verbs.segment" in self.errors:
            return f"cannot load KAF ({self.errors['kaf.verbs.segment']})"
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
        return f"its version {self.versions[name]} is too old" if name in self.versions else "it was not found"
