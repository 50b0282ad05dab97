"""The same place in two views: both are known maps of one scan, so points and features can be carried over exactly.

Functions work in 2-D, with points (row, column) and matrices (B, 2, 3), and in 3-D, with points (slice, row, column)
and matrices (B, 3, 4); n is the number of axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.data.views import View
from kaf.imaging.pixels import nearest_pixel


def to_source(matrix: Tensor, points: Tensor) -> Tensor:
    """(B, n, n + 1) and view points (B, P, n) -> points of the scan; never in half precision."""
    with torch.autocast(points.device.type, enabled=False):
        return points @ matrix[:, :, :-1].transpose(1, 2) + matrix[:, None, :, -1]


def from_source(matrix: Tensor, points: Tensor) -> Tensor:
    """The inverse of :func:`to_source`."""
    return torch.linalg.solve(matrix[:, :, :-1], (points - matrix[:, None, :, -1]).transpose(1, 2)).transpose(1, 2)


def sample(features: Tensor, points: Tensor, stride: float | Sequence[float], first: float | None = None) -> Tensor:
    """(B, C, ...) map with cells of ``stride`` pixels at (B, P, n) pixel positions -> (B, P, C), linear in fp32.

    ``first`` is the pixel in the middle of the first cell: (stride - 1) / 2, the default, where cells are pooled from
    blocks of pixels; 0 where strided convolutions of side 3 made them.
    """
    cells = points.new_tensor(features.shape[2:])
    step = points.new_tensor(stride)
    size = cells * step
    where = ((points + 0.5 if first is None else points - first + step / 2) / size * 2 - 1).flip(-1)
    where = where.reshape(len(where), -1, *[1] * (len(cells) - 1), len(cells))
    values = F.grid_sample(features.to(where.dtype), where, align_corners=False, padding_mode="border")
    return values.flatten(2).transpose(1, 2)


def inside(view: View, points: Tensor) -> Tensor:
    """(B, P) bool: positions in pixels of the view that lie in it and in the scan."""
    size = view.valid.shape[1:]
    within = ((points >= -0.5) & (points <= points.new_tensor(size) - 0.5)).all(-1)
    pixels = nearest_pixel(points, size)
    index = torch.zeros_like(within, dtype=torch.long)
    for axis, length in enumerate(size):
        index = index * length + pixels[..., axis]
    return within & view.valid.flatten(1).gather(1, index)


def _box(view: View) -> tuple[Tensor, Tensor]:
    """Lowest and highest point of the scan that a view reaches, (B, n) each."""
    ends = view.matrix.new_tensor([[0, length - 1] for length in view.valid.shape[1:]])
    corners = torch.cartesian_prod(*ends)
    reached = to_source(view.matrix, corners.expand(len(view.matrix), -1, -1))
    return reached.amin(1), reached.amax(1)


def overlap_share(a: View, b: View) -> Tensor:
    """(B,) volume (area) that the boxes around two views share, of the smaller box."""
    (low_a, high_a), (low_b, high_b) = _box(a), _box(b)
    common = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(1)
    return common / torch.minimum((high_a - low_a).prod(1), (high_b - low_b).prod(1))


def overlap_points(a: View, b: View, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """A regular grid of P = side^n points over the box that both views reach: their places in a and in b (B, P, n),
    and (B, P) bool where they lie inside both."""
    low = torch.maximum(_box(a)[0], _box(b)[0])
    high = torch.minimum(_box(a)[1], _box(b)[1])
    steps = torch.linspace(0, 1, side, device=low.device, dtype=low.dtype)
    grid = torch.cartesian_prod(*[steps] * low.shape[1])[None]
    points = low[:, None] + grid * (high - low)[:, None]
    in_a, in_b = from_source(a.matrix, points), from_source(b.matrix, points)
    there = (high > low).all(1, keepdim=True)
    return in_a, in_b, there & inside(a, in_a) & inside(b, in_b)


def carried(features: Tensor, a: View, b: View, stride: int) -> tuple[Tensor, Tensor]:
    """A map (B, C, h, w) of view a as seen on the cells of that map of view b, and (B, h, w) bool where it is known."""
    height, width = features.shape[2:]
    rows, columns = (torch.arange(n, device=features.device, dtype=b.matrix.dtype) * stride + (stride - 1) / 2
                     for n in (height, width))
    cells = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).reshape(1, -1, 2)
    cells = cells.expand(len(features), -1, -1)
    in_a = from_source(a.matrix, to_source(b.matrix, cells))
    known = inside(a, in_a) & inside(b, cells)
    moved = sample(features, in_a, stride).transpose(1, 2).reshape(features.shape[0], -1, height, width)
    return moved, known.view(-1, height, width)
