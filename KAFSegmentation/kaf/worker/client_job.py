"""One request of the client on its way to the worker: what arrives, what ends it, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import time
from pathlib import Path
from typing import Protocol

import numpy as np

from kaf._version import __version__
from kaf.runtime import json_files
from kaf.runtime.child import Child
from kaf.runtime.errors import Cancelled, KafError, WorkerError
from kaf.runtime.events import Error, OnEvent, Result, from_json
from kaf.runtime.message_codes import READY
from kaf.worker.array_transfer import take_array


class JobOwner(Protocol):
    """What a job needs of the client that made it."""

    start_timeout: float

    def discard(self, *files: Path) -> None:
        """Delete files of the private folder that nobody wants any more."""


class Job:
    """One request on its way, made by :meth:`kaf.worker.client.Client.submit`. All its methods belong to one thread."""

    def __init__(self, client: JobOwner, child: Child, number: int, verb: str, on_event: OnEvent,
                 timeout: float | None, folder: Path):
        self.verb = verb
        self.detail = ""
        """The worker's traceback after an error, for a log or a "more" button."""
        self._child, self._number, self._on_event, self._folder = child, number, on_event, folder
        self._client = client  # which would end the worker if nobody held it
        self._timeout = timeout
        self._sent = time.monotonic()
        self._result: dict | None = None
        self._error: KafError | None = None

    @property
    def finished(self) -> bool:
        """True when :meth:`result` no longer has to wait."""
        return self._result is not None or self._error is not None

    def poll(self, wait: float = 0.0) -> bool:
        """Calls ``on_event``, on this thread, with every event that has arrived.

        Args:
            wait: seconds to wait for the first one; 0 returns at once.

        Returns:
            True when the request is finished, well or badly.
        """
        while not self.finished:
            try:
                line = self._child.lines.get(block=wait > 0, timeout=wait or None)
            except queue.Empty:
                self._check()
                break
            wait = 0.0
            self._take(line)
        return self.finished

    def result(self) -> dict:
        """What the verb returned; waits for it if need be.

        Its ``arrays``, if any, are ``{name: (array, affine or None)}``.

        Raises:
            Cancelled: :meth:`cancel` was called, or the client was closed.
            WorkerError: the worker died, could not start or fell silent.
            KafError: of the kind that the verb raised in the worker.
        """
        while not self.poll(0.1):
            pass
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def cancel(self) -> None:
        """Kills the worker and all it started; the next request starts a fresh one. No effect if finished."""
        if not self.finished:
            self._child.kill()
            self._end(error=Cancelled(self.verb))

    def _take(self, line: bytes | None) -> None:
        """One line from the worker; None says that it is gone."""
        if line is None:
            self._child.kill(patience=1.0)  # its own exit code says more than that of a kill
            self._end(error=self._child.why_it_died(self.verb))
            return
        try:
            values = json_files.parse(line)
            number = values.pop("id")
            if number == 0:
                self._greet(values)
                return
            event = from_json(json.dumps(values))
        except (AttributeError, KeyError, TypeError, ValueError):
            self._child.note(f"not an answer: {line!r}")  # a launcher that chats, for one
            return
        if number != self._number:
            return
        if isinstance(event, Result):
            self._finish(event.values)
        elif isinstance(event, Error):
            self.detail = event.detail
            self._end(error=event.exception(self.verb, "The log of the worker may say more."))
        else:
            self._on_event(event)

    def _greet(self, values: dict) -> None:
        """What the worker reports outside any request: that it is ready, or that it cannot read a request."""
        data = values if "versions" in values else values.get("data", {})  # older versions have it beside the text
        if values.get("code") != READY and data is not values:
            self._child.note(f"outside any request: {values}")
            return
        self._child.ready = True
        version = data["versions"]["kaf"]
        if version != __version__:
            self._end(error=WorkerError(
                self._child.subject, f"the kaf it finds is version {version}, this one is {__version__}",
                "Install the same version in both places, then restart this program."))

    def _finish(self, values: dict) -> None:
        try:
            if "arrays" in values:
                values["arrays"] = {
                    name: (take_array(item["path"]), None if item["affine"] is None
                           else np.array(item["affine"], dtype=np.float64))
                    for name, item in values["arrays"].items()}
        except (OSError, ValueError) as error:
            self._end(error=WorkerError(
                self.verb, f"a result of the worker cannot be read ({error})",
                "Check that nothing else empties the temporary folder while KAF runs, then run it again."))
            return
        self._end(result=values)

    def _check(self) -> None:
        """Death, a start that takes too long, silence; called when there is nothing to read."""
        child, now = self._child, time.monotonic()
        if child.exited():
            child.kill()  # ends what it has left behind: its last lines and the end mark then arrive
        elif not child.ready:
            if now - child.started > self._client.start_timeout:
                self._give_up(f"the worker did not start within {self._client.start_timeout:g} s")
        elif self._timeout is not None and now - max(child.last_output, self._sent) > self._timeout:
            self._give_up(f"the worker did not respond for {self._timeout:g} s")

    def _give_up(self, what: str) -> None:
        self._end(error=WorkerError(
            self.verb, f"{what} and it was stopped",
            f"Run it again, with a longer limit if this computer is busy. The log is {self._child.log}."))

    def _end(self, result: dict | None = None, error: KafError | None = None) -> None:
        self._result, self._error = result, error
        if isinstance(error, WorkerError):
            self._child.kill()  # also when the worker says so itself: what is unfit is replaced
        if error is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._client.discard(*self._folder.rglob("*"))
            return
        self._client.discard(*self._folder.glob("in-*.npy"))
        with contextlib.suppress(OSError):  # not empty: it holds pictures
            self._folder.rmdir()
