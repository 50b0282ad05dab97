"""Ctrl-C between two changes that belong together must not part them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import nn

_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def whole() -> Iterator[None]:
    """What is done inside is done as a whole: a request to end waits for the end of the block.

    Signals reach the main thread alone; in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    handlers = {number: signal.getsignal(number) for number in _ASKED_TO_END}
    own = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in own:
        signal.signal(number, later)
    try:
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
    if waiting:
        signal.raise_signal(waiting[0])


@contextmanager
def or_not_at_all(network: nn.Module) -> Iterator[None]:
    """When a request to end comes inside, the network's running statistics are again what they were before."""
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    except KeyboardInterrupt:
        with whole(), torch.no_grad():
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)
        raise
