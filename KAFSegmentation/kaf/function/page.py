"""The report of cardiac function as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from kaf._version import __version__
from kaf.function.result import RESEARCH, CardiacFunction
from kaf.function.volumes import Interval
from kaf.function.wall import NAMES
from kaf.imaging.cine import Cine
from kaf.imaging.grid import Grid, canonical_grid
from kaf.picture.overview import encode_png, slice_picture
from kaf.report import parts as report
from kaf.report.bullseye import bullseye
from kaf.report.curves import Curve, curve_chart
from kaf.report.parts import Cell, Column, number

_SHOWN = (0.2, 0.5, 0.8)  # of the way through the slices with a heart
_MARGIN, _SIDE = 0.35, 420  # around the heart; pixels of a picture
_COLOURS = {"lv": (213, 94, 0), "rv": (0, 114, 178), "myocardium": (127, 127, 127)}
_NAMES = {"lv": "left ventricle", "rv": "right ventricle", "myocardium": "myocardium"}


def function_page(result: CardiacFunction, cine: Cine, title: str) -> str:
    """The page; the cine gives the pictures."""
    facts = [f"{len(result.labels)} phases", f"end-diastole: phase {result.phases.ed}",
             f"end-systole: phase {result.phases.es}", f"model: {result.model}", RESEARCH]
    if result.surface_m2:
        facts.append(f"body surface {result.surface_m2:.2f} m2 (Mosteller)")
    parts = [_tiles(result)]
    if result.warnings:
        parts.append(report.notice("Please check", result.warnings))
    parts += [_figures(result), _charts(result), _pictures(result, cine), _protocol(result)]
    return report.page(title, "Cardiac function", facts, parts, f"Written by KAF {__version__}. {RESEARCH} The numbers "
                       "are in function.json and function.csv, the volumes over time in volumes.csv.")


def _tiles(result: CardiacFunction) -> Markup:
    tiles = []
    for name, one in result.ventricles.items():
        tiles.append((f"{name.upper()} ejection fraction", _with_unit(one.ef, "%"), _range(one.ef, "%")))
        tiles.append((f"{name.upper()} end-diastolic volume", _with_unit(one.edv, "mL"), _range(one.edv, "mL")))
    if "ED" in result.mass_g:
        tiles.append(("LV mass", _with_unit(result.mass_g["ED"], "g"), "at end-diastole, 1.05 g/mL"))
    return report.tiles(tiles)


def _figures(result: CardiacFunction) -> Markup:
    columns = [Column("Figure", numeric=False), Column("Value"), Column("Unit", numeric=False),
               Column("Range", "if all predicted disagreement were one-sided")]
    rows = [[Cell(name), Cell(number(one.value, 1)), Cell(unit), Cell(_range(one, unit))]
            for name, unit, one in result.figures()]
    words = result.calibration or "The quality of these segmentations was not predicted."
    return report.section("Figures", report.table(columns, rows, "Volumes, ejection fraction and mass"), lead=words)


def _charts(result: CardiacFunction) -> Markup:
    places = list(result.times_ms) or [float(index) for index in range(len(result.labels))]
    along = "time in ms" if result.times_ms else "phase"
    curves = [Curve(_NAMES[name], _COLOURS[name], [float(v) for v in curve]) for name, curve in result.curves.items()]
    marks = [(result.phases.ed, "ED"), (result.phases.es, "ES"), *((index, "jump") for index in result.phases.jumps)]
    drawn = [curve_chart(curves, places, "Volume over the cycle", "One dot per phase.", along, "mL", marks)]
    known = [wall.thickness for wall in result.walls.values() if np.isfinite(wall.thickness).any()]
    if known:
        top = math.ceil(max(float(np.nanmax(one)) for one in known))
        for phase, wall in result.walls.items():
            drawn.append(bullseye(wall.thickness.tolist(), NAMES, f"Wall thickness at {phase}, mm",
                                  "Segments of the American Heart Association; basal outside, apical inside, anterior "
                                  "at the top, septum on the left.", "mm", (0.0, float(top))))
    return report.section("Over the cycle, and by segment", report.gallery(*drawn))


def _pictures(result: CardiacFunction, cine: Cine) -> Markup:
    first = result.labels[0]
    grid = canonical_grid(first.shape, first.affine, min(first.spacing[:2]))
    every = [grid.labels_to_canonical(result.labels[index].voxels) for index in (result.phases.ed, result.phases.es)]
    held = np.flatnonzero((every[0] > 0).any(axis=(1, 2)))
    window = _window(every[0] > 0)
    drawn = []
    for phase, index, labels in (("ED", result.phases.ed, every[0]), ("ES", result.phases.es, every[1])):
        image = grid.to_canonical(cine.frames[index].voxels)
        for share in _SHOWN:
            k = int(held[round(share * (len(held) - 1))])
            part = (slice(k, k + 1), *window)
            side = max(1, round(_SIDE / max(image[part].shape)))
            pixels = slice_picture(image[part], labels[part], result.structures, 0, scale=side)
            drawn.append(report.picture(encode_png(pixels), f"{phase}, phase {index}", _place(grid, k),
                                        f"Contours at {phase}, {_place(grid, k)}"))
    legend = report.legend([(one.name, one.colour) for one in result.structures])
    return report.section("Contours", report.gallery(*drawn), legend)


def _place(grid: Grid, index: int) -> str:
    return f"slice {grid.n_slices - index if grid.flipped[0] else index + 1} of {grid.n_slices}"


def _window(held: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around the heart, square where there is room."""
    flat = held.any(axis=0)
    spans = [np.flatnonzero(np.any(flat, axis=axis)) for axis in (1, 0)]
    side = int((1 + _MARGIN) * max(span[-1] - span[0] + 1 for span in spans))
    found = []
    for span, size in zip(spans, flat.shape, strict=True):
        first = min(max(0, (int(span[0]) + int(span[-1]) - side) // 2), max(0, size - side))
        found.append(slice(first, min(size, first + side)))
    return found[0], found[1]


def _protocol(result: CardiacFunction) -> Markup:
    entries: Sequence[tuple[str, str]] = [
        ("Volumes", "Sum of labelled voxels; papillary muscles as the model was taught to draw them."),
        ("Phases", "End-diastole and end-systole: largest and smallest volume of the left ventricle, unless given."),
        ("Range", "The volumes that such a segmentation can stand for if its Dice is the predicted one and all the "
         "disagreement is one-sided (one shape inside the other). Ejection fraction and stroke volume: both phases "
         "combined as independent."),
        ("Mass", "Volume of the myocardium times 1.05 g/mL, at the phase that is named."),
        ("Wall thickness", "Along rays from the middle of the cavity, mean over the segment. The septum lies "
         "between the insertions of the right ventricle; thirds from base to apex; the tip (segment 17) is not "
         "measured."),
    ]
    return report.section("How it was measured", report.definitions(entries))


def _with_unit(one: Interval, unit: str) -> str:
    return f"{number(one.value, 0 if unit != '%' else 1)} {unit}"


def _range(one: Interval, unit: str) -> str:
    if one.low is None or one.high is None:
        return "not calibrated"
    return f"{number(one.low, 0)} to {number(one.high, 0)} {unit}"
