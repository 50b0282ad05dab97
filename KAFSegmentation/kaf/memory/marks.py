"""Voxels of unfinished slices whose label is known: where slices of another direction cross them, and around clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.imaging.grid import Grid, canonical_grid
from kaf.runtime.errors import InputError

# Share of a pixel that has to be known; a line one voxel wide must not vanish where pixels become larger.
_SURE, _SURE_SHRUNK = 0.5, 0.3


@dataclass(frozen=True)
class Click:
    """A place in RAS mm and the value of its label, 0 for none of the structures."""

    ras: tuple[float, float, float]
    value: int


@dataclass(frozen=True)
class Marks:
    """On the grid of the scan: which voxels are known (bool), and the labels with the clicks in them (uint8); ignored:
    clicks that lie in a finished slice."""

    known: np.ndarray
    labels: np.ndarray
    ignored: tuple[Click, ...] = ()


def mark(grid: Grid, drawn: np.ndarray, finished: Sequence[int], others: Mapping[str, Sequence[int]],
         clicks: Sequence[Click], radius: float) -> Marks | None:
    """None where nothing is known beside the finished slices.

    Args:
        finished: canonical slices of the grid.
        others: plane -> finished slices in it, as the scan is stored.
        radius: of the disc around a click, in mm.

    Raises:
        InputError: a slice or a click that is not in the scan.
    """
    if not clicks and not any(others.values()):
        return None
    known, labels = np.zeros(drawn.shape, bool), drawn.copy()
    for plane, slices in others.items():
        axis = canonical_grid(grid.shape, grid.affine, None, plane).order[0]
        wrong = [index for index in slices if not 0 <= index < drawn.shape[axis]]
        if wrong:
            raise InputError(plane, f"slice {wrong[0]} is not in the scan",
                             f"It has the slices 0 to {drawn.shape[axis] - 1} in that direction.")
        np.moveaxis(known, axis, 0)[list(slices)] = True
    ignored = [click for click in clicks if not _disc(grid, known, labels, click, set(finished), radius)]
    return Marks(known, labels, tuple(ignored))


def _disc(grid: Grid, known: np.ndarray, labels: np.ndarray, click: Click, finished: set[int], radius: float) -> bool:
    """Marks the disc in the slice of the click; False if that slice is finished."""
    voxel = np.linalg.inv(grid.affine) @ np.array([*click.ras, 1.0])
    shape = np.array(grid.shape[::-1])
    if not (np.isfinite(voxel).all() and (voxel[:3] > -0.5).all() and (voxel[:3] < shape - 0.5).all()):
        raise InputError("clicks", f"{tuple(round(value, 1) for value in click.ras)} mm is not in the scan",
                         "Give R, A, S in mm.")
    index = np.rint(voxel[:3]).astype(int)[::-1]  # (k, j, i)
    axis = grid.order[0]
    number = int(index[axis])
    if (grid.n_slices - 1 - number if grid.flipped[0] else number) in finished:
        return False
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)[::-1]
    across = [other for other in range(3) if other != axis]
    mine, theirs = (np.moveaxis(array, axis, 0)[number] for array in (known, labels))
    rows, columns = np.ogrid[:mine.shape[0], :mine.shape[1]]
    disc = (((rows - index[across[0]]) * spacing[across[0]]) ** 2
            + ((columns - index[across[1]]) * spacing[across[1]]) ** 2) <= radius ** 2
    disc[index[across[0]], index[across[1]]] = True
    mine[disc] = True
    theirs[disc] = click.value
    return True


def in_canonical(grid: Grid, marks: Marks, finished: Sequence[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Unfinished canonical slice -> label values (H, W) uint8 and known pixels (H, W) bool."""
    view = grid.view(marks.known)
    touched = [int(number) for number in np.flatnonzero(view.any(axis=(1, 2))) if number not in set(finished)]
    if not touched:
        return {}
    known = np.ascontiguousarray(view[touched])
    labels = np.ascontiguousarray(grid.view(marks.labels)[touched])
    values = np.unique(labels[known])
    shares = torch.cat([_resized(known & (labels == value), grid.size) for value in values], 1)
    best = values[shares.argmax(1).numpy()].astype(np.uint8)
    sure = (shares.sum(1) >= (_SURE_SHRUNK if grid.size < grid.native_size else _SURE)).numpy()
    return {number: (best[row], sure[row]) for row, number in enumerate(touched) if sure[row].any()}


def _resized(mask: np.ndarray, size: tuple[int, int]) -> Tensor:
    """(B, R, C) bool -> (B, 1, H, W): the share of each pixel."""
    return F.interpolate(torch.from_numpy(mask)[:, None].float(), size, mode="bilinear", align_corners=False,
                         antialias=True)
