"""What a line to the worker asks for: taken apart, checked, its volumes mapped."""

from __future__ import annotations

import importlib
import tempfile
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaf.runtime import json_files
from kaf.runtime.errors import InputError, SettingsError
from kaf.runtime.files import check_regular
from kaf.worker.array_transfer import check_affine, map_array

if TYPE_CHECKING:
    from kaf.imaging.volume import Volume

_PARTS: dict[str, type] = {"arrays": dict, "settings": dict, "options": dict, "folder": str}
_SHAPE = 'Send {"id": 1, "verb": "...", "settings": {...}, "arrays": {"image": {"path": "...", "affine": [4x4]}}}.'


@dataclass
class Request:
    """What a verb gets.

    Attributes:
        verb: its name.
        settings: values for its settings object.
        options: what concerns this request but is no setting.
        volumes: name -> volume, its voxels memory-mapped and read-only. ``source`` is the path of the file:
            the same path always means the same voxels, so it may serve as a key of ``cache``.
        folder: where files may be written; removed by the client.
        cache: lives as long as the worker, emptied when memory runs out.
    """

    verb: str
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    folder: Path = Path()
    cache: dict[Any, Any] = field(default_factory=dict)


def parsed(line: bytes) -> dict[str, Any]:
    """The object in a line, with its ``id`` and ``verb``; InputError for any other line."""
    try:
        values = json_files.parse(line)
        if isinstance(values["id"], int) and isinstance(values["verb"], str):
            return values
    except (ValueError, TypeError, KeyError, IndexError):
        pass
    raise InputError("request", f"is not a JSON object with a whole number 'id' and a 'verb': {line[:200]!r}",
                     "Send one such object per line.")


def request_of(values: dict[str, Any], cache: dict[Any, Any]) -> Request:
    """The request with its volumes mapped.

    Raises:
        InputError: a part of it is of another kind, or a volume cannot be received.
    """
    for name, kind in _PARTS.items():
        if not isinstance(values.get(name, kind()), kind):
            raise InputError("request", f"its '{name}' is not {'an object' if kind is dict else 'text'}", _SHAPE)
    if json_files.holds_nul(values):
        raise InputError("request", "holds a NUL character, which no path or name has", _SHAPE)
    volumes = {name: _volume(name, item) for name, item in values.get("arrays", {}).items()}
    folder = Path(values.get("folder", tempfile.gettempdir()))
    return Request(values["verb"], values.get("settings", {}), values.get("options", {}), volumes, folder, cache)


def _volume(name: str, item: Any) -> Volume:
    """A volume that was handed over; its voxels stay in the file."""
    import numpy as np

    from kaf.imaging.volume import Volume

    try:
        check_regular(item["path"])
        voxels, affine = map_array(item["path"]), np.array(item["affine"], dtype=np.float64)
    except (OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise InputError(name, f"cannot be received ({type(error).__name__}: {error})", _SHAPE) from error
    check_affine(name, affine)
    return Volume(voxels, affine, item["path"])


def table_of(name: str) -> dict[str, str]:
    """The verbs of ``--verbs``.

    Raises:
        SettingsError: there is no such module or table, or it is no dictionary of names.
    """
    module, _, variable = name.partition(":")
    if not (module and variable):
        raise _no_table(name, "it has no colon between two names")
    try:
        table = getattr(importlib.import_module(module), variable, None)
    except ModuleNotFoundError as error:
        raise _no_table(name, f"Python finds no module {error.name!r}") from error
    except Exception as error:  # anything, as a module that is imported runs; for who wrote it
        raise _no_table(name, f"importing {module!r} fails: {type(error).__name__}: {error}") from error
    if table is None:
        raise _no_table(name, f"the module {module!r} has nothing called {variable!r}")
    if not isinstance(table, dict):
        raise _no_table(name, f"{variable!r} is not a dictionary")
    wrong = next((f"{key!r}: {value!r}" for key, value in table.items()
                  if not (isinstance(key, str) and isinstance(value, str) and ":" in value)), "")
    if wrong:
        raise _no_table(name, f"it contains {wrong}")
    return table


def _no_table(name: str, why: str) -> SettingsError:
    return SettingsError("--verbs", f"{name!r} does not name a table of verbs ({why})",
                         'Give MODULE:TABLE, where TABLE is a dictionary {"verb": "module:function"}.')
