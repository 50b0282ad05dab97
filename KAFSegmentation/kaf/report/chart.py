"""A strip chart with boxes, drawn as inline SVG: every case is a dot, so nothing hides behind a mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from kaf.report.parts import hexadecimal, number
from kaf.report.statistics import statistic

_WIDTH, _LEFT, _RIGHT, _ROW, _FOOT = 500.0, 10.0, 10.0, 62.0, 26.0
_RADIUS = 3.0
_LIFT = 14.0  # how far a dot may be moved off its line so that dots do not hide each other


@dataclass(frozen=True)
class Strip:
    """One row of the chart: a name, a colour and (case, value) pairs; undefined values are left out."""

    name: str
    colour: tuple[int, int, int]
    points: Sequence[tuple[str, float]]


def strip_chart(strips: Sequence[Strip], title: str, remark: str, unit: str = "", digits: int = 3,
                limits: tuple[float | None, float | None] = (None, None)) -> str:
    """The chart as a figure.

    Args:
        strips: rows from top to bottom.
        title: what is drawn.
        remark: how to read it.
        unit: of the values, for the tips that appear over dots.
        digits: decimals of numbers in words.
        limits: ends of the axis; None fits the data.

    A box spans the quartiles, the thick line is the median, the thin line runs from the smallest to the
    largest value.
    """
    values = [value for strip in strips for _, value in strip.points if math.isfinite(value)]
    low, high, step = _axis(values, limits)
    height = _ROW * len(strips) + _FOOT

    def across(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)

    parts = [_grid(low, high, step, across, height)]
    parts += [_row(strip, _ROW * i, across, unit, digits) for i, strip in enumerate(strips)]
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b><span>{escape(remark)}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _axis(values: Sequence[float], limits: tuple[float | None, float | None]) -> tuple[float, float, float]:
    """Round ends and the step between ticks: 1, 2 or 5 times a power of ten, four to nine of them."""
    low = min(values, default=0.0) if limits[0] is None else limits[0]
    high = max(values, default=1.0) if limits[1] is None else limits[1]
    if high - low < 1e-6:
        low, high = (low - 0.1, high) if limits[1] is not None else (low, high + 1.0)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9), step


def _grid(low: float, high: float, step: float, across: Callable[[float], float], height: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    parts = []
    for tick in range(round((high - low) / step) + 1):
        value = low + tick * step
        x = across(value)
        anchor = "start" if tick == 0 else "end" if value > high - step / 2 else "middle"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - _FOOT + 4:.1f}"/>'
            f'<text class="soft" x="{x:.1f}" y="{height - 6:.1f}" text-anchor="{anchor}">'
            f"{number(value, digits)}</text>"
        )
    return "".join(parts)


def _row(strip: Strip, top: float, across: Callable[[float], float], unit: str, digits: int) -> str:
    points = [(case, value) for case, value in strip.points if math.isfinite(value)]
    found, colour, middle = statistic(value for _, value in points), hexadecimal(strip.colour), top + 40
    summary = f"median {number(found.median, digits)}{f' {unit}' if unit else ''}, n = {found.n}"
    words = (
        f'<text x="{_LEFT}" y="{top + 16:.0f}" font-weight="600">{escape(_short(strip.name))}</text>'
        f'<text class="soft" x="{_WIDTH - _RIGHT}" y="{top + 16:.0f}" text-anchor="end">{summary}</text>'
    )
    if not points:
        return words
    left, right = across(found.lower), across(found.upper)
    box = (
        f'<line class="whisker" x1="{across(found.smallest):.1f}" x2="{across(found.largest):.1f}" '
        f'y1="{middle}" y2="{middle}"/>'
        f'<rect class="box" x="{left:.1f}" width="{max(1.0, right - left):.1f}" y="{middle - 12}" '
        f'height="24" rx="3" style="fill:{colour}"/>'
    )
    median = across(found.median)
    line = (f'<line class="median" x1="{median:.1f}" x2="{median:.1f}" y1="{middle - 12}" '
            f'y2="{middle + 12}"/>')
    places = [across(value) for _, value in points]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{middle + y:.1f}" r="{_RADIUS}" style="fill:{colour}">'
        f"<title>{escape(case)}: {number(value, digits)}{f' {unit}' if unit else ''}</title></circle>"
        for (case, value), x, y in zip(points, places, _swarm(places), strict=True))
    return words + box + dots + line


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
