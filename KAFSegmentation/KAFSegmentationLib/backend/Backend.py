"""The worker process as the panel uses it: requests wait in line, a timer listens, nothing ever blocks."""

import os
import shutil
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
import slicer

from kaf.runtime.environment import changes_to
from kaf.runtime.errors import Cancelled, KafError
from kaf.worker.client import Client, Job

POLL_MILLISECONDS = 20
SILENCE_SECONDS = 300.0
"""How long the worker may say nothing: looking for keypoints in a large scan takes a minute on a slow computer."""


@dataclass
class Ticket:
    """One request, waiting or running.

    ``volumes`` is a function, called when the turn of the request has come, that gives name -> (voxels, affine)
    and name -> key. ``onDone(result, error)`` is called once, with one of the two.
    """

    verb: str
    settings: dict[str, Any]
    volumes: Callable[[], tuple[dict, dict]]
    onEvent: Callable[[Any], None]
    onDone: Callable[[dict | None, KafError | None], None]
    options: dict[str, Any] = field(default_factory=dict)
    job: Job | None = None


class Backend:
    """Owns the client, its worker process and the timer.

    Args:
        setup: says with ``isReady()`` whether the packages are there, and with ``python()`` which interpreter has
            them.
        onLog: called with every line for the log.
        silence: seconds without a word after which the worker counts as hung.
        client: makes the client (tests give their own).
    """

    def __init__(self, setup, onLog=lambda text: None, silence=SILENCE_SECONDS, client=Client):
        self.setup, self.onLog, self.silence = setup, onLog, silence
        self._makeClient = client
        self._client = None
        self._python = ""
        self._line = deque()
        self._running = None
        self._timer = None

    def isBusy(self):
        """True while a request runs or waits."""
        return self._running is not None or bool(self._line)

    def isRunning(self, ticket):
        """True while this request has the worker, False while it waits or when it is over."""
        return ticket is not None and ticket is self._running

    def start(self):
        """Starts the worker ahead of the first request, so that it loads while the user still chooses."""
        try:
            self.client().start()
        except KafError as error:
            self.onLog(str(error))  # the request that needs it will say so where the user looks

    def submit(self, verb, settings, volumes, onEvent, onDone, options=None):
        """Puts a request in line and returns its ticket; ``onDone`` is always called later, never from here.

        Args:
            options: what concerns the request but is no setting: ``modality``, DICOM's word for the kind of scan.
        """
        ticket = Ticket(verb, dict(settings), volumes, onEvent, onDone, dict(options or {}))
        self._line.append(ticket)
        if self._timer is None:
            self._timer = qt.QTimer()
            self._timer.setInterval(POLL_MILLISECONDS)
            self._timer.connect("timeout()", self._tick)
        self._timer.start()
        qt.QTimer.singleShot(0, self._tick)  # a click must not wait for the timer
        return ticket

    def run(self, verb, settings, volumes, onEvent=lambda event: None, options=None):
        """A request that is waited for, without a timer or an event loop: for scripts.

        Raises:
            KafError: of the kind that the verb raised.
        """
        arrays, keys = volumes()
        return self.client().request(verb, settings, arrays, onEvent, self.silence, keys, options)

    def cancel(self, ticket):
        """Takes a request back; its ``onDone`` gets Cancelled. The worker of a running one is ended."""
        if ticket is self._running:
            ticket.job.cancel()
            self._finish(None, Cancelled(ticket.verb))
        elif ticket in self._line:
            self._line.remove(ticket)
            ticket.onDone(None, Cancelled(ticket.verb))

    def close(self):
        """Ends the worker and forgets every request without a word; a later request starts afresh."""
        if self._timer is not None:
            self._timer.stop()
        self._line.clear()
        self._running = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def client(self):
        """The client of the interpreter that the set-up names now."""
        python = os.fspath(self.setup.python())
        if self._client is not None and python != self._python:
            self._client.close()
            self._client = None
        if self._client is None:
            self._python = python
            self._client = self._makeClient(python=python, env=environmentFor(python))
        return self._client

    def _tick(self):
        if self._running is None and self._line:
            self._begin(self._line.popleft())
        elif self._running is not None:
            self._listen()
        if not self.isBusy() and self._timer is not None:
            self._timer.stop()

    def _begin(self, ticket):
        self._running = ticket
        try:
            arrays, keys = ticket.volumes()
            self.onLog(f"{ticket.verb} {ticket.settings}")
            ticket.job = self.client().submit(
                ticket.verb, ticket.settings, arrays, ticket.onEvent, self.silence, keys, ticket.options)
        except Exception as error:
            self._fail(error)

    def _listen(self):
        job = self._running.job
        try:
            if not job.poll():
                return
            result = job.result()
        except Exception as error:
            if job.detail:
                self.onLog(job.detail)
            self._fail(error)
            return
        self._finish(result, None)

    def _fail(self, error):
        """Ends the running request with an error; one that is no KafError is a mistake of ours, in words."""
        if not isinstance(error, KafError):
            self.onLog(traceback.format_exc())
            error = KafError(self._running.verb, f"something unexpected happened ({error})",
                             "Please report it with the log below.")
        if self._running.job is not None:
            self._running.job.cancel()
        self._finish(None, error)

    def _finish(self, result, error):
        ticket, self._running = self._running, None
        ticket.onDone(result, error)


def environmentFor(python):
    """What to change in the environment for an interpreter that is not Slicer's own: all that Slicer has set."""
    if python == sys.executable or Path(python).stem.lower() == "pythonslicer" or python == slicerPython():
        return {}
    return {**changes_to(slicer.util.startupEnvironment()), "PYTHONHOME": None, "PYTHONPATH": None}


def slicerPython():
    """The launcher of Slicer's own Python, with Slicer's environment; this interpreter where there is none."""
    return shutil.which("PythonSlicer") or sys.executable
