"""The canonical grid of a slice model, and the exact way back to the grid of the input.

A 2-D model always sees the same picture of the same anatomy, however the file stores it: the array is
(slice, row, column), slices are stacked along one voxel axis, and the axes run in fixed directions:

=========  ==========  =========  ============
plane      slices to   rows to    columns to
=========  ==========  =========  ============
axial      superior    posterior  left
coronal    anterior    inferior   left
sagittal   left        inferior   posterior
=========  ==========  =========  ============

Axes are only permuted and flipped, so an oblique volume keeps its own slices.  Pixels are resampled in the
plane, never across slices.  Sizes are matched by extent with half-pixel centres (the outer edges of the first
and last pixel stay where they are), so nothing shifts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from kaf.runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

# Unit vectors in RAS to which (slices, rows, columns) run.
_PLANES = {
    "axial": ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
    "sagittal": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
}
_ANATOMICAL = {"sagittal": 0, "coronal": 1, "axial": 2}  # the RAS axis along which slices are stacked
_CHUNK_BYTES = 16 * 1024 * 1024
_MOST_GROWTH, _MANY_PIXELS = 64, 1 << 27  # pixels per voxel, unless they are few: half a GB
_FEW = 8  # a side of so many pixels that becomes one pixel is lost
_TIE = 0.01  # spacings within 1 % of the largest count as equally large


@dataclass(frozen=True, eq=False)
class Grid:
    """Where each canonical pixel comes from.  Made by :func:`canonical_grid`.

    Attributes:
        shape: the input's array shape (k, j, i).
        affine: 4 x 4, input voxel index (i, j, k, 1) to RAS mm.
        plane: "axial", "coronal" or "sagittal", the anatomical plane nearest to the slices.
        order: for canonical axis (slice, row, column) the array axis of the input that it comes from.
        flipped: for each canonical axis whether it runs against the input's.
        native_size: (rows, columns) in canonical order at the input's resolution.
        size: (rows, columns) of the canonical slices.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    plane: str
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    native_size: tuple[int, int]
    size: tuple[int, int]

    @property
    def n_slices(self) -> int:
        return self.shape[self.order[0]]

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns) of the canonical array."""
        return (self.n_slices, *self.size)

    @property
    def pixels_resampled(self) -> bool:
        """Whether slices change their number of pixels on the way."""
        return self.size != self.native_size

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Canonical (slice, row, column) spacing in mm, as it is after sizes were rounded to pixels."""
        lengths = np.linalg.norm(self.canonical_affine[:3, :3], axis=0)
        return (float(lengths[2]), float(lengths[1]), float(lengths[0]))

    @property
    def canonical_affine(self) -> np.ndarray:
        """4 x 4 float64, canonical index (column, row, slice, 1) to RAS mm."""
        scale, offset = self._steps()
        step = np.eye(4)
        step[:3, :3] = 0.0
        for axis in range(3):  # canonical (slice, row, column) -> input (i, j, k)
            row, column = 2 - self.order[axis], 2 - axis
            step[row, column], step[row, 3] = scale[axis], offset[axis]
        return self.affine @ step

    def refuse_size(self, source: object = "scan") -> None:
        """Before memory is taken: whether slices of these pixels can be meant.

        Raises:
            InputError: far more pixels than the scan has voxels, which would fill the memory, or a single row or
                column of pixels for what was many.
        """
        voxels, pixels = math.prod(self.shape), math.prod(self.canonical_shape)
        rows, columns = self.size
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        measures = " x ".join(f"{mm:g}" for mm in lengths)
        wanted = " x ".join(f"{mm:.3g}" for mm in self.spacing[1:])
        reason = f"its voxels measure {measures} mm: at pixels of {wanted} mm its slices have {rows} x {columns} pixels"
        remedy = "Fix its spacing in Slicer's Volumes module and save it again, or choose another model or --spacing."
        if pixels > max(_MOST_GROWTH * voxels, _MANY_PIXELS):
            raise InputError(source, f"{reason}, which would take {pixels * 4 / 1e9:.3g} GB", remedy)
        if any(size < 2 and native >= _FEW for size, native in zip(self.size, self.native_size, strict=True)):
            raise InputError(source, f"{reason}, and nothing is left to see", remedy)

    def to_canonical(self, voxels: np.ndarray) -> np.ndarray:
        """Image voxels (k, j, i) of any real dtype as float32 (slice, row, column); bilinear in the plane.

        Shrinking averages over the pixels that fall together (antialias).
        """
        view = self.view(self._checked(voxels, self.shape))
        if not self.pixels_resampled:
            return np.array(view, np.float32, order="C")
        result = np.empty(self.canonical_shape, np.float32)
        for part in self._parts():
            result[part] = _resize(_tensor(view[part]), self.size).numpy()
        return result

    def labels_to_canonical(self, labels: np.ndarray, slices: Sequence[int] | None = None) -> np.ndarray:
        """Label map (k, j, i) as uint8 (slice, row, column): the label with the largest share of each pixel.

        A tie goes to the lower value.  Labels of other integer types must lie in 0..255.  ``slices``: only these
        canonical slices.
        """
        view = self.view(self._checked(labels, self.shape))
        if slices is not None:
            view = view[list(slices)]
        if not self.pixels_resampled:
            return np.array(view, np.uint8, order="C")
        result = np.empty((len(view), *self.size), np.uint8)
        for part in self._parts(len(view)):
            piece = np.ascontiguousarray(view[part])
            values = np.unique(piece)
            shares = (_resize(_tensor(piece == value), self.size) for value in values)
            result[part] = values.astype(np.uint8)[_running_argmax(shares)]
        return result

    def labels_to_input(self, labels: np.ndarray) -> np.ndarray:
        """Canonical label map (slice, row, column) as uint8 on the input grid (k, j, i), nearest pixel.

        A voxel that lies just between two pixels takes the lower value, so that nothing moves to one side.
        """
        labels = self._checked(labels, self.canonical_shape).astype(np.uint8, copy=False)
        return self.place(_nearest(_nearest(labels, 1, self.native_size[0]), 2, self.native_size[1]))

    def logits_to_input_slices(self, logits: Tensor) -> np.ndarray:
        """Scores (B, K, row, column) of canonical slices as uint8 labels (B, R, C) at the input's resolution.

        The result is still in canonical order; :meth:`place` puts the whole stack on the input grid.  Each
        class is resized by itself and competes with the best so far: the scores of all classes at full
        resolution never exist at once.  A tie goes to the lower class.
        """
        if tuple(logits.shape[2:]) != self.size:
            raise ValueError(f"logits of {tuple(logits.shape[2:])} pixels for a grid of {self.size}")
        if logits.shape[1] > 256:
            raise ValueError(f"{logits.shape[1]} classes do not fit into uint8")
        scores = (logits[:, k].float() for k in range(logits.shape[1]))
        if self.pixels_resampled:
            scores = (_resize(score, self.native_size) for score in scores)
        return _running_argmax(scores)

    def place(self, stack: np.ndarray) -> np.ndarray:
        """A stack (slice, R, C) in canonical order at the input's resolution, on the input grid (k, j, i)."""
        stack = self._checked(stack, (self.n_slices, *self.native_size))
        result = np.empty(self.shape, stack.dtype)
        self.view(result)[...] = stack
        return result

    def map_to_input(self, values: np.ndarray) -> np.ndarray:
        """A canonical map of numbers (slice, row, column) as float32 on the input grid, bilinear."""
        values = self._checked(values, self.canonical_shape)
        if not self.pixels_resampled:
            return self.place(values.astype(np.float32, copy=False))
        result = np.empty(self.shape, np.float32)
        view = self.view(result)
        for part in self._parts():
            view[part] = _resize(_tensor(values[part]), self.native_size).numpy()
        return result

    def points_to_input(self, points: np.ndarray) -> np.ndarray:
        """Positions (N, 3) in canonical pixels (slice, row, column) to (N, 3) in input voxels (i, j, k)."""
        scale, offset = self._steps()
        moved = np.asarray(points, np.float64).reshape(-1, 3) * scale + offset
        result = np.empty_like(moved)
        for axis in range(3):
            result[:, 2 - self.order[axis]] = moved[:, axis]
        return result

    def points_to_canonical(self, points: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`points_to_input`: (N, 3) as (i, j, k) to (N, 3) as (slice, row, column)."""
        scale, offset = self._steps()
        points = np.asarray(points, np.float64).reshape(-1, 3)
        picked = points[:, [2 - axis for axis in self.order]]
        return (picked - offset) / scale

    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Per canonical axis: input index = scale * canonical index + offset."""
        scale, offset = np.empty(3), np.empty(3)
        natives, sizes = (self.n_slices, *self.native_size), self.canonical_shape
        for axis, (n, m) in enumerate(zip(natives, sizes, strict=True)):
            scale[axis], offset[axis] = n / m, 0.5 * n / m - 0.5
            if self.flipped[axis]:
                scale[axis], offset[axis] = -scale[axis], n - 1 - offset[axis]
        return scale, offset

    def view(self, array: np.ndarray) -> np.ndarray:
        """The array (k, j, i) seen in canonical order, without a copy."""
        return array.transpose(self.order)[tuple(slice(None, None, -1 if f else 1) for f in self.flipped)]

    def _parts(self, count: int | None = None) -> Iterator[slice]:
        """Runs of slices, of so many or all, whose float32 pixels at both resolutions stay within the chunk size."""
        pixels = self.native_size[0] * self.native_size[1] + self.size[0] * self.size[1]
        step = max(1, _CHUNK_BYTES // (4 * pixels))
        count = self.n_slices if count is None else count
        for start in range(0, count, step):
            yield slice(start, min(start + step, count))

    @staticmethod
    def _checked(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if array.shape != shape:
            raise ValueError(f"an array of shape {array.shape} for a grid of shape {shape}")
        return array


def canonical_grid(
    shape: tuple[int, int, int],
    affine: np.ndarray,
    spacing: float | None = None,
    slicing_axis: str = "largest-spacing",
) -> Grid:
    """The canonical grid of a volume.

    Args:
        shape: array shape (k, j, i).
        affine: 4 x 4, voxel index (i, j, k, 1) to RAS mm.
        spacing: wanted in-plane pixel size in mm; None keeps the pixels.  A side of n pixels of s mm becomes
            max(1, round(n s / spacing)) pixels over the same extent.
        slicing_axis: "axial", "coronal", "sagittal", or "largest-spacing": the voxel axis with the largest
            spacing; among axes within 1 % of it the one nearest to superior, then anterior, so that the
            choice does not depend on how the file stores the axes.

    Voxel axes and anatomical directions are paired so that the sum of |cosines| is largest.

    Raises:
        InputError: unknown slicing axis, spacing not positive, or an affine without a usable direction.
    """
    shape = (int(shape[0]), int(shape[1]), int(shape[2]))
    affine = np.array(affine, np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not (lengths > 0).all():
        raise InputError("affine", "is not a finite 4 x 4 matrix of three axes", "Fix its geometry.")
    if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
        raise InputError("spacing", f"{spacing} mm is not a pixel size", "Give a positive number, or none.")
    cosines = affine[:3, :3] / lengths  # rows R, A, S; columns i, j, k
    voxel_axis = _pair(cosines)
    plane = _plane(slicing_axis, lengths[list(voxel_axis)])
    order, flipped = [], []
    for direction in _PLANES[plane]:
        anatomical = int(np.argmax(np.abs(direction)))
        axis = voxel_axis[anatomical]
        order.append(2 - axis)
        flipped.append(bool(cosines[anatomical, axis] * direction[anatomical] < 0))
    native = (shape[order[1]], shape[order[2]])
    size = native
    if spacing is not None:
        size = (_resized(native[0], lengths[2 - order[1]], spacing),
                _resized(native[1], lengths[2 - order[2]], spacing))
    return Grid(shape, affine, plane, (order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]),
                native, size)


def anatomical_axes(affine: np.ndarray) -> tuple[int, int, int]:
    """For R, A, S the voxel axis (0 = i) that runs along it, of a 4 x 4 affine to RAS mm with usable axes."""
    matrix = np.asarray(affine, np.float64)[:3, :3]
    return _pair(matrix / np.linalg.norm(matrix, axis=0))


def _pair(cosines: np.ndarray) -> tuple[int, int, int]:
    """For R, A, S the voxel axis (0 = i) that goes with it: the largest sum of |cosines|.

    The first of those that are equal within 1e-6, so that rounding in the file does not decide at 45 degrees.
    """
    best, chosen = -np.inf, (0, 1, 2)
    for i, j, k in permutations(range(3)):
        total = abs(cosines[0, i]) + abs(cosines[1, j]) + abs(cosines[2, k])
        if total > best + 1e-6:
            best, chosen = total, (i, j, k)
    return chosen


def _plane(slicing_axis: str, lengths: np.ndarray) -> str:
    """The plane of the slices; ``lengths`` are the spacings along R, A, S."""
    if slicing_axis in _PLANES:
        return slicing_axis
    if slicing_axis != "largest-spacing":
        raise InputError(
            "slicing axis", f"'{slicing_axis}' is unknown",
            "Use largest-spacing, axial, coronal or sagittal.",
        )
    large = lengths >= (1 - _TIE) * lengths.max()
    return next(name for name in ("axial", "coronal", "sagittal") if large[_ANATOMICAL[name]])


def _resized(pixels: int, length: float, spacing: float) -> int:
    return max(1, int(np.floor(pixels * length / spacing + 0.5)))


def _tensor(array: np.ndarray) -> Tensor:
    import torch

    array = np.ascontiguousarray(array, np.float32)
    return torch.from_numpy(array if array.flags.writeable else array.copy())  # torch warns of read-only


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W) float to (B, h, w), bilinear with half-pixel centres; averages where it shrinks."""
    from torch.nn.functional import interpolate

    shrinks = size[0] < images.shape[1] or size[1] < images.shape[2]
    resized = interpolate(images[:, None], size, mode="bilinear", align_corners=False, antialias=shrinks)
    return resized[:, 0]


def _nearest(labels: np.ndarray, axis: int, size: int) -> np.ndarray:
    """One axis resized by the nearest pixel, in whole numbers so that ties are seen for certain."""
    n = labels.shape[axis]
    if n == size:
        return labels
    above, rest = np.divmod((2 * np.arange(size) + 1) * n, 2 * size)
    below = np.where(rest == 0, above - 1, above)
    result = np.take(labels, above, axis)
    return np.minimum(result, np.take(labels, below, axis)) if (rest == 0).any() else result


def _running_argmax(scores: Any) -> np.ndarray:
    """Which of an iterable of equally shaped tensors is the largest, as uint8 numpy; the first of equals."""
    import torch

    best = winner = None
    for k, score in enumerate(scores):
        if best is None or winner is None:
            best, winner = score, torch.zeros(score.shape, dtype=torch.uint8, device=score.device)
            continue
        winner.masked_fill_(score > best, k)
        best = torch.maximum(best, score)
    assert winner is not None, "at least one class"
    return winner.cpu().numpy()
