"""Pictures for people: slices with outlines, where the model looked, how sure it is.

Drawn with numpy, OpenCV and Pillow, so that neither a display nor matplotlib is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.picture.draw import grey, heated, outlined, ramp, stretched, window
from kaf.picture.sheet import BRIGHT, QUIET, Colour, Page, shortened
from kaf.runtime.errors import InputError
from kaf.runtime.files import atomic_write

_TILE = 380  # pixels of the longer side of a slice in the overview
_GAP, _MARGIN, _HEADING = 14, 30, 50
_NARROWEST = 560
_CONTEXT = 0.5  # of the structures' size, shown on each side of them
_SIDES = {"axial": ("A", "R"), "coronal": ("S", "R"), "sagittal": ("S", "A")}  # at the top and at the left


def encode_png(pixels: np.ndarray) -> bytes:
    """An RGB (H, W, 3) or grey (H, W) uint8 picture as the bytes of a PNG file."""
    pixels = np.ascontiguousarray(pixels)
    _, buffer = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels)
    return buffer.tobytes()


def slice_picture(
    volume: np.ndarray,
    labels: np.ndarray,
    card_labels: Sequence[Label],
    index: int,
    truth: np.ndarray | None = None,
    scale: int = 3,
) -> np.ndarray:
    """One slice with the outlines of its labels.

    Args:
        volume: scan (slice, row, column) with square pixels; grey values are stretched over the whole array.
        labels: label map of the same shape.
        card_labels: which values are drawn, and in which colour.
        index: the slice.
        truth: a reference label map of the same shape, drawn as thin dashed white outlines.
        scale: screen pixels per pixel.

    Returns:
        RGB uint8 (scale * rows, scale * columns, 3).
    """
    pixels = grey(volume[index], (volume.shape[1] * scale, volume.shape[2] * scale), window(volume))
    return outlined(pixels, labels[index], card_labels, None if truth is None else truth[index])


def overview(
    volume: Volume,
    labels: Volume,
    card_labels: Sequence[Label],
    attention: Volume | None = None,
    truth: Volume | None = None,
    uncertainty: Volume | None = None,
    path: str | Path | None = None,
    slices: int = 4,
    title: str = "",
    slicing_axis: str = "largest-spacing",
) -> np.ndarray:
    """A sheet that shows a result at a glance.

    Columns are slices, spread over those with labels.  Rows are the scan with outlines, where the model
    looked, and how unsure it is, as far as the maps are given.  Structures are listed with their volumes.

    Args:
        volume: the scan.
        labels: its label map, on the same grid, as are all others.
        card_labels: values, names and colours.
        attention: where the model looked, 0 or above; its largest values are shown brightest.
        truth: a reference, drawn as dashed white outlines and listed with its volumes.
        uncertainty: 0 where the model is sure; its largest values are shown brightest.
        path: where to write the sheet as PNG; an existing file is replaced.
        slices: how many slices at most.
        title: headline, e.g. the name of the case.
        slicing_axis: as on the model card.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        InputError: a map does not have the shape of the scan.
        OutputError: the picture cannot be written.
    """
    for other in (labels, attention, truth, uncertainty):
        if other is not None and other.shape != volume.shape:
            raise InputError(
                other.source or "map", f"has {other.shape} voxels where the scan has {volume.shape}",
                "Give maps that lie on the grid of the scan.",
            )
    grid = canonical_grid(volume.shape, volume.affine, slicing_axis=slicing_axis)
    scan, drawn = grid.to_canonical(volume.voxels), grid.labels_to_canonical(labels.voxels)
    reference = None if truth is None else grid.labels_to_canonical(truth.voxels)
    values = [label.value for label in card_labels]
    shown = np.isin(drawn, values)
    if reference is not None:
        shown |= np.isin(reference, values)
    view = _view(grid, shown, slices)
    levels = window(view.cut(scan, view.slices))
    plain = [grey(view.cut(scan, k), view.size, levels) for k in view.slices]
    truths = [None if reference is None else view.cut(reference, k) for k in view.slices]
    page = Page(max(_NARROWEST, 2 * _MARGIN + len(plain) * (view.size[1] + _GAP) - _GAP), _MARGIN)
    y = _head(page, volume, labels, truth, card_labels, title)
    y = _row(page, y, "Structures", [
        outlined(pixels, view.cut(drawn, k), card_labels, part)
        for k, pixels, part in zip(view.slices, plain, truths, strict=True)])
    _marks(page, grid, view, y - view.size[0])
    for given, heading, words, table in (
        (attention, "Attention", ("low", "high"), "looked"),
        (uncertainty, "Uncertainty", ("low", "high"), "unsure"),
    ):
        if given is not None:
            seen = stretched(grid.to_canonical(given.voxels))
            page.bar(page.width - _MARGIN, y + _HEADING - 17, ramp(table), *words)
            y = _row(page, y, heading, [
                heated(pixels, view.cut(seen, k), table)
                for k, pixels in zip(view.slices, plain, strict=True)])
    _captions(page, grid, view, y + 18)
    sheet = page.render(y + 18 + _MARGIN)
    if path is not None:
        atomic_write(path, encode_png(sheet))
    return sheet


@dataclass(frozen=True)
class _View:
    """Which slices of the canonical arrays are shown, which part of them, and how large."""

    slices: list[int]
    rows: slice
    columns: slice
    size: tuple[int, int]  # (height, width) in screen pixels
    scale: float  # screen pixels per mm

    def cut(self, array: np.ndarray, index: int | list[int]) -> np.ndarray:
        return array[index][..., self.rows, self.columns]


def _view(grid: Grid, shown: np.ndarray, slices: int) -> _View:
    """Slices spread evenly over those with structures (or over all), cut to these and their context."""
    candidates = np.flatnonzero(shown.any(axis=(1, 2)))
    if candidates.size == 0:
        candidates = np.arange(len(shown))
    count = max(1, min(slices, candidates.size))
    chosen = candidates[((np.arange(count) + 0.5) * candidates.size / count).astype(int)]
    flat, spacing = shown.any(axis=0), grid.spacing[1:]
    parts = [slice(0, n) for n in flat.shape]
    if flat.any():
        places = np.nonzero(flat)
        ends = [(int(place.min()), int(place.max()) + 1) for place in places]
        side = (1 + 2 * _CONTEXT) * max((b - a) * mm for (a, b), mm in zip(ends, spacing, strict=True))
        parts = [_part(end, side / mm, n) for end, mm, n in zip(ends, spacing, flat.shape, strict=True)]
    extent = [(part.stop - part.start) * mm for part, mm in zip(parts, spacing, strict=True)]
    scale = _TILE / max(extent)
    height, width = (max(1, round(scale * mm)) for mm in extent)
    return _View(chosen.tolist(), parts[0], parts[1], (height, width), scale)


def _part(ends: tuple[int, int], length: float, available: int) -> slice:
    """``length`` pixels around the middle of ``ends``, inside the slice."""
    pixels = min(available, max(1, round(length)))
    first = min(max(0, (sum(ends) - pixels) // 2), available - pixels)
    return slice(first, first + pixels)


def _head(
    page: Page, volume: Volume, labels: Volume, truth: Volume | None, card_labels: Sequence[Label], title: str
) -> int:
    """Title, what was scanned, legend with volumes; returns where the rows begin."""
    y, room = _MARGIN, page.width - 2 * _MARGIN
    if title:
        page.text(_MARGIN, y + 12, shortened(title, 26, room), 26)
        y += 38
    size, spacing = (" × ".join(f"{n:.4g}" for n in three) for three in (volume.shape[::-1], volume.spacing))
    page.text(_MARGIN, y + 8, f"{size} voxels of {spacing} mm", 15, QUIET)
    millilitres = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000  # per voxel
    maps = [labels] if truth is None else [labels, truth]
    counts = [np.bincount(given.voxels.ravel(), minlength=256) for given in maps]
    entries: list[tuple[Colour | None, str, str]] = []
    for label in card_labels:
        own, *others = (_amount(count[label.value] * millilitres) for count in counts)
        entries.append((label.colour, label.name, own + "".join(f" (reference {other})" for other in others)))
    if truth is not None:
        entries.append((None, "reference", ""))
    return y + 30 + (page.entries(y + 30, entries) if entries else 0)


def _row(page: Page, y: int, heading: str, tiles: list[np.ndarray]) -> int:
    """A heading and pictures side by side; returns where the next row begins."""
    page.text(_MARGIN, y + _HEADING - 17, heading, 18)
    for column, tile in enumerate(tiles):
        page.picture(_MARGIN + column * (tile.shape[1] + _GAP), y + _HEADING, tile)
    return y + _HEADING + tiles[0].shape[0]


def _marks(page: Page, grid: Grid, view: _View, top: int) -> None:
    """On the first slice: what lies at the top and the left, and a scale bar."""
    height, width = view.size
    above, beside = _SIDES[grid.plane]
    page.text(_MARGIN + width / 2, top + 14, above, 15, BRIGHT, "m", on_picture=True)
    page.text(_MARGIN + 9, top + height / 2, beside, 15, BRIGHT, on_picture=True)
    mm = next((mm for mm in (100, 50, 20, 10, 5, 2, 1) if mm * view.scale < 0.35 * width), 1)
    bar = np.zeros((5, max(3, round(mm * view.scale) + 2), 3), np.uint8)
    bar[1:-1, 1:-1] = BRIGHT
    left = _MARGIN + width - 14 - bar.shape[1]
    page.picture(left, top + height - 17, bar, rounded=False)
    page.text(left + bar.shape[1] / 2, top + height - 29, f"{mm} mm", 14, BRIGHT, "m", on_picture=True)


def _captions(page: Page, grid: Grid, view: _View, middle: int) -> None:
    """Below each column the number of the slice in the file, from 1, and where it lies."""
    for column, k in enumerate(view.slices):
        number = grid.n_slices - k if grid.flipped[0] else k + 1
        left = _MARGIN + column * (view.size[1] + _GAP)
        page.text(left, middle, f"slice {number} of {grid.n_slices}", 15)
        page.text(left + view.size[1], middle, _place(grid, k), 15, QUIET, "r")


def _place(grid: Grid, index: int) -> str:
    """Where the middle of a canonical slice lies along its anatomical axis, e.g. "S 24.0 mm"."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[grid.plane]
    _, rows, columns = grid.canonical_shape
    place = float((grid.canonical_affine @ ((columns - 1) / 2, (rows - 1) / 2, index, 1))[axis])
    return f"{('LR', 'PA', 'IS')[axis][place >= 0]} {abs(place):.1f} mm"


def _amount(millilitres: float) -> str:
    """A volume for reading, e.g. "132.0 mL"; below 1 mL with two decimals, e.g. "0.04 mL"."""
    digits = 1 if millilitres >= 1 or millilitres == 0 else 2
    return f"{millilitres:.{digits}f} mL"
