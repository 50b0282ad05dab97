"""Several processes that train one network (torchrun): who am I, and sums over all of them with gradients.

Every function does nothing when there is one process.  A loss made of these sums is the loss of the joint batch
on every rank; ``average_gradients`` then gives each rank the gradient of that loss.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def start(device: torch.device) -> None:
    """Join the group that torchrun announces (nccl on GPUs, gloo elsewhere)."""
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 the first."""
    return dist.get_rank() if world() > 1 else 0


def leads() -> bool:
    """Whether this process writes and speaks for all, also before and after they are a group."""
    return int(os.environ.get("RANK", 0)) == 0


class _Sum(torch.autograd.Function):
    """Sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total


def all_sum(values: Tensor) -> Tensor:
    """Elementwise sum over ranks, differentiable."""
    return values if world() == 1 else _Sum.apply(values)


def all_gather(values: Tensor) -> Tensor:
    """(B, ...) of every rank -> (world * B, ...) in order of ranks, differentiable."""
    if world() == 1:
        return values
    parts = [values if r == rank() else torch.zeros_like(values) for r in range(world())]
    return all_sum(torch.cat(parts))


def all_gather_rows(values: Tensor) -> Tensor:
    """(n, ...) with another n on every rank -> all rows in order of ranks, differentiable."""
    if world() == 1:
        return values
    counts = all_gather(torch.tensor([float(len(values))], device=values.device)).long().tolist()
    padded = torch.cat([values, values.new_zeros(max(counts) - len(values), *values.shape[1:])])
    parts = all_gather(padded[None])
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def mean(total: Tensor, count: Tensor) -> Tensor:
    """Sum and count of this rank -> the mean over all ranks; 0 where nothing was counted."""
    return all_sum(total) / all_sum(count.to(total.dtype)).clamp(min=torch.finfo(total.dtype).tiny)


def share(count: int) -> slice:
    """The part of a joint batch of ``count`` items that this rank works on."""
    each = count // world()
    return slice(rank() * each, (rank() + 1) * each)


def agree(value: float) -> float:
    """The first rank's number, for all."""
    if world() == 1:
        return value
    backend = dist.get_backend()
    box = torch.tensor([value], dtype=torch.float64, device="cuda" if backend == "nccl" else "cpu")
    dist.broadcast(box, 0)
    return float(box)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over ranks, in one message per number type."""
    if world() == 1:
        return
    groups: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:  # unused on this rank, maybe used on another
                parameter.grad = torch.zeros_like(parameter)
            groups.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in groups.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= world()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
