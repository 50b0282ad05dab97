"""The registry of self-supervised methods: those in ``kaf.methods`` and those that other packages register.

A method is a package of three modules, and nothing else names it:

* ``info``: ``INFO``, a :class:`MethodInfo`.  Standard library only: Slicer's own process reads it.
* ``settings``: ``SETTINGS``, a settings object that holds the defaults.  No torch.
* ``method``: ``METHOD``, the subclass of ``kaf.methods.base.Method``.
* ``presets/*.json``, if it brings any.

Methods of this package are found by listing ``kaf.methods``; another distribution registers its package under the
entry point group ``kaf.methods``, as ``name = "package"``.  Command-line flags, settings files, presets, the choices of
the panel, pictures and monitors follow.  Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

GROUP = "kaf.methods"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARTS = ("info", "settings", "method")


@dataclass(frozen=True)
class MethodInfo:
    """What is known of a method before anything heavy is imported.

    title: as it is printed; description: what it learns from, in one sentence without a full stop; trains: the
    top-level modules of the network that get a gradient, which is what fine-tuning takes over; place: where it stands
    in lists, smaller first.
    """

    title: str
    description: str
    trains: tuple[str, ...] = ("encoder",)
    place: int = 1000

    @property
    def trained(self) -> str:
        """"trains the encoder and the decoder"."""
        return "trains " + " and ".join(f"the {module}" for module in self.trains)


@dataclass(frozen=True)
class RegisteredMethod:
    """A method by its name in ``--method``, and the package that it is made of."""

    name: str
    package: str
    info: MethodInfo

    def settings(self) -> Any:
        """Its default settings, a ``kaf.settings.base.Settings``; imports pydantic."""
        return importlib.import_module(f"{self.package}.settings").SETTINGS

    def implementation(self) -> Any:
        """Its class, a subclass of ``kaf.methods.base.Method``; imports torch."""
        return importlib.import_module(f"{self.package}.method").METHOD

    def presets(self) -> list[Path]:
        """The files of its own presets."""
        return _presets(self.package)


@dataclass(frozen=True)
class Registry:
    """methods: by name, in the order of lists; broken: name -> why a registered method cannot be used."""

    methods: dict[str, RegisteredMethod]
    broken: dict[str, str]

    def refuse(self, name: str, reason: str) -> None:
        """A method that was found cannot be used after all."""
        del self.methods[name]
        self.broken[name] = reason


@cache
def registry() -> Registry:
    """All methods of this process; looked up once."""
    found, broken = dict[str, RegisteredMethod](), dict[str, str]()
    places = [(name, f"{GROUP}.{name}") for name in _own()]
    places += sorted({(point.name, point.value) for point in entry_points(group=GROUP)})
    for name, package in places:
        if name in found:
            broken[f"{name} of {package}"] = f"its name is taken by {found[name].package}"
        elif not _NAME.fullmatch(name):
            broken[name] = "its name is not in lower case letters, digits and underscores"
        else:
            try:
                found[name] = _loaded(name, package)
            except Exception as error:  # whatever another package raises, the other methods go on working
                broken[name] = f"{package} cannot be loaded ({type(error).__name__}: {error})"
    return Registry(dict(sorted(found.items(), key=lambda item: (item[1].info.place, item[0]))), broken)


def _own() -> list[str]:
    """The methods of this package: its folders."""
    package = importlib.import_module(GROUP)
    return [found.name for found in pkgutil.iter_modules(package.__path__) if found.ispkg]


def _loaded(name: str, package: str) -> RegisteredMethod:
    info = importlib.import_module(f"{package}.info").INFO
    missing = [part for part in _PARTS if importlib.util.find_spec(f"{package}.{part}") is None]
    if missing or not isinstance(info, MethodInfo):
        raise TypeError(f"no module {' and '.join(missing)}" if missing else "INFO is not a MethodInfo")
    return RegisteredMethod(name, package, info)


def _presets(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(file for folder in folders or () for file in Path(folder).glob("presets/*.json"))


def method_names() -> tuple[str, ...]:
    """The names of ``--method``, in the order of lists."""
    return tuple(registry().methods)


def preset_files() -> dict[str, Path]:
    """Name -> file of every preset, those of this package first."""
    files = sorted((Path(__file__).parents[1] / "presets").glob("*.json"))
    files += [file for method in registry().methods.values() for file in method.presets()]
    found: dict[str, Path] = {}
    for file in files:
        found.setdefault(file.stem, file)
    return found
