"""For pytest: ``-p windows.plugin`` runs the tests of that call under the stand-in."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import Any

import pytest

from . import emulation, modules

_HOME = tempfile.TemporaryDirectory(prefix="windows-")
for _name in ("LOCALAPPDATA", "APPDATA"):
    os.environ[_name] = os.path.join(_HOME.name, _name.title())
emulation.activate()
os.environ.update(modules.with_stand_in(os.environ))
_start = subprocess.Popen.__init__


def _start_under_it(self: Any, *arguments: Any, **more: Any) -> None:
    """Also the processes that a test starts with an environment of its own."""
    if more.get("env") is not None:
        more["env"] = modules.with_stand_in(more["env"])
    _start(self, *arguments, **more)


subprocess.Popen.__init__ = _start_under_it  # type: ignore[method-assign]


def pytest_unconfigure(config: pytest.Config) -> None:
    _HOME.cleanup()
