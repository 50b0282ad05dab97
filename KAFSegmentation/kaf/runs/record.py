"""What the files of a job may say; whatever else they hold counts as damaged.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
from typing import Any, TypeGuard

_ASKED = {"verb": str, "queue": str, "python": str, "values": dict, "attempts": list}
_CHILD = {"id": str, "phase": str, "host": str, "kind": str, "error": str, "pid": int, "group": int, "ahead": int}
_LATEST = 3e10  # seconds since 1970: Windows has no calendar beyond the year 3000
_LARGEST = 1 << 62


def asked(values: dict[str, Any]) -> dict[str, Any]:
    """The content of job.json; ValueError names what is wrong with it."""
    for name, kind in _ASKED.items():
        if not isinstance(values.get(name), kind):
            raise ValueError(f"its {name} is no {kind.__name__}")
    if not is_time(values.get("created")):
        raise ValueError("its time is none")
    if not values["attempts"] or not all(_is_attempt(attempt) for attempt in values["attempts"]):
        raise ValueError("its attempts are none")
    if not is_plain(values["values"]):
        raise ValueError("its values hold numbers that are none")
    return values


def child(values: dict[str, Any]) -> dict[str, Any]:
    """The content of child.json; empty where it is damaged, as before the child has written anything."""
    known = all(isinstance(values[name], kind) for name, kind in _CHILD.items() if name in values)
    numbers = (values.get(name, 0) for name in ("pid", "group", "ahead"))
    if not known or not {"id", "pid", "phase"} <= values.keys() or not all(map(_is_count, numbers)):
        return {}
    return values


def is_time(value: object) -> TypeGuard[float]:
    """Whether it can be seconds since 1970."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LATEST


def is_plain(values: dict[str, Any]) -> bool:
    """Whether it can be written as JSON: no NaN, nothing infinite."""
    try:
        json.dumps(values, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _is_attempt(value: object) -> bool:
    return (isinstance(value, dict) and isinstance(value.get("id"), str) and is_time(value.get("started"))
            and _is_count(value.get("offset", 0)))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
