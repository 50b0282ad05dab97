"""The label map of a case, however its labels are stored: one map, one mask per structure, or a structure set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kaf.data.case import Case
from kaf.data.pairing import some
from kaf.imaging.file_names import split_extension
from kaf.imaging.rtstruct import masks_of
from kaf.imaging.volume import Volume, read_labels, read_volume, read_whole_numbers
from kaf.runtime.errors import InputError

_SAME_GRID = 1e-2  # mm, as for a scan and its label map
_NOWHERE = 1 << 62


class Drawn(NamedTuple):
    """The label map of a case (None without one), uint8 with the values that KAF uses, and where nobody has labelled
    anything (bool, the same shape; the label map is 0 there), None where everybody has."""

    labels: Volume | None
    ignored: np.ndarray | None


def read_case_labels(case: Case, scan: Volume | None = None) -> Volume:
    """The label map of :func:`read_drawn`."""
    labels = read_drawn(case, scan).labels
    assert labels is not None
    return labels


def read_drawn(case: Case, scan: Volume | None = None) -> Drawn:
    """What is drawn in a case.

    Args:
        scan: the scan of the case, if it was read already; a structure set is drawn on its voxels.

    Raises:
        InputError: a file cannot be read, is no label map, or the masks of a case differ in their grids; values that
            uint8 does not hold and the case does not rename.
    """
    assert case.label is not None, "an unlabelled case has no label map"
    if case.masks:
        return Drawn(_joined(case, scan), None)
    if not case.values and case.ignore is None:
        return Drawn(read_labels(case.label), None)
    raw = read_whole_numbers(case.label)
    ignored = raw.voxels == case.ignore if case.ignore is not None else None
    return Drawn(Volume(_renamed(case, raw.voxels, ignored), raw.affine, raw.source, raw.warnings), ignored)


def _renamed(case: Case, voxels: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    known = dict(case.values)
    labels = np.zeros(voxels.shape, np.uint8)
    for value in np.unique(voxels).tolist():
        if value == case.ignore:
            continue
        used = known.get(value, value)
        if not 0 <= used <= 255:
            raise InputError(case.label, f"is not a label map KAF can use: it has the value {value:g}",
                             "Give a segmentation with values in 0..255, 0 for background.")
        if used:
            labels[voxels == value] = used
    return labels


def _joined(case: Case, scan: Volume | None) -> Volume:
    """All structures in one map: where two overlap, the smaller one is kept."""
    labels: np.ndarray | None = None
    affine, first = np.eye(4), case.masks[0].path
    sizes = np.full(256, _NOWHERE)
    hidden: dict[str, int] = {}
    names = {mask.value: mask.name for mask in case.masks}
    for value, mask in _masks(case, scan):
        if labels is None:
            labels, affine = np.zeros(mask.voxels.shape, np.uint8), mask.affine
        _refuse_other_grid(mask, labels.shape, affine, first)
        there = mask.voxels > 0
        sizes[value] = np.count_nonzero(there)
        before = labels[there]
        wins = (before == 0) | (sizes[before] > sizes[value])
        for other in np.unique(before[before > 0]).tolist():
            loser, lost = (other, value) if sizes[other] > sizes[value] else (value, other)
            key = f"{names[loser]} under {names[lost]}"
            hidden[key] = hidden.get(key, 0) + int(np.count_nonzero(before == other))
        labels[there] = np.where(wins, value, before)
    assert labels is not None
    warnings: tuple[str, ...] = ()
    if hidden:
        worst = sorted(hidden.items(), key=lambda item: -item[1])
        listed = some(f"{name} ({voxels} voxels)" for name, voxels in worst)
        warnings = (f"structures overlap, and the smaller one was kept: {listed}.",)
    return Volume(labels, affine, str(case.label), warnings)


def _masks(case: Case, scan: Volume | None) -> Iterator[tuple[int, Volume]]:
    """Value and mask of each structure."""
    values = {mask.name: mask.value for mask in case.masks}
    for path in case.label_files:
        names = [mask.name for mask in case.masks if mask.path == path]
        if split_extension(path.name)[1]:
            yield values[names[0]], _mask(path)
            continue
        scan = scan or read_volume(case.image)
        for name, mask in masks_of(path, names, scan):
            yield values[name], Volume(mask, scan.affine, str(path))


def _mask(path: Path) -> Volume:
    """One structure from a file: 0, and any one other value."""
    mask = read_whole_numbers(path)
    values = np.unique(mask.voxels)
    if len(values[values != 0]) > 1:
        raise InputError(path, f"is one of several masks of its scan, each of one structure, but has the values "
                         f"{some(values.tolist())}", "Keep one label map per scan, or one mask per structure with 0 "
                         "and 1 in it.")
    return mask


def _refuse_other_grid(mask: Volume, shape: tuple[int, ...], affine: np.ndarray, first: Path) -> None:
    if mask.voxels.shape != shape:
        sizes = [" x ".join(map(str, size[::-1])) for size in (mask.voxels.shape, shape)]
        raise InputError(mask.source, f"has {sizes[0]} voxels where {first.name}, another mask of the same scan, has "
                         f"{sizes[1]}", "Resample it onto the voxels of the scan, or draw it there anew.")
    if not np.allclose(mask.affine, affine, atol=_SAME_GRID):
        raise InputError(mask.source, f"lies elsewhere in space than {first.name}, another mask of the same scan",
                         "Resample it onto the voxels of the scan, or draw it there anew.")
