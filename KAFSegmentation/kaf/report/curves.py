"""Figures over time as lines, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kaf.report.chart import axis_of, ticks_of
from kaf.report.parts import number
from kaf.report.templates import macro

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 500.0, 300.0, 46.0, 12.0, 12.0, 44.0


@dataclass(frozen=True)
class Curve:
    """One line: its name, its colour, a figure for each place along the axis."""

    name: str
    colour: tuple[int, int, int]
    values: Sequence[float]


def curve_chart(curves: Sequence[Curve], places: Sequence[float], title: str, remark: str, along: str, up: str,
                marks: Sequence[tuple[int, str]] = (), digits: int = 0) -> Markup:
    """The chart as a figure; ``marks``: (index of a place, word) of places to point out."""
    low, high, step = axis_of([value for curve in curves for value in curve.values], (0.0, None))
    start, end, stride = axis_of(list(places), (min(places), max(places)))
    start, end = min(places), max(max(places), min(places) + 1e-6)

    def x_of(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - start) / (end - start)

    def y_of(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _FOOT) * (high - value) / (high - low)

    lines = [{"colour": curve.colour, "path": " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in
                                                       zip(places, curve.values, strict=True)),
              "dots": [{"x": x_of(x), "y": y_of(y), "tip": f"{curve.name}, {along} {number(x, 0)}: {number(y, digits)}"}
                       for x, y in zip(places, curve.values, strict=True)]} for curve in curves]
    ticks = [tick for tick in ticks_of(start, end, stride, x_of) if _LEFT - 1 <= tick["x"] <= _WIDTH - _RIGHT + 1]
    frame = {"left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "bottom": _HEIGHT - _FOOT, "width": _WIDTH,
             "height": _HEIGHT}
    return macro("curves.html", "curves", title, remark, frame, ticks, ticks_of(low, high, step, y_of), along, up,
                 lines, [{"x": x_of(places[index]), "word": word} for index, word in marks],
                 [(curve.name, curve.colour) for curve in curves])
