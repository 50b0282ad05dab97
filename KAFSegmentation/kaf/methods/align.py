"""The same place in two views: both are known maps of one slice, so points and features can be carried over exactly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.data.views import View


def to_source(matrix: Tensor, points: Tensor) -> Tensor:
    """(B, 2, 3) and view points (B, P, 2) (row, column) -> points of the slice."""
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def from_source(matrix: Tensor, points: Tensor) -> Tensor:
    """The inverse of :func:`to_source`."""
    return torch.linalg.solve(matrix[:, :, :2], (points - matrix[:, None, :, 2]).transpose(1, 2)).transpose(1, 2)


def sample(features: Tensor, points: Tensor, stride: float) -> Tensor:
    """(B, C, h, w) map with cells of ``stride`` pixels at (B, P, 2) pixel positions -> (B, P, C), bilinear in fp32."""
    size = points.new_tensor([features.shape[2] * stride, features.shape[3] * stride])
    where = ((points + 0.5) / size * 2 - 1).flip(-1)[:, :, None]
    values = F.grid_sample(features.to(where.dtype), where, align_corners=False, padding_mode="border")
    return values.squeeze(-1).transpose(1, 2)


def inside(view: View, points: Tensor) -> Tensor:
    """(B, P) bool: positions in pixels of the view that lie in it and in the slice."""
    height, width = view.valid.shape[1:]
    row, column = points[..., 0], points[..., 1]
    within = (row >= -0.5) & (row <= height - 0.5) & (column >= -0.5) & (column <= width - 0.5)
    index = row.round().long().clamp(0, height - 1) * width + column.round().long().clamp(0, width - 1)
    return within & view.valid.flatten(1).gather(1, index)


def _box(view: View) -> tuple[Tensor, Tensor]:
    """Lowest and highest (row, column) of the slice that a view reaches, (B, 2) each."""
    height, width = view.valid.shape[1:]
    corners = view.matrix.new_tensor([[0, 0], [0, width - 1], [height - 1, 0], [height - 1, width - 1]])
    reached = to_source(view.matrix, corners.expand(len(view.matrix), -1, -1))
    return reached.amin(1), reached.amax(1)


def overlap_points(a: View, b: View, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """A regular grid of side x side points over the box that both views reach: their places in a and in b
    (B, side^2, 2), and (B, side^2) bool where they lie inside both."""
    low = torch.maximum(_box(a)[0], _box(b)[0])
    high = torch.minimum(_box(a)[1], _box(b)[1])
    steps = torch.linspace(0, 1, side, device=low.device, dtype=low.dtype)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(1, -1, 2)
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
