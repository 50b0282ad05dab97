"""Pictures of the worst cases of an evaluation: where prediction and reference part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from kaf.evaluation.metrics import NOT_CONTOURED
from kaf.evaluation.pairing import require_same_grid
from kaf.evaluation.results import CaseResult, Evaluation
from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.picture.overview import encode_png, slice_picture
from kaf.report import parts as report
from kaf.report.parts import number
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent

_MARGIN = 0.25  # of the structures' size, shown around them
_SMALLEST = 48  # rows of the slice that are shown at least
_ASPECT = 1.36  # width over height of the figure on a wide screen
_THICK = 2.0  # slices so many times as thick as pixels are wide are not worth reformatting
_SIDE, _LARGEST = 600, 8  # pixels of the picture's longer side, about; largest magnification


def by_dice(evaluation: Evaluation) -> list[CaseResult]:
    """The cases, lowest mean Dice first, those without one last."""
    return sorted(evaluation.cases, key=lambda case: (math.isnan(case.dice), case.dice, case.pair.name))


def worst_cases(evaluation: Evaluation, count: int, on_event: OnEvent) -> list[Markup]:
    """Figures of the ``count`` lowest cases that have a Dice, each on the slice with the most wrong voxels.

    Where there is no scan, or it cannot be used, the outlines lie on black.
    """
    cases = [case for case in by_dice(evaluation)[:count] if math.isfinite(case.dice)]
    return [_figure(case, evaluation, on_event) for case in cases]


def _figure(case: CaseResult, evaluation: Evaluation, on_event: OnEvent) -> Markup:
    prediction, (reference, ignored) = read_labels(case.pair.prediction), case.pair.read_reference()
    if ignored is not None:
        prediction = replace(prediction, voxels=np.where(ignored, 0, prediction.voxels))
    grid = square_grid(reference)
    scored = [m.label for m in case.metrics if m.status != NOT_CONTOURED]
    drawn, truth = (np.where(np.isin(labels, scored), labels, 0).astype(np.uint8)
                    for labels in map(grid.labels_to_canonical, (prediction.voxels, reference.voxels)))
    index = int(np.argmax(np.count_nonzero(drawn != truth, axis=(1, 2))))
    scan = grid.to_canonical(_scan(case, reference, evaluation.settings.series, on_event))
    png = compared_slice(scan[index], drawn[index], truth[index], [s.label for s in evaluation.labels])
    place = f"slice {grid.n_slices - index if grid.flipped[0] else index + 1} of {grid.n_slices}"
    return report.picture(
        png, case.pair.name, f"{_words(case, evaluation)}; {place}",
        f"{case.pair.name}, {place}: outlines of prediction and reference",
    )


def compared_slice(scan: np.ndarray, found: np.ndarray, reference: np.ndarray, labels: Sequence[Label]) -> bytes:
    """A PNG of the part of a slice around its structures: what was found in colour, the reference dashed in white.

    Args:
        scan: (H, W), square pixels.
        found, reference: (H, W) uint8.
        labels: which values are drawn, and in which colours.
    """
    window = _window((found > 0) | (reference > 0))
    part = scan[window]
    scale = max(1, min(_LARGEST, round(_SIDE / max(part.shape))))
    return encode_png(slice_picture(part[None], found[window][None], labels, 0, reference[window][None], scale))


def square_grid(volume: Volume) -> Grid:
    """The canonical grid of a volume with square pixels of the finer in-plane spacing: shapes look right.

    Thick slices are shown as they were acquired, nearly isotropic volumes in axial slices.
    """
    thick = max(volume.spacing) >= _THICK * min(volume.spacing)
    plane = "largest-spacing" if thick else "axial"
    native = canonical_grid(volume.shape, volume.affine, slicing_axis=plane)
    grid = canonical_grid(volume.shape, volume.affine, min(native.spacing[1:]), plane)
    try:
        grid.refuse_size(volume.source)
    except InputError:  # pixels so long and narrow that square ones would fill the memory
        return native
    return grid


def _scan(case: CaseResult, reference: Volume, series: str, on_event: OnEvent) -> np.ndarray:
    if case.pair.image is not None:
        try:
            scan = read_volume(case.pair.image, series=(series or None) if case.pair.image.is_dir() else None)
            require_same_grid(scan, reference)
            return scan.voxels
        except InputError as error:
            on_event(Message(f"No scan in the picture of {case.pair.name}. {error}", "warning"))
    return np.zeros(reference.shape, np.uint8)


def _window(structures: np.ndarray) -> tuple[slice, slice]:
    """The part of a slice (row, column) around its structures, shaped like the figure if there is room."""
    places = np.argwhere(structures)
    if not places.size:
        return slice(None), slice(None)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    height, width = (1 + 2 * _MARGIN) * (high - low)
    height = max(_SMALLEST, height, width / _ASPECT)
    sides = round(height), round(height * _ASPECT)
    parts = []
    for start, stop, size, side in zip(low, high, structures.shape, sides, strict=True):
        first = min(max(0, (int(start) + int(stop) - side) // 2), max(0, size - side))
        parts.append(slice(first, min(size, first + side)))
    return parts[0], parts[1]


def _words(case: CaseResult, evaluation: Evaluation) -> str:
    """Dice of every label while that fits in a caption, else of the lowest."""
    rows = zip(evaluation.labels, case.metrics, strict=True)
    dice = [(summary.label.name, found.dice) for summary, found in rows if math.isfinite(found.dice)]
    if len(dice) > 4:
        dice = sorted(dice, key=lambda entry: entry[1])[:3]
    return f"Dice {number(case.dice)}: " + ", ".join(f"{name} {number(value, 2)}" for name, value in dice)
