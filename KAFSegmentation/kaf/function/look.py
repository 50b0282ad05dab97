"""What is odd about a stack of hearts: it does not look like short-axis slices, or breath holds moved it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_SHIFT = 9.0  # mm that the middle of a slice may lie off the line through its neighbours
_ENCLOSED = 0.6  # share of the outline of the cavity that touches myocardium, in the middle of a short-axis stack
_OPEN = 0.35  # of the largest area of the cavity, in the slice at the apex
_FEWEST = 3


def looks_odd(labels: np.ndarray, spacing: tuple[float, float, float], lv: int, myocardium: int | None) -> list[str]:
    """Sentences; none where nothing is odd.

    Args:
        labels: (slice, row, column) at end-diastole, slices along the long axis.
        spacing: (slice, row, column) in mm.
    """
    held = [index for index in range(len(labels)) if (labels[index] == lv).any()]
    if len(held) < _FEWEST:
        return [f"The left ventricle was found in {len(held)} slices only: this may be no short-axis stack (two- and "
                "four-chamber views cannot be used), or it does not cover the heart."]
    found = []
    if myocardium is not None:
        share = np.median([_enclosed(labels[index], lv, myocardium) for index in held])
        if share < _ENCLOSED:
            found.append(f"Myocardium surrounds only {100 * share:.0f} % of the cavity: these may be long-axis views, "
                         "which cannot be used.")
    moved = [index for index in held[1:-1] if _shift(labels, index, lv, spacing) > _SHIFT]
    if moved:
        found.append(f"Slices {', '.join(str(index + 1) for index in moved)} (in canonical order) are shifted against "
                     "their neighbours: breath holds may differ.")
    areas = [int((one == lv).sum()) for one in labels]
    if min(areas[0], areas[-1]) > _OPEN * max(areas):
        found.append("The slices at both ends show a large cavity: the apex may not be covered, and volumes may be too "
                     "small.")
    if held != list(range(held[0], held[-1] + 1)):
        found.append("The left ventricle is missing in a slice between others: volumes may be too small.")
    return found


def _enclosed(labels: np.ndarray, lv: int, myocardium: int) -> float:
    cavity = labels == lv
    rim = ndimage.binary_dilation(cavity) & ~cavity
    return float((labels[rim] == myocardium).mean()) if rim.any() else 1.0


def _shift(labels: np.ndarray, index: int, lv: int, spacing: tuple[float, float, float]) -> float:
    """mm between the middle of a slice's cavity and the middle of those of its two neighbours."""
    middles = [ndimage.center_of_mass(labels[k] == lv) if (labels[k] == lv).any() else None
               for k in (index - 1, index, index + 1)]
    if any(middle is None for middle in middles):
        return 0.0
    before, own, after = (np.array(middle) for middle in middles)
    return float(np.linalg.norm((own - (before + after) / 2) * spacing[1:]))
