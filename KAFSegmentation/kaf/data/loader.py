"""Batches made ahead of their use: in a thread, or in worker processes where a GPU would wait for one thread."""

from __future__ import annotations

import itertools
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from kaf.data.prefetch import Prefetch
from kaf.runtime.errors import KafError
from kaf.runtime.threads import free_processors

T = TypeVar("T")

_AHEAD = 2  # batches per worker process
_MOST = 12  # worker processes where nothing was said


def resolved_workers(workers: int | None, device: torch.device, processes: int = 1) -> int:
    """The number of worker processes of a training on the device, 0 for a thread of this process.

    None chooses: none on a CPU, which computes while it would make batches, and one per core that is left of those on a
    machine whose GPUs are shared by so many training ``processes``.  They are forked, so that the cases in memory are
    shared; where that is not possible (Windows, macOS) there are none.
    """
    if sys.platform != "linux":
        return 0
    if workers is not None:
        return workers
    return 0 if device.type == "cpu" else max(1, min(_MOST, free_processors() // processes - 1))


def batches(make: Callable[[int], T], first: int, workers: int = 0, pin: bool = False) -> Prefetch[T] | Workers[T]:
    """Iterates over make(first), make(first + 1), ..., made ahead of their use; ``close`` it in the end.

    workers: processes; 0 for a thread.  pin: items that can be are put where a GPU copies from by itself.
    """
    if workers:
        return Workers(make, first, workers, pin)
    return Prefetch((lambda step: pinned(make(step))) if pin else make, first)


def pinned(item: T) -> T:
    """The item, or the items of a tuple, in pinned memory where they can be."""
    if isinstance(item, tuple):
        return type(item)(map(pinned, item))
    return item.pin_memory() if hasattr(item, "pin_memory") else item


class Workers(Generic[T]):
    """The interface of :class:`Prefetch` over torch's DataLoader: the same items in the same order.

    An error of ``make`` comes out of ``next`` in its turn.
    """

    def __init__(self, make: Callable[[int], T], first: int, workers: int, pin: bool = False):
        self._loader: DataLoader[Any] = DataLoader(
            _Steps(make), batch_size=None, sampler=itertools.count(first), num_workers=workers, prefetch_factor=_AHEAD,
            collate_fn=_as_it_is, multiprocessing_context="fork", worker_init_fn=_begin, pin_memory=pin)
        self._items: Iterator[Any] | None = iter(self._loader)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._items is None:
            raise StopIteration
        item = next(self._items)
        if isinstance(item, _Failed):
            raise item.error
        made: T = item
        return made

    def close(self) -> None:
        """Make no more, and end the processes; may be called again."""
        items: Any = self._items
        self._items = None
        if items is not None:
            items._shutdown_workers()


@dataclass
class _Failed:
    """An error on its way from a worker process."""

    error: Exception


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]):
        self._make = make

    def __getitem__(self, step: int) -> Any:
        try:
            return self._make(step)
        except Exception as error:
            return _Failed(error if type(error) is MemoryError or isinstance(error, KafError) else _in_words(error))


def _in_words(error: Exception) -> RuntimeError:
    """An error that may not survive the way between processes, as one that does."""
    return RuntimeError("".join(traceback.format_exception(error)))


def _as_it_is(item: Any) -> Any:
    return item


def _begin(worker: int) -> None:
    """In a new worker process: Ctrl-C is for the process that it works for, which then ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        import cv2
    except ModuleNotFoundError:
        return
    cv2.setNumThreads(0)
