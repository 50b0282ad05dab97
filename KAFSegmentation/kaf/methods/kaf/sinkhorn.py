"""Optimal transport between two sets of keypoints with a dustbin on each side, and its exact gradient.

Scores with a dustbin row and column are scaled to P = exp(S + u + v) with given row and column sums.  The iteration
runs without a graph; the gradient comes from the conditions that hold at its end:  with G the gradient with respect to
log P, (lambda, mu) solves

    [diag(a)  P      ] [lambda]   [sum_j G_ij]
    [P^T      diag(b)] [mu    ] = [sum_i G_ij]

and the gradient with respect to S is G - P * (lambda + mu).  One small linear system replaces a hundred stored steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kaf.network import host_waits
from kaf.runtime.device_choice import in_double

_TOLERANCE = 1e-6
_CHECK_EVERY = 5
_RIDGE = 1e-6


def with_dustbins(scores: Tensor, dustbin: Tensor) -> Tensor:
    """(B, N, M) -> (B, N + 1, M + 1): one more row and column that hold ``dustbin``."""
    batch, rows, columns = scores.shape
    full = dustbin.to(scores.dtype).expand(batch, rows + 1, columns + 1)
    right = torch.cat([scores, full[:, :rows, :1]], 2)
    return torch.cat([right, full[:, :1]], 1)


def marginals(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Row sums (B, N + 1) and column sums (B, M + 1) for masks (B, N) and (B, M) of real keypoints.

    A real keypoint has 1, padding 0, the dustbins have as much as the other side holds.
    """
    a, b = rows.float(), columns.float()
    return torch.cat([a, b.sum(1, keepdim=True)], 1), torch.cat([b, a.sum(1, keepdim=True)], 1)


class _LogTransport(torch.autograd.Function):
    """(B, R, C) scores and sums (B, R), (B, C) -> log P; entries of rows or columns with sum 0 are 0."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, scores: Tensor, a: Tensor, b: Tensor, iterations: int
                ) -> Tensor:
        there = (a > 0)[:, :, None] & (b > 0)[:, None, :]
        held = scores.masked_fill(~there, -torch.inf)
        log_a, log_b = a.log(), b.log()
        u, v = torch.zeros_like(a), torch.zeros_like(b)
        static = host_waits.has_static_shapes(scores)
        done = torch.zeros((), dtype=torch.bool, device=scores.device)
        for step in range(iterations):
            before, last = u, v
            u = (log_a - (held + v[:, None, :]).logsumexp(2)).masked_fill(a == 0, 0)
            v = (log_b - (held + u[:, :, None]).logsumexp(1)).masked_fill(b == 0, 0)
            if static:  # goes on without changing anything
                u, v = torch.where(done, before, u), torch.where(done, last, v)
            if step % _CHECK_EVERY == _CHECK_EVERY - 1:
                converged = (u - before).abs().max() < _TOLERANCE
                if not static and bool(converged):
                    break
                done = done | converged
        log_p = (scores + u[:, :, None] + v[:, None, :]).masked_fill(~there, 0)
        context.save_for_backward(log_p, there)
        return log_p

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *gradients: Tensor
                 ) -> tuple[Tensor, None, None, None]:
        log_p, there = context.saved_tensors  # type: ignore[attr-defined]
        p, g = in_double(log_p.exp() * there), in_double(gradients[0] * there)
        # The sums that P has, which are a and b where the iteration has converged: then the system below is never
        # negative.  A constant may be moved from lambda to mu, which the rank-one term settles; where the plan falls
        # into parts each has such a constant, which the ridge settles.
        a, b = p.sum(2), p.sum(1)
        inverse = torch.where(a > 0, 1 / a.clamp(min=1e-300), 0)
        row, column = g.sum(2), g.sum(1)
        real = (b > 0).double()
        diagonal = (1 + _RIDGE) * torch.diag_embed(torch.where(b > 0, b, 1))
        system = diagonal - p.transpose(1, 2) @ (inverse[:, :, None] * p)
        system = system + real[:, :, None] * real[:, None, :] / real.sum(1).clamp(min=1)[:, None, None]
        # Not linalg.solve: with two threads MKL's LU fails or hangs from about 150 rows on (torch 2.13).
        right = column - (p.transpose(1, 2) @ (inverse * row)[..., None]).squeeze(-1)
        # Not linalg.cholesky: it raises where scores are NaN, and a training step of such a kind is left out instead.
        factor, failed = torch.linalg.cholesky_ex(system)
        mu = torch.cholesky_solve(right[..., None], factor).squeeze(-1).masked_fill((failed != 0)[:, None], torch.nan)
        lam = inverse * (row - (p @ mu[..., None]).squeeze(-1))
        scores = (g - p * (lam[:, :, None] + mu[:, None, :])).to(gradients[0].dtype)
        return scores.to(gradients[0].device), None, None, None


def log_transport(scores: Tensor, rows: Tensor, columns: Tensor, dustbin: Tensor, iterations: int = 100) -> Tensor:
    """log P (B, N + 1, M + 1) for scores (B, N, M) between real keypoints ``rows`` (B, N) and ``columns`` (B, M) bool.

    P has one unit per real keypoint and the rest in the dustbins (last row and column).  fp32 at least.
    """
    a, b = marginals(rows, columns)
    full = with_dustbins(scores, dustbin)
    return _LogTransport.apply(full, a.to(full.dtype), b.to(full.dtype), iterations)
