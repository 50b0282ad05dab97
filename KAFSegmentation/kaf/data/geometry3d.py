"""Patches of a volume by exact geometry: along the slices a scale and a shift, in the plane a :class:`Warp`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaf.data.geometry import Warp


@dataclass(frozen=True)
class VolumeWarp:
    """Output (slice, row, column) -> source (slice, row, column), in voxels.

    plane: rows and columns, the same for all slices; slices: how many come out; output slice s is read at
    ``step * s + first`` (a negative step mirrors).
    """

    plane: Warp
    slices: int
    step: float
    first: float

    @property
    def matrix(self) -> np.ndarray:
        """(3, 4) float64, without a displacement of the plane."""
        result = np.zeros((3, 4))
        result[0, 0], result[0, 3] = self.step, self.first
        result[1:, 1:] = self.plane.matrix
        return result

    def source_slices(self) -> np.ndarray:
        """(slices,) float64: where each output slice is read."""
        return self.step * np.arange(self.slices) + self.first

    def image(self, volume: np.ndarray, border: float) -> np.ndarray:
        """(S, H, W) float32 -> (slices, rows, columns) float32, trilinear; ``border`` outside."""
        where = self.source_slices()
        below = np.floor(where).astype(int)
        part = (where - below).astype(np.float32)[:, None, None]
        low, high = max(0, below.min()), min(len(volume) - 1, below.max() + 1)
        if high < low:
            return np.full((self.slices, *self.plane.size), border, np.float32)
        plane, piece = self._cut_out(volume[low:high + 1])
        moved = np.full((high - low + 3, *self.plane.size), border, np.float32)  # one slice of border at either end
        if piece.size:
            moved[1:-1] = plane.image(piece, border)
        first = moved[(below - low + 1).clip(0, len(moved) - 1)]
        second = moved[(below - low + 2).clip(0, len(moved) - 1)]
        return first * (1 - part) + second * part

    def labels(self, volume: np.ndarray) -> np.ndarray:
        """(S, H, W) uint8 -> (slices, rows, columns), nearest; 0 outside."""
        result = np.zeros((self.slices, *self.plane.size), np.uint8)
        for index, source in enumerate(np.floor(self.source_slices() + 0.5).astype(int)):
            if 0 <= source < len(volume):
                result[index] = self.plane.labels(np.ascontiguousarray(volume[source]))
        return result

    def valid(self, shape: tuple[int, int, int]) -> np.ndarray:
        """(slices, rows, columns) bool: output voxels that are read inside the source."""
        where = self.source_slices()
        along = (where >= 0) & (where <= shape[0] - 1)
        return along[:, None, None] & self.plane.valid((shape[1], shape[2]))

    def _cut_out(self, slices: np.ndarray) -> tuple[Warp, np.ndarray]:
        """Only the pixels that are read, and the plane's warp for them: a patch of a large scan is a small part."""
        source = self.plane.source_map().reshape(2, -1)
        size = np.array(slices.shape[1:])
        low = (np.floor(source.min(1)).astype(int) - 1).clip(0, size)
        high = (np.ceil(source.max(1)).astype(int) + 2).clip(0, size)
        matrix = self.plane.matrix.copy()
        matrix[:, 2] -= low
        piece = np.ascontiguousarray(slices[:, low[0]:high[0], low[1]:high[1]])
        return Warp(matrix, self.plane.size, self.plane.displacement), piece


def place_box(rng: np.random.Generator, size: float, length: int, wanted: float | None = None) -> float:
    """Middle (voxels) of a box of ``size`` voxels along an axis of ``length``: at random or near ``wanted``, inside
    the axis where it fits, else a little off its middle."""
    middle, slack = (length - 1) / 2, (length - size) / 2
    if slack <= 0:
        return middle + rng.uniform(-1, 1) * 0.05 * size
    if wanted is None:
        return middle + rng.uniform(-1, 1) * slack
    return float(np.clip(wanted, middle - slack, middle + slack))
