"""Items made ahead of their use, in a thread: the next batches are cut while the network learns from this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_UP = 0.1  # seconds after which one who waits looks whether it was closed


class Prefetch(Generic[T]):
    """Iterates over make(first), make(first + 1), ...; a thread makes them in order, ``ahead`` of their use.

    An error of ``make`` comes out of ``next`` in its turn, and of every ``next`` after it.  After ``close`` there
    is nothing more: ``next`` raises StopIteration, also in a thread that waits for an item already.
    """

    def __init__(self, make: Callable[[int], T], first: int = 0, ahead: int = 3):
        self._queue: queue.Queue[T | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(make, first), daemon=True)
        self._thread.start()

    def _run(self, make: Callable[[int], T], step: int) -> None:
        while not self._stop.is_set():
            item: T | BaseException
            try:
                item = make(step)
            except BaseException as error:
                item = error
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=_LOOK_UP)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return
            step += 1

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._stop.is_set():
            if self._error is not None:
                raise self._error
            try:
                item = self._queue.get(timeout=_LOOK_UP)
            except queue.Empty:
                continue
            if not isinstance(item, BaseException):
                return item
            self._error = item
        raise StopIteration

    def close(self) -> None:
        """Make no more.  Waits up to 5 seconds for the item in the making; may be called again."""
        self._stop.set()
        self._thread.join(timeout=5)
