"""Occupied cells: the cells of a feature map that hold keypoints; colliding keypoints become one site with a count.

Two keypoints in one cell gather the same feature and the same position, so every layer gives them the same
token: computing each occupied cell once, with its count as a weight, is exact and cheaper at coarse scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kaf.imaging.pixels import nearest_pixel
from kaf.network import host_waits


@dataclass(frozen=True)
class OccupiedCells:
    """The cells of a (H, W) feature map that hold at least one keypoint: the sites of the keypoint tokens.

    For a batch of B slices with N keypoints each and at most M sites.  An example: of the keypoints (0, 0), (3, 2) and
    (9, 9) at stride 4 the first two collide in cell (0, 0), so there are M = 2 sites with counts 2 and 1, and
    ``inverse`` is (0, 0, 1).

    cells: (B, M) int64, row * W + column, 0 where padded; positions: (B, M, 2) float (row, column);
    counts: (B, M) float, keypoints per site, 0 where padded; inverse: (B, N) int64, site of each keypoint;
    real: (B, N) bool, False where a keypoint is padding (its site is any).
    """

    cells: Tensor
    positions: Tensor
    counts: Tensor
    inverse: Tensor
    real: Tensor
    height: int
    width: int

    @property
    def mask(self) -> Tensor:
        """(B, M) bool, False where a site is padding."""
        return self.counts > 0

    def to_keypoints(self, values: Tensor) -> Tensor:
        """(B, M, D) values of sites -> (B, N, D) values of keypoints."""
        return values.gather(1, self.inverse[..., None].expand(-1, -1, values.shape[-1]))


def find_occupied_cells(keypoints: Tensor, mask: Tensor, stride: int, height: int, width: int) -> OccupiedCells:
    """The occupied cells of a feature map whose cells lie ``stride`` pixels apart.

    Args:
        keypoints: (B, N, 2) float, (row, column) in pixels of the image; rounded to the nearest pixel, then
            divided by the stride and truncated (Yang et al., 2023), then kept inside the map.
        mask: (B, N) bool, False for padding.
        stride: 1, 2, 4 or 8.
        height, width: size of the map.
    """
    row, column = (nearest_pixel(keypoints, (stride * height, stride * width)) // stride).unbind(-1)
    nowhere = height * width
    cell = torch.where(mask, row * width + column, nowhere)
    ordered, order = cell.sort(dim=1, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first &= ordered < nowhere
    most = max(1, min(keypoints.shape[1], nowhere))
    count = most if host_waits.has_static_shapes(cell) else max(1, int(first.sum(1).max()))
    # Padding goes to one slot too many, which is cut off.
    rank = torch.where(ordered < nowhere, first.cumsum(1) - 1, count)
    cells = cell.new_zeros(len(cell), count + 1).scatter_(1, rank, ordered)[:, :count]
    counts = keypoints.new_zeros(len(cell), count + 1).scatter_add_(
        1, rank, torch.ones_like(rank, dtype=keypoints.dtype))[:, :count]
    inverse = torch.empty_like(rank).scatter_(1, order, rank).clamp_(max=count - 1)
    cells = torch.where(counts > 0, cells, 0)
    positions = torch.stack([torch.div(cells, width, rounding_mode="floor"), cells % width], -1)
    return OccupiedCells(cells, positions.to(keypoints.dtype), counts, inverse, mask, height, width)
