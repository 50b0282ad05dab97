"""Distributed data-parallel training (DDP, torchrun): rank, world size, and sums over all processes with gradients.

Every function does nothing when there is one process.  A loss made of these sums is the loss of the joint batch
on every rank; ``average_gradients`` then gives each rank the gradient of that loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kaf.runtime.errors import ResourceError

T = TypeVar("T")

# One process may look at pictures, or prepare a large scan, while the others wait.
_PATIENCE = timedelta(hours=2)
_store: dist.Store | None = None
_speaks: bool | None = None


@contextmanager
def meeting() -> Iterator[None]:
    """Meet the processes that torchrun announces, so that one of them reports when they fail.

    :func:`start` makes them a group until the end of the block.
    """
    global _store, _speaks
    _store, _speaks = None, None
    announced = int(os.environ.get("WORLD_SIZE", 1)) > 1 and {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    if announced and not dist.is_initialized():
        _store, _, _ = next(dist.rendezvous("env://", timeout=_PATIENCE))
    try:
        yield
    except BaseException:
        reports()  # before the others notice that this one is gone
        raise
    finally:
        stop()


def start(device: torch.device) -> None:
    """Make those who met a group (nccl on GPUs, gloo elsewhere)."""
    if _store is None or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    numbers = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    this, all_ = numbers
    _told(lambda: dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=_store, rank=this,
                                          world_size=all_, timeout=_PATIENCE))


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
    """Whether this process writes and reports for all, also before and after they are a group."""
    return int(os.environ.get("RANK", 0)) == 0


def reports() -> bool:
    """Whether this process tells why all of them end: the first one that failed does, the others only follow."""
    global _speaks
    if _speaks is None:
        first = leads()
        with suppress(RuntimeError):  # the store is gone where the process that held it is
            if _store is not None:
                first = _store.add("kaf/failed", 1) == 1
        _speaks = first
    return _speaks


def _told(call: Callable[[], T]) -> T:
    """The call's result; where another process is gone, an error that says so."""
    try:
        return call()
    except RuntimeError as error:
        raise ResourceError("processes", f"one of them ended, or does not answer ({str(error).splitlines()[0][:120]})",
                            "See what it said, and go on with --resume.") from error


def _reduce(values: Tensor) -> Tensor:
    _told(lambda: dist.all_reduce(values))
    return values


class _Sum(torch.autograd.Function):
    """Sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        return _reduce(values.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context: object, *gradients: Tensor) -> Tensor:
        return _reduce(gradients[0].clone(memory_format=torch.contiguous_format))


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


def mine(items: Sequence[T]) -> Sequence[T]:
    """Every n-th item: those that this rank prepares."""
    return items[rank()::world()]


def wait() -> None:
    """Until all have come as far as this."""
    agree(0.0)


def agree(value: float) -> float:
    """The first rank's number, for all."""
    if world() == 1:
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    box = torch.tensor([value if rank() == 0 else 0.0], dtype=torch.float64, device=device)
    return float(_reduce(box))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over ranks, in one message per number type.

    A parameter that no rank has used stays without a gradient, as in one process: an optimiser passes it over.
    """
    if world() == 1:
        return
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning:
        return
    used = _reduce(torch.tensor([float(p.grad is not None) for p in learning], device=learning[0].device)).tolist()
    groups: dict[torch.dtype, list[Tensor]] = {}
    for parameter, times in zip(learning, used, strict=True):
        if times:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            groups.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in groups.values():
        flat = _reduce(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        flat /= world()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
