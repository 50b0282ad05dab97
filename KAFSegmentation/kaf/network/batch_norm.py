"""Batch normalisation over the joint batch of all DDP processes (synchronised batch norm): one computation for all.

Not torch.nn.SyncBatchNorm, which needs CUDA and knows neither padding nor processes without a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network import host_waits
from kaf.runtime import ranks


def at_least_float(values: Tensor) -> Tensor:
    """Half precision widened to float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def normalise_rows(norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: Tensor, count: Tensor, weight: Tensor | None = None,
                   enough: Tensor | None = None) -> Tensor:
    """Normalise (n, C) rows by mean and variance over all processes, and update the running statistics of ``norm``.

    Args:
        count: of rows, or the sum of their weights, over all processes; 2 at least.
        weight: (n, 1), how much each row counts; None for 1.  Rows of weight 0 are normalised like the others.
        enough: bool scalar, False to leave the running statistics as they are; None for True.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    mean = ranks.all_sum((rows if weight is None else rows * weight).sum(0)) / count
    centred = rows - mean
    squares = centred.square()
    variance = ranks.all_sum((squares if weight is None else squares * weight).sum(0)) / count
    with torch.no_grad():
        share: float | Tensor = norm.momentum or 0.1
        if enough is not None:
            share = enough.to(mean.dtype) * share
        norm.num_batches_tracked.add_(1 if enough is None else enough)
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * count / (count - 1), share)
    scale = torch.rsqrt(variance + norm.eps)
    return centred * (norm.weight * scale) + norm.bias if norm.affine else centred * scale


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of (n, C) over the rows of all processes, each of which may have another number of them.

    With fewer than two rows there is no variance: the running statistics are used.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return super().forward(values)
        if ranks.world() == 1:
            return super().forward(values) if len(values) > 1 else self._by_running_statistics(values)
        wide = at_least_float(values)
        count = ranks.all_sum(wide.new_tensor(float(len(wide))))
        if host_waits.has_static_shapes(values):
            enough = count >= 2
            normalised = normalise_rows(self, wide, count.clamp(min=2), enough=enough).to(values.dtype)
            return torch.where(enough, normalised, self._by_running_statistics(values))
        if float(count) < 2:
            return self._by_running_statistics(values)
        return normalise_rows(self, wide, count).to(values.dtype)

    def _by_running_statistics(self, values: Tensor) -> Tensor:
        # Copies: they are changed in place before the gradient is computed.
        assert self.running_mean is not None
        assert self.running_var is not None
        return F.batch_norm(values, self.running_mean.clone(), self.running_var.clone(), self.weight, self.bias,
                            eps=self.eps)


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
        if not self.training:
            return self._by_running_statistics(tokens)
        total = ranks.all_sum(weights.sum())
        rows, weight = at_least_float(tokens).flatten(0, 1), at_least_float(weights).flatten()[:, None]
        if host_waits.has_static_shapes(tokens):
            enough, by_running = total >= 2, self._by_running_statistics(tokens)
            normalised = normalise_rows(self, rows, total.clamp(min=2), weight, enough).view_as(tokens)
            return torch.where(enough, normalised.to(by_running.dtype), by_running).to(tokens.dtype)
        if float(total) < 2:
            return self._by_running_statistics(tokens)
        return normalise_rows(self, rows, total, weight).view_as(tokens).to(tokens.dtype)

    def _by_running_statistics(self, tokens: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        # A copy: training changes the mean in place before the gradient is computed.
        mean = self.running_mean.clone() if self.training else self.running_mean
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return tokens * scale + (self.bias - mean * scale)
