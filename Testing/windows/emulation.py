"""Switches the stand-in on in this process."""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_import = builtins.__import__


def activate() -> None:
    """From now on ``kaf``, which must not have been imported yet, sees Windows."""
    assert not any(name == "kaf" or name.startswith("kaf.") for name in sys.modules), "kaf was imported before"
    os.environ.setdefault("KAF_WINDOWS", str(os.getpid()))
    os.environ.setdefault("SYSTEMROOT", "C:\\Windows")
    from . import files, modules

    found = modules.stand_ins()

    def windows_import(name: str, its_globals: Any = None, its_locals: Any = None, fromlist: Sequence[str] = (),
                       level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level == 0 and top in modules.MISSING:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        if level or top not in found:
            return _import(name, its_globals, its_locals, fromlist, level)
        if top != "msvcrt":
            real = _import(name, its_globals, its_locals, fromlist, level)  # a part of it, os.path for one
            if "." in name and fromlist:
                return real
        return found[top]

    def windows_open(file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, *more: Any,
                     **others: Any) -> Any:
        if "b" not in mode and encoding is None:
            encoding = "cp1252"
        return open(file, mode, buffering, encoding, *more, **others)

    own = {**vars(builtins), "__import__": windows_import, "open": windows_open}
    sys.meta_path.insert(0, _Finder(own))
    files.watch()


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module with builtins that import and open as on Windows."""

    own: dict[str, Any]

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self.own
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, own: dict[str, Any]):
        self._own = own

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "kaf" and not name.startswith("kaf."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            loader = _Loader(spec.loader.name, spec.loader.path)
            loader.own = self._own
            spec.loader = loader
        return spec
