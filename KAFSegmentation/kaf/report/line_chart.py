"""A line chart, drawn as inline SVG: how a number went over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from kaf.report.chart import axis_of
from kaf.report.curves import Drawn, draw_lines
from kaf.report.parts import number

_POINTS = 160  # of a line; more are averaged


@dataclass(frozen=True)
class Line:
    """One line: a name, a colour (red, green, blue, 0..255) and (step, value) pairs; undefined values are left out."""

    name: str
    colour: tuple[int, int, int]
    points: Sequence[tuple[float, float]]


def line_chart(lines: Sequence[Line], title: str, remark: str, along: str = "step", digits: int = 2,
               limits: tuple[float | None, float | None] = (None, None)) -> Markup:
    """The chart as a figure.

    Args:
        lines: one for each number.
        title: what is drawn.
        remark: how to read it.
        along: what the horizontal axis counts.
        digits: decimals of numbers in texts.
        limits: lower and upper end of the vertical axis; None fits the data.
    """
    drawn = [(line, _averaged(line.points)) for line in lines]
    drawn = [(line, points) for line, points in drawn if len(points)]
    every = np.concatenate([points for _, points in drawn]) if drawn else np.zeros((1, 2))
    across = axis_of((), (0.0, float(every[:, 0].max()) or 1.0))
    shown = []
    for line, found in drawn:
        last = number(float(found[-1, 1]), digits)
        dot = (float(found[-1, 0]), float(found[-1, 1]), f"{line.name}: {last}")
        shown.append(Drawn(f"{line.name} {last}", line.colour, [(float(x), float(y)) for x, y in found], [dot]))
    return draw_lines(shown, across, axis_of(every[:, 1].tolist(), limits), title, remark, along)


def _averaged(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """(N, 2), N at most ``_POINTS``: means of as many neighbours as that takes."""
    found = np.array([point for point in points if math.isfinite(point[1])], float).reshape(-1, 2)
    if len(found) <= _POINTS:
        return found
    return np.array([part.mean(0) for part in np.array_split(found, _POINTS)])
