"""torch without its compiler, which KAF does not use: importing it takes 2 s of processor time in every process.

torch imports it (``torch._dynamo``) when an optimiser is used for the first time, to say that its methods are not to be
compiled, and when random numbers are drawn on the meta device.  Where a release of torch does this otherwise, what is
here changes nothing but that time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

_NEVER_COMPILED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def plain_optimiser(kind: type[Optimizer], groups: list[dict[str, Any]], **settings: Any) -> Optimizer:
    """``kind(groups, **settings)``, with methods that are used as they are."""
    for name in _NEVER_COMPILED:
        plain = getattr(getattr(Optimizer, name, None), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain
    optimiser = kind(groups, **settings)
    step = inspect.unwrap(kind.step)

    @torch.no_grad()
    def take_step(closure: Callable[[], float] | None = None) -> Any:
        return step(optimiser, closure)

    optimiser.step = take_step  # type: ignore[method-assign]
    return optimiser


@contextmanager
def outline() -> Iterator[None]:
    """Networks built inside are on the meta device: shapes without memory, and no numbers are drawn."""
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    def __torch_function__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        return args[0] if func in (torch.Tensor.normal_, torch.Tensor.uniform_) else func(*args, **(kwargs or {}))
