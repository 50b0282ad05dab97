"""Spatial augmentation of training slices: sampled apart from being applied, exact for keypoints.

A :class:`Warp` says for every output pixel p where it is read: source(p) = matrix @ (p, 1) + displacement(p).
Images and labels are resampled along it; keypoints go the other way by inverting it, never as a label image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from kaf.settings.augmentation import AugmentationSettings

_FIXED_POINT_STEPS = 30


@dataclass(frozen=True)
class Warp:
    """Output (row, column) -> source (row, column), both in pixels.

    matrix: (2, 3) float64; displacement: (2, rows, columns) float32 in source pixels, or None; size: output; cubic:
    images are read by cubic interpolation, else bilinear.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    displacement: np.ndarray | None = None
    cubic: bool = False

    def source_map(self) -> np.ndarray:
        """(2, rows, columns) float32: source row and column of every output pixel; computed once."""
        return self._source

    @cached_property
    def _source(self) -> np.ndarray:
        rows, columns = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in self.size), indexing="ij")
        m = self.matrix
        source = np.stack([m[0, 0] * rows + m[0, 1] * columns + m[0, 2],
                           m[1, 0] * rows + m[1, 1] * columns + m[1, 2]])
        if self.displacement is not None:
            source += self.displacement
        return source.astype(np.float32)

    def keypoints(self, positions: np.ndarray) -> np.ndarray:
        """Source positions (N, 2) -> output positions (N, 2), which may lie outside the output.

        With a displacement the inverse is a fixed point, p = matrix^-1 (q - displacement(p)), iterated to
        convergence (the sampled displacements are contractions: see :func:`elastic_field`).
        """
        inverse = np.linalg.inv(self.matrix[:, :2])
        target = np.asarray(positions, np.float64) - self.matrix[:, 2]
        moved = target @ inverse.T
        if self.displacement is None or len(moved) == 0:
            return moved.astype(np.float32)
        for _ in range(_FIXED_POINT_STEPS):
            moved = (target - self._displacement_at(moved)) @ inverse.T
        return moved.astype(np.float32)

    def _displacement_at(self, points: np.ndarray) -> np.ndarray:
        """Bilinear displacement (N, 2) at output positions; the border value beyond the border."""
        assert self.displacement is not None
        row = points[:, 0].clip(0, self.size[0] - 1)
        column = points[:, 1].clip(0, self.size[1] - 1)
        r0, c0 = np.floor(row).astype(int), np.floor(column).astype(int)
        r1, c1 = np.minimum(r0 + 1, self.size[0] - 1), np.minimum(c0 + 1, self.size[1] - 1)
        fr, fc = row - r0, column - c0
        d = self.displacement
        return ((d[:, r0, c0] * (1 - fr) + d[:, r1, c0] * fr) * (1 - fc)
                + (d[:, r0, c1] * (1 - fr) + d[:, r1, c1] * fr) * fc).T

    def image(self, image: np.ndarray, border: float | None = None) -> np.ndarray:
        """(C, H, W) float -> (C, rows, columns); outside the source: ``border``, or the minimum."""
        rows, columns = self.source_map()
        value = float(image.min()) if border is None else border
        how = cv2.INTER_CUBIC if self.cubic else cv2.INTER_LINEAR
        return np.stack([cv2.remap(channel, columns, rows, how,
                                   borderMode=cv2.BORDER_CONSTANT, borderValue=value) for channel in image])

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) uint8 -> (rows, columns), nearest; 0 outside."""
        rows, columns = self.source_map()
        return cv2.remap(labels, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    def valid(self, source_size: tuple[int, int]) -> np.ndarray:
        """(rows, columns) bool: output pixels that are read inside the source slice."""
        rows, columns = self.source_map()
        return ((rows >= 0) & (rows <= source_size[0] - 1) & (columns >= 0) & (columns <= source_size[1] - 1))


def elastic_field(rng: np.random.Generator, size: tuple[int, int], largest: float, cell: float = 32.0) -> np.ndarray:
    """(2, rows, columns) float32: smooth random displacement of at most ``largest`` pixels.

    It changes by at most a quarter of a pixel per pixel, so that the warp stays invertible.
    """
    coarse = tuple(max(2, round(n / cell)) + 1 for n in size)
    field = rng.uniform(-1, 1, (2, *coarse)).astype(np.float32)
    smooth = np.stack([cv2.resize(f, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) for f in field])
    slope = max(float(np.abs(np.diff(smooth, axis=a)).max(initial=0)) for a in (1, 2))
    peak = float(np.abs(smooth).max())
    factor = min(largest * rng.uniform(0.3, 1) / max(peak, 1e-6), 0.25 / max(slope, 1e-6))
    return smooth * np.float32(factor)


def sample_warp(rng: np.random.Generator, source: tuple[int, int], size: tuple[int, int],
                settings: AugmentationSettings | None, centre: tuple[float, float] | None = None) -> Warp:
    """A random warp from a (H, W) slice to a patch; without settings a plain centred crop or pad.

    ``centre`` is the source position that the middle of the patch looks at; by default random where the
    slice is larger than the patch (or a little off the middle where it is smaller).
    """
    middle = np.array([(n - 1) / 2 for n in source])
    linear = np.eye(2)
    displacement = None
    if settings is not None:
        angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
        zoom = np.exp(rng.uniform(-1, 1) * np.log(settings.scale))
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
        signs = [-1.0 if flip and rng.random() < 0.5 else 1.0 for flip in settings.flips]
        linear = linear * np.array(signs)
        if centre is None:
            slack = np.maximum(0.1 * np.array(size), np.array(source) - np.array(size)) / 2
            middle = middle + rng.uniform(-1, 1, 2) * slack
        if rng.random() < settings.elastic:
            displacement = elastic_field(rng, size, settings.elastic_pixels)
    if centre is not None:
        middle = np.asarray(centre, float)
    out_middle = np.array([(n - 1) / 2 for n in size])
    offset = middle - linear @ out_middle
    if settings is None and centre is None:
        offset = np.floor(offset)  # whole pixels, so that a plain crop copies values
    cubic = settings is not None and settings.interpolation == "cubic"
    return Warp(np.concatenate([linear, offset[:, None]], 1), size, displacement, cubic)
