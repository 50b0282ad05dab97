"""Batch normalisation over the joint batch of all DDP processes (synchronised batch norm): one computation for all.

Not torch.nn.SyncBatchNorm, which needs CUDA and knows neither padding nor processes without a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.runtime import ranks


def at_least_float(values: Tensor) -> Tensor:
    """Half precision widened to float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def normalise_rows(norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: Tensor, count: Tensor, weight: Tensor | None = None
                   ) -> Tensor:
    """Normalise (n, C) rows by mean and variance over all processes, and update the running statistics of ``norm``.

    Args:
        count: of rows, or the sum of their weights, over all processes; 2 at least.
        weight: (n, 1), how much each row counts; None for 1.  Rows of weight 0 are normalised like the others.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    mean = ranks.all_sum((rows if weight is None else rows * weight).sum(0)) / count
    centred = rows - mean
    squares = centred.square()
    variance = ranks.all_sum((squares if weight is None else squares * weight).sum(0)) / count
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum or 0.1)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum or 0.1)
    scale = torch.rsqrt(variance + norm.eps)
    return centred * (norm.weight * scale) + norm.bias if norm.affine else centred * scale


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of (n, C) over the rows of all processes, each of which may have another number of them.

    With fewer than two rows there is no variance: the running statistics are used.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return super().forward(values)
        wide = at_least_float(values)
        count = ranks.all_sum(wide.new_tensor(float(len(wide))))
        if float(count) < 2:
            return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if ranks.world() == 1:
            return super().forward(values)
        return normalise_rows(self, wide, count).to(values.dtype)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of maps (B, C, H, W) over all processes; torch's own where there is one process."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or ranks.world() == 1:
            return super().forward(maps)
        rows = at_least_float(maps).movedim(1, -1)
        count = ranks.all_sum(rows.new_tensor(rows[..., 0].numel()))
        even = normalise_rows(self, rows.flatten(0, -2), count)
        return even.view(rows.shape).movedim(-1, 1).to(maps.dtype)


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation over the keypoints of a batch: padding never counts, colliding keypoints count each.

    (B, M, C) tokens with (B, M) weights -> (B, M, C).  With fewer than two keypoints in the batch there is no
    variance: the running statistics are used.
    """

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        assert self.running_mean is not None
        assert self.running_var is not None
        total = weights.sum() if not self.training else ranks.all_sum(weights.sum())
        if not self.training or float(total) < 2:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return tokens * scale + (self.bias - self.running_mean * scale)
        rows, weight = at_least_float(tokens).flatten(0, 1), at_least_float(weights).flatten()[:, None]
        return normalise_rows(self, rows, total, weight).view_as(tokens).to(tokens.dtype)
