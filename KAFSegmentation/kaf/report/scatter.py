"""A scatter chart of two figures of the same kind, with the line on which both are equal, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kaf.report.chart import axis_of, ticks_of
from kaf.report.parts import number
from kaf.report.templates import macro

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 500.0, 420.0, 46.0, 12.0, 10.0, 44.0


@dataclass(frozen=True)
class Dots:
    """One kind of dots: a name, a colour, and (what it is, across, up) each."""

    name: str
    colour: tuple[int, int, int]
    points: Sequence[tuple[str, float, float]]


def scatter_chart(dots: Sequence[Dots], title: str, remark: str, across: str, up: str, digits: int = 3,
                  most: float | None = 1.0) -> Markup:
    """The chart as a figure; ``across`` and ``up`` name the axes, which have the same ends; ``most`` ends them, None
    fits the data."""
    values = [value for kind in dots for point in kind.points for value in point[1:]]
    low, high, step = axis_of(values, (None, most))
    side_x, side_y = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT

    def x_of(value: float) -> float:
        return _LEFT + side_x * (value - low) / (high - low)

    def y_of(value: float) -> float:
        return _TOP + side_y * (high - value) / (high - low)

    drawn = [{"x": x_of(x), "y": y_of(y), "colour": kind.colour,
              "tip": f"{kind.name}, {name}: {across} {number(x, digits)}, {up} {number(y, digits)}"}
             for kind in dots for name, x, y in kind.points]
    frame = {"left": _LEFT, "right": _WIDTH - _RIGHT, "top": _TOP, "bottom": _HEIGHT - _FOOT, "width": _WIDTH,
             "height": _HEIGHT}
    return macro("scatter.html", "scatter", title, remark, frame, ticks_of(low, high, step, x_of),
                 ticks_of(low, high, step, y_of), across, up, drawn, [(kind.name, kind.colour) for kind in dots])
