"""A kaf command beside Slicer that is waited for by a timer: looking into a folder, scoring, adding a model.

What takes hours and must outlive Slicer is a run (kaf.runs); this is for what takes seconds or minutes.
"""

import queue
import shutil
import tempfile
from pathlib import Path

import qt

from kaf.runtime import child
from kaf.runtime.environment import child_environment
from kaf.runtime.errors import Cancelled, KafError, WorkerError
from kaf.runtime.events import Error, Result, from_json
from kaf.runtime.logs import last_line
from KAFSegmentationLib.backend.Backend import environmentFor

POLL_MILLISECONDS = 50
_EVENTS_PER_TICK = 400  # a child that talks a lot must not hold Slicer


class ShortJob:
    """One command. ``onDone(result, error)`` is called once, with a dict or a KafError, never from ``__init__``.

    Args:
        python: the interpreter that has the packages.
        arguments: of ``kaf``, without ``--events``.
        onEvent: gets every event that is neither a result nor an error.
    """

    def __init__(self, python, arguments, onEvent, onDone):
        self.arguments, self._onEvent, self._onDone = [str(item) for item in arguments], onEvent, onDone
        self._result = self._error = self._child = None
        self._folder = tempfile.mkdtemp(prefix="kaf-")
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)
        try:
            self._child = child.Child([str(python), "-m", "kaf", *self.arguments, "--events"],
                                      child_environment(environmentFor(str(python))),
                                      Path(self._folder) / "log.txt")
        except KafError as error:
            self._error = error
        self._timer.start()

    def cancel(self):
        """Ends the command; ``onDone`` gets Cancelled."""
        self._finish(None, Cancelled(self.arguments[0], "was stopped", "Start it again when you want it."))

    def close(self):
        """Ends the command without a word."""
        self._onDone = lambda result, error: None
        self._finish(None, None)

    def _tick(self):
        for _ in range(_EVENTS_PER_TICK if self._child is not None else 0):
            try:
                line = self._child.lines.get_nowait()
            except queue.Empty:
                return
            if line is None:
                self._child.kill(2.0)
                break
            self._take(line.decode("utf-8", "replace"))
        else:
            if self._child is not None:
                return
        if self._error is None and self._result is None:
            self._error = WorkerError(f"kaf {self.arguments[0]}", "ended without a result", self._lastWords())
        self._finish(self._result, self._error)

    def _take(self, line):
        try:
            event = from_json(line)
        except ValueError:
            return  # a library that chats
        if isinstance(event, Result):
            self._result = event.values
        elif isinstance(event, Error):
            self._error = event.exception("KAF", "See the log for details.")
        else:
            self._onEvent(event)

    def _lastWords(self):
        last = last_line(Path(self._folder) / "log.txt")
        return f'Its last words were "{last}".' if last else "Try again; if it comes back, report it."

    def _finish(self, result, error):
        self._timer.stop()
        if self._child is not None:
            self._child.kill()
            self._child = None
        shutil.rmtree(self._folder, ignore_errors=True)
        done, self._onDone = self._onDone, lambda result, error: None
        done(None if error is not None else result, error)
