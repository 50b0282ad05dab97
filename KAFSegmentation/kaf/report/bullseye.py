"""The bull's-eye of the 16 segments of the left ventricle: basal outside, apical inside, anterior at the top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kaf.report.parts import NOTHING, number
from kaf.report.templates import macro

_SIDE, _MIDDLE, _HOLE = 300.0, 150.0, 18.0
_RINGS = ((106.0, 140.0), (68.0, 106.0), (_HOLE, 68.0))  # radii of the basal, mid and apical segments
# Counter-clockwise from the top, as the segments are numbered (Cerqueira et al., 2002).
_RING_OF_SIX, _RING_OF_FOUR = 60.0, 90.0
_PALE, _DEEP = (236, 244, 245), (31, 111, 120)


def bullseye(values: Sequence[float], names: Sequence[str], title: str, remark: str, unit: str,
             ends: tuple[float, float], digits: int = 1) -> Markup:
    """The figure; ``values`` of the 16 segments in their order, NaN for those that are not known; ``ends``: of the
    colours."""
    parts = []
    for index, (value, name) in enumerate(zip(values, names, strict=True)):
        ring, place = (index // 6, index % 6) if index < 12 else (2, index - 12)
        width = _RING_OF_SIX if ring < 2 else _RING_OF_FOUR
        parts.append(_segment(_RINGS[ring], 90 + place * width, width, value, name, unit, ends, digits))
    return macro("bullseye.html", "bullseye", title, remark, _SIDE, parts)


def _segment(radii: tuple[float, float], centre: float, width: float, value: float, name: str, unit: str,
             ends: tuple[float, float], digits: int) -> dict[str, Any]:
    first, last = (math.radians(centre + half * width) for half in (-0.5, 0.5))
    (inner, outer), middle = radii, math.radians(centre)

    def at(radius: float, angle: float) -> str:
        return f"{_MIDDLE + radius * math.cos(angle):.1f} {_MIDDLE - radius * math.sin(angle):.1f}"

    path = (f"M {at(outer, first)} A {outer} {outer} 0 0 0 {at(outer, last)} L {at(inner, last)} "
            f"A {inner} {inner} 0 0 1 {at(inner, first)} Z")
    known = math.isfinite(value)
    share = min(1.0, max(0.0, (value - ends[0]) / max(ends[1] - ends[0], 1e-9))) if known else 0.0
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(_PALE, _DEEP, strict=True))
    radius = (inner + outer) / 2
    return {"path": path, "colour": (red, green, blue) if known else (200, 200, 200), "dark": share > 0.5,
            "x": _MIDDLE + radius * math.cos(middle), "y": _MIDDLE - radius * math.sin(middle) + 4,
            "text": number(value, digits) if known else NOTHING,
            "tip": f"{name}: {number(value, digits)} {unit}" if known else f"{name}: not measured"}
