"""Kinds of values of a model card, as checks: a check takes where a value stands and the value, and raises ValueError.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaf.runtime.plain_text import is_control

Check = Callable[[str, Any], None]


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 as KAF writes it: 64 hexadecimal digits, so never a path or a pattern."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def must(holds: bool, where: str, what: str) -> None:
    """Raises ValueError, where in the card what is wrong, unless it holds."""
    if not holds:
        raise ValueError(f"{where} {what}".strip())


def said(value: Any) -> str:
    """The value as a message shows it: short, and without anything that a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def whole(low: int, high: int) -> Check:
    """A whole number in a range."""
    def check(where: str, value: Any) -> None:
        # A boolean is an int in Python, and 1.0 is no count.
        must(type(value) is int and low <= value <= high, where,
             f"is {said(value)}, not a whole number from {low} to {high}")
    return check


def number(low: float, high: float) -> Check:
    """A finite number in a range."""
    def check(where: str, value: Any) -> None:
        good = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        must(good, where, f"is {said(value)}, not a number from {low:g} to {high:g}")
    return check


def text(most: int, lines: bool = False, least: int = 0) -> Check:
    """Text of a length, without control characters; ``lines``: with line breaks and tabs."""
    def check(where: str, value: Any) -> None:
        must(isinstance(value, str), where, f"is {said(value)}, not text")
        must(least <= len(value) <= most, where, f"has {len(value)} characters, not {least} to {most}")
        # Two kinds of control are text where there are several lines.
        must(not any(is_control(c) and not (lines and c in "\n\t") for c in value), where,
             f"is {said(value)}: it holds control characters")
    return check


def digest(where: str, value: Any) -> None:
    """A SHA-256, or nothing."""
    must(isinstance(value, str) and (not value or is_digest(value)), where,
         f"is {said(value)}, not a SHA-256 in 64 hexadecimal digits")


def one_of(*known: Any) -> Check:
    """One of some values, of the same type."""
    def check(where: str, value: Any) -> None:
        must(any(value == item and type(value) is type(item) for item in known), where,
             f"is {said(value)}, not one of {', '.join(map(str, known))}")
    return check


def maybe(check: Check) -> Check:
    """Nothing, or what passes the check."""
    return lambda where, value: None if value is None else check(where, value)


def list_of(check: Check, least: int, most: int) -> Check:
    """A list of a length whose entries pass the check."""
    wanted = str(least) if least == most else f"{least} to {most}"

    def check_all(where: str, value: Any) -> None:
        must(isinstance(value, (list, tuple)), where, f"is {said(value)}, not a list")
        must(least <= len(value) <= most, where, f"has {len(value)} entries, not {wanted}")
        for index, item in enumerate(value):
            check(f"{where}[{index}]", item)
    return check_all


def object_of(known: Mapping[str, Check], needed: Sequence[str] = ()) -> Check:
    """An object with these keys, each with its check, of which some are needed."""
    def check(where: str, value: Any) -> None:
        must(isinstance(value, dict), where or "it", f"is {said(value)}, not an object")
        for key in needed:
            must(key in value, where or "it", f"has no '{key}'")
        for key, item in value.items():
            must(key in known, where or "it", f"has {said(key)}, which this version of KAF does not know")
            known[key](f"{where}.{key}".lstrip("."), item)
    return check
