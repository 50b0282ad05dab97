"""The environment of a child process: this one's with changes, and a way to this package.

Windows knows ``Path`` and ``PATH`` as one name: Python upper-cases those that it lists, Qt gives them as they were set,
and a child that gets both, or loses ``SystemRoot``, does not start.  Names are therefore compared as the system does.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def child_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The whole environment of a Python child that imports this package: :func:`changed`, and where to find it."""
    values = changed(changes)
    home = Path(__file__).resolve().parents[2]
    # An installed kaf is found anyway, and site-packages must not come before the standard library.
    if home.name not in ("site-packages", "dist-packages"):
        values["PYTHONPATH"] = os.pathsep.join(filter(None, (str(home), values.get("PYTHONPATH"))))
    values["PYTHONSAFEPATH"] = "1"  # a random.py in the current folder is nobody's business
    values["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    return values


def changed(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment with ``changes``: a value to set, or None to remove a name."""
    values = {_name(name): value for name, value in os.environ.items()}
    for name, value in (changes or {}).items():
        if value is None:
            values.pop(_name(name), None)
        else:
            values[_name(name)] = value
    return values


def changes_to(wanted: Mapping[str, str]) -> dict[str, str | None]:
    """What to change in this process's environment so that it is ``wanted``."""
    there, then = changed(), {_name(name): value for name, value in wanted.items()}
    changes: dict[str, str | None] = {name: None for name in there if name not in then}
    changes.update({name: value for name, value in then.items() if there.get(name) != value})
    return changes


def _name(name: str) -> str:
    return name.upper() if sys.platform == "win32" else name
