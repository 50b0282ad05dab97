"""What a card or a file beside it may say of predicted quality: each field has its kind and its range.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_LONGEST, _MOST_LINES, _MOST_FEATURES = 1000, 255, 8192
_GROUPS = ("spacing", "intensity", "embedding")
_LINE = {"label": (1, 255), "intercept": (-5, 5), "slope": (0, 20), "cases": (1, 1e9), "patients": (1, 1e9),
         "lowest": (0, 1), "highest": (0, 1)}
_BOUND = {"margin": (0, 1), "level": (0, 1)}


def check_quality(where: str, value: Any) -> None:
    """Whether this can be the calibration of a model; an empty object is none.

    Raises:
        ValueError: where in it what is wrong, a clause.
    """
    _fields(where, value, ("source", "lines", "usual_distance", "training"), ())
    source = value.get("source", "")
    _must(isinstance(source, str) and len(source) <= _LONGEST and source.isprintable(), f"{where}.source",
          f"is no line of at most {_LONGEST} characters")
    lines = value.get("lines", [])
    _must(isinstance(lines, (list, tuple)) and len(lines) <= _MOST_LINES, f"{where}.lines",
          f"is no list of at most {_MOST_LINES} entries")
    for index, line in enumerate(lines):
        _line(f"{where}.lines[{index}]", line)
    labels = [line["label"] for line in lines]
    _must(len(set(labels)) == len(labels), f"{where}.lines", "has two lines for one structure")
    if "usual_distance" in value:
        _number(f"{where}.usual_distance", value["usual_distance"], 1, 1e6)
    if "training" in value:
        _training(f"{where}.training", value["training"])


def _line(where: str, line: Any) -> None:
    _fields(where, line, (*_LINE, *_BOUND), (*_LINE, *_BOUND))
    for name, (low, high) in _LINE.items():
        _number(f"{where}.{name}", line[name], low, high)
    for name in ("label", "cases", "patients"):
        _must(type(line[name]) is int, f"{where}.{name}", "is not a whole number")
    _must((line["margin"] is None) == (line["level"] is None), where, "has a margin without a level, or the reverse")
    for name, (low, high) in _BOUND.items():
        if line[name] is not None:
            _number(f"{where}.{name}", line[name], low, high)


def _training(where: str, value: Any) -> None:
    _fields(where, value, ("scans", "groups"), ("scans", "groups"))
    _number(f"{where}.scans", value["scans"], 0, 1e9)
    _fields(f"{where}.groups", value["groups"], _GROUPS, ())
    for name, group in value["groups"].items():
        inside = f"{where}.groups.{name}"
        _fields(inside, group, ("mean", "sd", "usual"), ("mean", "sd", "usual"))
        _number(f"{inside}.usual", group["usual"], 1, 1e6)
        for key, low in (("mean", -1e9), ("sd", 1e-12)):
            numbers = group[key]
            _must(isinstance(numbers, (list, tuple)) and 0 < len(numbers) <= _MOST_FEATURES, f"{inside}.{key}",
                  f"is no list of 1 to {_MOST_FEATURES} numbers")
            for number in numbers:
                _number(f"{inside}.{key}", number, low, 1e9)
        _must(len(group["mean"]) == len(group["sd"]), inside, "has means and deviations of different lengths")


def _fields(where: str, value: Any, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    _must(isinstance(value, Mapping), where, "is not an object")
    for key in needed:
        _must(key in value, where, f"has no '{key}'")
    for key in value:
        _must(key in known, where, f"has {ascii(key)[:40]}, which this version of KAF does not know")


def _number(where: str, value: Any, low: float, high: float) -> None:
    good = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
    _must(good, where, f"is {ascii(value)[:40]}, not a number from {low:g} to {high:g}")


def _must(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{where} {what}")
