"""The worker process as the panel uses it: requests wait in line, a timer listens, nothing ever blocks."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from kaf.runtime.environment import changes_to
from kaf.runtime.errors import Cancelled, KafError
from kaf.worker.client import Client, Job, Remote

Volumes = Callable[[], tuple[dict, dict]]
OnEvent = Callable[[Any], None]
OnAnswer = Callable[[dict | None, KafError | None], None]

POLL_MILLISECONDS = 20
SILENCE_SECONDS = 300.0
"""How long the worker may be silent: looking for keypoints in a large scan takes a minute on a slow computer."""


class InterpreterChoice(Protocol):
    """Which Python the worker runs in."""

    def isReady(self) -> bool:
        """Whether the packages are there, as far as can be known in milliseconds."""

    def python(self) -> str:
        """The interpreter for the worker."""


@dataclass
class Ticket:
    """One request, waiting or running.

    ``volumes`` is a function, called when the turn of the request has come, that gives name -> (voxels, affine)
    and name -> key. ``onDone(result, error)`` is called once, with one of the two.
    """

    verb: str
    settings: dict[str, Any]
    volumes: Volumes
    onEvent: OnEvent
    onDone: OnAnswer
    options: dict[str, Any] = field(default_factory=dict)
    job: Job | None = None


class Backend:
    """Owns the client, its worker process and the timer.

    Args:
        setup: says which interpreter has the packages.
        onLog: called with every line for the log.
        silence: seconds without a message after which the worker counts as hung.
        client: makes the client (tests give their own).

    Attributes:
        remote: says which other computer the models run on, or None for this one; only a panel, where a person has
            chosen it, sets this.
    """

    def __init__(self, setup: InterpreterChoice, onLog: Callable[[str], None] = lambda text: None,
                 silence: float = SILENCE_SECONDS, client: Callable[..., Client] = Client):
        self.setup, self.onLog, self.silence = setup, onLog, silence
        self._makeClient = client
        self.remote: Callable[[], Remote | None] = lambda: None
        self._client: Client | None = None
        self._place: Remote | str = ""
        self._line: deque[Ticket] = deque()
        self._running: Ticket | None = None
        self._timer: qt.QTimer | None = None

    def isBusy(self) -> bool:
        """True while a request runs or waits."""
        return self._running is not None or bool(self._line)

    def isRunning(self, ticket: Ticket | None) -> bool:
        """True while this request has the worker, False while it waits or when it is over."""
        return ticket is not None and ticket is self._running

    def start(self) -> None:
        """Starts the worker ahead of the first request, so that it loads while the user still chooses; one on another
        computer only when it has something to do."""
        if self.remote() is not None:
            return
        try:
            self.client().start()
        except KafError as error:
            self.onLog(str(error))  # the request that needs it will say so where the user looks

    def submit(self, verb: str, settings: Mapping[str, Any], volumes: Volumes, onEvent: OnEvent, onDone: OnAnswer,
               options: Mapping[str, Any] | None = None) -> Ticket:
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

    def run(self, verb: str, settings: Mapping[str, Any], volumes: Volumes, onEvent: OnEvent = lambda event: None,
            options: Mapping[str, Any] | None = None) -> dict:
        """A request that is waited for, without a timer or an event loop: for scripts.

        Raises:
            KafError: of the kind that the verb raised.
        """
        arrays, keys = volumes()
        return self.client().request(verb, self._settings(settings), arrays, onEvent, self.silence, keys, options)

    def cancel(self, ticket: Ticket | None) -> None:
        """Takes a request back; its ``onDone`` gets Cancelled. The worker of a running one is ended."""
        if ticket is self._running:
            ticket.job.cancel()
            self._finish(None, Cancelled(ticket.verb))
        elif ticket in self._line:
            self._line.remove(ticket)
            ticket.onDone(None, Cancelled(ticket.verb))

    def close(self) -> None:
        """Ends the worker and drops every request silently; a later request starts a new worker."""
        if self._timer is not None:
            self._timer.stop()
        self._line.clear()
        self._running = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def client(self) -> Client:
        """The client of the interpreter that the set-up names now, or of another computer."""
        remote = self.remote()
        place: Remote | str = remote or os.fspath(self.setup.python())
        if self._client is not None and place != self._place:
            self._client.close()
            self._client = None
        if self._client is None:
            self._place = place
            self._client = self._makeClient(python=place, env=environmentFor(place)) if isinstance(place, str) else \
                self._makeClient(remote=place, env=environmentFor(place.program))
        return self._client

    def _settings(self, settings):
        """The settings of a request; device and threads are this computer's, and another one chooses its own."""
        if self.remote() is None:
            return settings
        return {**{name: value for name, value in settings.items() if name != "threads"}, "device": "auto"}

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
                ticket.verb, self._settings(ticket.settings), arrays, ticket.onEvent, self.silence, keys,
                ticket.options)
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
        """Ends the running request with an error; one that is no KafError is a defect, and its traceback is logged."""
        if not isinstance(error, KafError):
            self.onLog(traceback.format_exc())
            error = KafError(self._running.verb, _("an unexpected error occurred ({error})").format(error=error),
                             _("Please report it with the log below."))
        if self._running.job is not None:
            self._running.job.cancel()
        self._finish(None, error)

    def _finish(self, result, error):
        ticket, self._running = self._running, None
        ticket.onDone(result, error)


def environmentFor(python: str) -> dict[str, str | None]:
    """What to change in the environment for a program that is not Slicer's own Python: all that Slicer has set."""
    if python == sys.executable or Path(python).stem.lower() == "pythonslicer" or python == slicerPython():
        return {}
    return {**changes_to(slicer.util.startupEnvironment()), "PYTHONHOME": None, "PYTHONPATH": None}


def slicerPython() -> str:
    """The launcher of Slicer's own Python, with Slicer's environment; this interpreter where there is none."""
    return shutil.which("PythonSlicer") or sys.executable
