"""A strip chart with boxes, drawn as inline SVG: every case is a dot, so nothing hides behind a mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kaf.report.parts import number
from kaf.report.statistics import statistic
from kaf.report.templates import macro

_WIDTH, _LEFT, _RIGHT, _ROW, _FOOT = 500.0, 10.0, 10.0, 62, 26
_RADIUS = 3.0
_LIFT = 14.0  # how far a dot may be moved off its line so that dots do not hide each other


@dataclass(frozen=True)
class Strip:
    """One row of the chart: a name, a colour and (case, value) pairs; undefined values are left out."""

    name: str
    colour: tuple[int, int, int]
    points: Sequence[tuple[str, float]]


def strip_chart(strips: Sequence[Strip], title: str, remark: str, unit: str = "", digits: int = 3,
                limits: tuple[float | None, float | None] = (None, None)) -> Markup:
    """The chart as a figure.

    Args:
        strips: rows from top to bottom.
        title: what is drawn.
        remark: how to read it.
        unit: of the values, for the tips that appear over dots.
        digits: decimals of numbers as text.
        limits: ends of the axis; None fits the data.

    A box spans the quartiles, the thick line is the median, the thin line runs from the smallest to the
    largest value.
    """
    values = [value for strip in strips for _, value in strip.points if math.isfinite(value)]
    low, high, step = axis_of(values, limits)
    height = _ROW * len(strips) + _FOOT

    def across(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)

    return macro("chart.html", "chart", title, remark, _WIDTH, height, ticks_of(low, high, step, across),
                 [_row(strip, _ROW * i, across, unit, digits) for i, strip in enumerate(strips)])


def axis_of(values: Sequence[float], limits: tuple[float | None, float | None]) -> tuple[float, float, float]:
    """Round ends and the step between ticks: 1, 2 or 5 times a power of ten, four to nine of them."""
    low = min(values, default=0.0) if limits[0] is None else limits[0]
    high = max(values, default=1.0) if limits[1] is None else limits[1]
    if high - low < 1e-6:
        low, high = (low - 0.1, high) if limits[1] is not None else (low, high + 1.0)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9), step


def ticks_of(low: float, high: float, step: float, across: Callable[[float], float]) -> list[dict[str, Any]]:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    values = [low + tick * step for tick in range(round((high - low) / step) + 1)]
    anchors = ["start", *("end" if value > high - step / 2 else "middle" for value in values[1:])]
    return [{"x": across(value), "anchor": anchor, "text": number(value, digits)}
            for value, anchor in zip(values, anchors, strict=True)]


def _row(strip: Strip, top: int, across: Callable[[float], float], unit: str, digits: int) -> dict[str, Any]:
    """What the template draws for a strip, in pixels."""
    points = [(case, value) for case, value in strip.points if math.isfinite(value)]
    found, middle = statistic(value for _, value in points), top + 40

    def words(value: float) -> str:
        return f"{number(value, digits)}{f' {unit}' if unit else ''}"

    row: dict[str, Any] = {
        "name": _short(strip.name), "summary": f"median {words(found.median)}, n = {found.n}", "colour": strip.colour,
        "left": _LEFT, "right": _WIDTH - _RIGHT, "top": top, "middle": middle, "radius": _RADIUS, "dots": []}
    if points:
        places = [across(value) for _, value in points]
        lower, upper = across(found.lower), across(found.upper)
        row.update(smallest=across(found.smallest), largest=across(found.largest), median=across(found.median),
                   lower=lower, box_width=max(1.0, upper - lower),
                   dots=[{"x": x, "y": middle + y, "tip": f"{case}: {words(value)}"}
                         for (case, value), x, y in zip(points, places, _swarm(places), strict=True)])
    return row


def _swarm(places: Sequence[float]) -> list[float]:
    """For dots at these x (pixels) a y each, close to 0, so that dots overlap as little as the row allows."""
    lifts = [0.0] + [sign * step for step in (4.5, 9.0, _LIFT - 0.5) for sign in (1, -1)]
    last = dict.fromkeys(lifts, -math.inf)  # lane -> x of its latest dot
    result = [0.0] * len(places)
    for index in sorted(range(len(places)), key=places.__getitem__):
        free = [lift for lift in lifts if places[index] - last[lift] >= 1.5 * _RADIUS]
        lane = free[0] if free else min(lifts, key=last.__getitem__)
        last[lane], result[index] = places[index], lane
    return result


def _short(name: str, limit: int = 40) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
