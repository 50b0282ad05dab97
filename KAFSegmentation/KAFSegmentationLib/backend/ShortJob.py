"""A kaf command in a process of its own, polled by a timer: scanning a folder, evaluating, adding a model.

It takes seconds or minutes and ends with Slicer. What takes hours and must outlive Slicer is a run (kaf.runs.start).
"""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from kaf.runtime import child
from kaf.runtime.environment import child_environment
from kaf.runtime.errors import Cancelled, KafError, WorkerError
from kaf.runtime.events import Error, Event, Result, from_json
from kaf.runtime.logs import last_line
from KAFSegmentationLib.backend.Backend import environmentFor

POLL_MILLISECONDS = 50
_EVENTS_PER_TICK = 400  # a process that writes a lot must not block Slicer


class ShortJob:
    """One command. ``onDone(result, error)`` is called once, with a dict or a KafError, never from ``__init__``.

    Args:
        python: the interpreter that has the packages.
        arguments: of ``kaf``, without ``--events``.
        onEvent: gets every event that is neither a result nor an error.
    """

    def __init__(self, python: str, arguments: Sequence[object], onEvent: Callable[[Event], None],
                 onDone: Callable[[dict[str, Any] | None, KafError | None], None]):
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

    def cancel(self) -> None:
        """Ends the command; ``onDone`` gets Cancelled."""
        self._finish(None, Cancelled(self.arguments[0], _("was stopped"), _("Start it again when you need it.")))

    def close(self) -> None:
        """Ends the command and calls nobody."""
        self._onDone = lambda result, error: None
        self._finish(None, None)

    def _tick(self):
        for _event in range(_EVENTS_PER_TICK if self._child is not None else 0):
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
            self._error = WorkerError(f"kaf {self.arguments[0]}", _("ended without a result"), self._lastLogLine())
        self._finish(self._result, self._error)

    def _take(self, line):
        try:
            event = from_json(line)
        except ValueError:
            return  # the output of a library
        if isinstance(event, Result):
            self._result = event.values
        elif isinstance(event, Error):
            self._error = event.exception("KAF", _("See the log for details."))
        else:
            self._onEvent(event)

    def _lastLogLine(self):
        last = last_line(Path(self._folder) / "log.txt")
        return _("The last line of its log is: {line}").format(line=last) if last else \
            _("Try again; if it happens again, report it.")

    def _finish(self, result, error):
        self._timer.stop()
        if self._child is not None:
            self._child.kill()
            self._child = None
        shutil.rmtree(self._folder, ignore_errors=True)
        done, self._onDone = self._onDone, lambda result, error: None
        done(None if error is not None else result, error)
