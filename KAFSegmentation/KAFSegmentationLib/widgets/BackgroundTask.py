"""Reads disks in a thread of its own: a folder with many files, or a network drive that is gone, must not block Slicer.
"""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import qt

_POLL_MILLISECONDS = 20
_Value = TypeVar("_Value")


class BackgroundTask:
    """Runs one function at a time; a newer one takes the place of an older one, whose result is dropped."""

    def __init__(self):
        self._results = self._onResult = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)

    @property
    def isRunning(self) -> bool:
        """Whether a result is still to come."""
        return self._results is not None

    def start(self, function: Callable[[], _Value], onResult: Callable[[_Value], None]) -> None:
        """Calls ``function()`` in a thread of its own, which must not touch Qt or the scene, and ``onResult(value)`` in
        this one; an exception of the function is raised here."""
        self._results, self._onResult = queue.SimpleQueue(), onResult
        threading.Thread(target=_run, args=(function, self._results), name="kaf-background", daemon=True).start()
        self._timer.start()

    def close(self) -> None:
        """Drops the result that is still to come."""
        self._timer.stop()
        self._results = self._onResult = None

    def _tick(self):
        try:
            value, error = self._results.get_nowait()
        except queue.Empty:
            return
        onResult = self._onResult
        self.close()
        if error is not None:
            raise error
        onResult(value)


def _run(function, results):
    try:
        results.put((function(), None))
    except BaseException as error:
        results.put((None, error))
