"""Where the label of a voxel was taken from, in the voxels of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kaf.inference.finished_slices import as_stored
from kaf.memory.completion import ScanMemory
from kaf.runtime.errors import InputError


def voxel_origins(memory: ScanMemory, values: Sequence[int], voxel: tuple[int, int, int], most: int = 24
               ) -> list[dict[str, Any]]:
    """Where the label of a voxel (i, j, k) of an unfinished slice was taken from, the strongest first: for each place
    the finished ``slice`` as stored, its ``voxel`` (i, j, k), its ``weight`` 0..1 and its ``label``.  Empty in finished
    slices and where the model alone is shown.

    Args:
        values: the label values of the classes, ascending.

    Raises:
        InputError: the voxel is not in the scan.
    """
    grid = memory.features.prepared.grid
    if any(not 0 <= place < size for place, size in zip(voxel, grid.shape[::-1], strict=True)):
        raise InputError("voxel", f"{voxel} is not in the scan", f"It has {grid.shape[::-1]} voxels along i, j, k.")
    target, row, column = (int(part) for part in np.rint(grid.points_to_canonical(np.array(voxel)))[0])
    if target in memory.drawn.numbers:
        return []
    found = memory.provenance(target, (row, column), most)
    points = grid.points_to_input(np.array([(item.slice, item.row, item.column) for item in found]).reshape(-1, 3))
    last = np.array(grid.shape[::-1]) - 1
    stored = as_stored(grid, [item.slice for item in found])
    return [{"slice": number, "voxel": np.clip(np.rint(point), 0, last).astype(int).tolist(),
             "weight": round(item.weight, 4), "label": int((0, *values)[item.label])}
            for item, point, number in zip(found, points, stored, strict=True)]
