"""Figures over time as lines, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kaf.report.chart import axis_of, ticks_of
from kaf.report.parts import number
from kaf.report.templates import macro

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 500.0, 300.0, 46.0, 12.0, 10.0, 44.0


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

    lines = []
    for curve in curves:
        points = list(zip(places, curve.values, strict=True))
        tips = [(x, y, f"{curve.name}, {along} {number(x, 0)}: {number(y, digits)}") for x, y in points]
        lines.append(Drawn(curve.name, curve.colour, points, tips))
    return draw_lines(lines, (start, end, stride), (low, high, step), title, remark, along, up,
                      [(places[index], word) for index, word in marks])


@dataclass(frozen=True)
class Drawn:
    """A line as it is drawn: what the legend says, its colour, its points (x, y), and dots (x, y, tip) on it."""

    legend: str
    colour: tuple[int, int, int]
    points: Sequence[tuple[float, float]]
    dots: Sequence[tuple[float, float, str]]


def draw_lines(lines: Sequence[Drawn], across: tuple[float, float, float], upward: tuple[float, float, float],
               title: str, remark: str, along: str, up: str = "", marks: Sequence[tuple[float, str]] = ()) -> Markup:
    """The figure of these lines.

    Args:
        across, upward: both ends of an axis, and the distance between ticks; a point above or below lies at its end.
        along, up: what the axes show.
        marks: (x, word) of places to point out.
    """
    (start, end, stride), (low, high, step) = across, upward

    def x_of(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - start) / (end - start)

    def y_of(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _FOOT) * (high - min(max(value, low), high)) / (high - low)

    shown = [{"colour": line.colour, "path": " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line.points),
              "dots": [{"x": x_of(x), "y": y_of(y), "tip": tip} for x, y, tip in line.dots]} for line in lines]
    ticks = [tick for tick in ticks_of(start, end, stride, x_of) if _LEFT - 1 <= tick["x"] <= _WIDTH - _RIGHT + 1]
    frame = {"left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "bottom": _HEIGHT - _FOOT, "width": _WIDTH,
             "height": _HEIGHT}
    return macro("curves.html", "curves", title, remark, frame, ticks, ticks_of(low, high, step, y_of), along, up,
                 shown, [{"x": x_of(x), "word": word} for x, word in marks],
                 [(line.legend, line.colour) for line in lines])
