"""Validating where not every structure was drawn in every case, and some voxels by nobody."""

from __future__ import annotations

import numpy as np

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import overlap


def drawn_overlap(case: CachedCase, found: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """:func:`kaf.evaluation.dice.overlap` of a case with ``found`` (S, H, W), of what was drawn: pixels that nobody has
    labelled do not count, and structures that were not drawn have no voxel on either side."""
    assert case.labels is not None
    if case.ignored is not None:
        found = np.where(case.ignored, 0, found)
    inside, sizes = overlap(found, np.asarray(case.labels), classes)
    if case.annotated is None:
        return inside, sizes
    known = [value in case.annotated for value in range(1, classes)]
    return np.where(known, inside, 0), np.where(known, sizes, 0)
