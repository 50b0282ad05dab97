"""The client of the resident worker: hands voxels over by file, watches without blocking, ends it for good.

Only the standard library and numpy: this is the one part of ``kaf`` that a Slicer panel needs to run a model
in another process. A panel polls from a timer::

    client = Client(threads=3)
    job = client.submit("segment", {"model": "cardiac-mr-sax"}, {"image": (voxels, affine)}, on_event=show)
    ...                      # every 100 ms: if job.poll(): result = job.result()

and a script waits: ``result = client.request("segment", ...)``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import sys
import time
import weakref
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaf._version import __version__
from kaf.runtime import json_files
from kaf.runtime.child import Child
from kaf.runtime.environment import child_environment
from kaf.runtime.errors import Cancelled, KafError, ResourceError, SettingsError, WorkerError
from kaf.runtime.events import Error, OnEvent, Result, from_json, ignore
from kaf.runtime.logs import default_log, open_log
from kaf.runtime.message_codes import READY
from kaf.runtime.temporary import Scratch
from kaf.worker.array_transfer import check_affine, plain, remove, take_array, write_array

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


class Job:
    """One request on its way, made by :meth:`Client.submit`. All its methods belong to one thread."""

    def __init__(self, client: Client, child: Child, number: int, verb: str, on_event: OnEvent,
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
                self._child.command[0], f"the kaf it finds is version {version}, this one is {__version__}",
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
        elif self._timeout is not None and now - max(child.heard, self._sent) > self._timeout:
            self._give_up(f"nothing was heard from the worker for {self._timeout:g} s")

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


class Client:
    """Starts the worker at the first request and keeps it, warm, until :meth:`close`.

    The voxels pass through a private folder, which goes with :meth:`close` or at exit; that of a client that
    was killed goes when the next one starts. Works in a ``with`` statement; all methods belong to one thread.

    Args:
        python: the interpreter to run it with; this one unless given. In Slicer: the PythonSlicer launcher.
        threads: how many threads it and its libraries use at most, whatever a request asks for; as many as are
            free unless given.
        log: file for what the worker and its libraries print; one in the user's log folder unless given. The
            one of the client before is kept beside it as ``<name>.1<suffix>``.
        verbs: ``module:TABLE`` with more verbs (see ``kaf.worker``).
        env: changes to this process's environment: a value to set, None to remove. An interpreter foreign to
            Slicer but started from it wants ``{"PYTHONHOME": None, "PYTHONPATH": None}``; PythonSlicer must
            not have that.
        start_timeout: seconds within which the worker must say that it is ready.
    """

    def __init__(self, python: str | os.PathLike | None = None, threads: int | None = None,
                 log: str | os.PathLike | None = None, verbs: str | None = None,
                 env: Mapping[str, str | None] | None = None, start_timeout: float = 60.0):
        self.start_timeout = start_timeout
        self._python, self._threads, self._verbs, self._env = python, threads, verbs, dict(env or {})
        self._log = Path(log) if log is not None else default_log()
        self._rotated = False
        self._numbers, self._files = itertools.count(1), itertools.count(1)
        self._handed: dict[str, tuple[Hashable, Path]] = {}
        self._unwanted: list[Path] = []
        self._job: Job | None = None
        self._scratch: Scratch | None = None
        self._children: list[Child] = []  # none or one; a list, so that the finaliser sees the one that runs

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the worker, if none runs, and returns at once; it loads its libraries meanwhile.

        Raises:
            WorkerError: the interpreter cannot be started.
            ResourceError: there is no temporary folder to write to.
        """
        if self._children and not self._children[0].exited():
            return
        _kill_all(self._children, os.getpid())
        folder = self._private_folder()
        command = [os.fspath(self._python or sys.executable or "python"), "-m", "kaf.worker", "--own-group"]
        if self._verbs:
            command += ["--verbs", self._verbs]
        log = open_log(self._log, folder, rotate=not self._rotated)
        self._rotated = True
        self._children.append(Child(command, self._environment(), log))

    def submit(self, verb: str, settings: Mapping[str, Any] | None = None,
               volumes: Mapping[str, tuple[np.ndarray, Any]] | None = None, on_event: OnEvent = ignore,
               timeout: float | None = None, keys: Mapping[str, Hashable] | None = None,
               options: Mapping[str, Any] | None = None) -> Job:
        """Sends a request and returns at once, but for the time it takes to write the voxels.

        Args:
            verb: e.g. ``segment``.
            settings: the verb's settings, JSON-ready (paths may be Path).
            volumes: name -> (array (slice, row, column), 4x4 affine of index (column, row, slice) to RAS mm).
            on_event: called by :meth:`Job.poll` with Progress, Metric, Picture and Message events.
            timeout: seconds of silence after which the worker counts as hung; unlimited unless given. Leave
                room for loading torch, which takes a cold disk some tens of seconds.
            keys: name -> token that changes whenever the voxels do (node id, modification time, size): a
                volume that was handed over under the same name and token is not written again.
            options: what concerns this request but is no setting of the verb.

        Raises:
            WorkerError: a request is still running, or the worker cannot be started.
            InputError: an array or affine cannot be handed over.
            SettingsError: the settings or options cannot be written as JSON.
            ResourceError: the temporary folder cannot hold the voxels.
        """
        if self._job is not None and not self._job.poll():
            raise WorkerError(verb, f"the worker is busy with '{self._job.verb}'",
                              "Wait for it to finish or cancel it first.")
        number = next(self._numbers)
        folder = self._private_folder() / str(number)
        folder.mkdir()
        try:
            arrays = {name: {"path": str(self._hand_over(name, array, (keys or {}).get(name), folder)),
                             "affine": check_affine(name, affine)}
                      for name, (array, affine) in (volumes or {}).items()}
            line = _request_line({"id": number, "verb": verb, "settings": dict(settings or {}),
                                  "arrays": arrays, "options": dict(options or {}), "folder": folder})
            self.start()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        child = self._children[0]
        self._job = Job(self, child, number, verb, on_event, timeout, folder)
        child.send(line)
        return self._job

    def request(self, verb: str, settings: Mapping[str, Any] | None = None,
                volumes: Mapping[str, tuple[np.ndarray, Any]] | None = None, on_event: OnEvent = ignore,
                timeout: float | None = None, keys: Mapping[str, Hashable] | None = None,
                options: Mapping[str, Any] | None = None) -> dict:
        """:meth:`submit` and :meth:`Job.result` in one; Ctrl-C or an exception in ``on_event`` cancels it."""
        job = self.submit(verb, settings, volumes, on_event, timeout, keys, options)
        try:
            return job.result()
        finally:
            job.cancel()

    def close(self) -> None:
        """Ends the worker and removes the private folder; a later request starts afresh."""
        if self._job is not None:
            self._job.cancel()
        _kill_all(self._children, os.getpid())
        if self._scratch is not None:
            self._scratch.close()
        self._job = self._scratch = None
        self._handed.clear()
        self._unwanted.clear()

    def discard(self, *files: Path) -> None:
        """Delete files of the private folder that nobody wants any more.

        On Windows the worker may still have one mapped: it is tried again with the next ones, so that a session of many
        requests does not fill the disk.
        """
        left = []
        for file in [*self._unwanted, *files]:
            if not remove(file):
                left.append(file)
            elif self._scratch is not None and file.parent != self._scratch.path:
                with contextlib.suppress(OSError):
                    file.parent.rmdir()
        self._unwanted = left

    def _private_folder(self) -> Path:
        if self._scratch is None or not self._scratch.path.is_dir():  # some systems tidy up behind our back
            try:
                self._scratch = Scratch()
            except OSError as error:
                raise ResourceError("temporary folder", f"cannot be written ({error})",
                                    "Point TMPDIR (TEMP on Windows) at a disk with space.") from error
            # Made after the folder's own finaliser, it runs before that: first the worker, then its files.
            weakref.finalize(self, _kill_all, self._children, os.getpid())
        return self._scratch.path

    def _hand_over(self, name: str, array: np.ndarray, key: Hashable, folder: Path) -> Path:
        """Writes one volume, unless it lies there already; a file that the worker may have mapped is never
        overwritten."""
        if key is None:
            return write_array(name, array, folder / f"in-{next(self._files)}.npy")
        if name in self._handed:
            known, path = self._handed[name]
            if known == key and path.exists():
                return path
            self.discard(path)
            del self._handed[name]
        path = write_array(name, array, self._private_folder() / f"in-{next(self._files)}.npy")
        self._handed[name] = key, path
        return path

    def _environment(self) -> dict[str, str]:
        values = child_environment(self._env)
        if self._threads is not None:
            values.update(dict.fromkeys(_THREADS, str(self._threads)))
        return values


def _kill_all(children: list[Child], owner: int) -> None:
    if os.getpid() == owner:  # a forked child that exits has no business here
        while children:
            children.pop().kill()


def _request_line(request: dict) -> str:
    try:
        return json.dumps(request, default=plain)
    except (TypeError, ValueError) as error:
        raise SettingsError(request["verb"], f"the request cannot be written as JSON ({error})",
                            "Use numbers, strings, lists, dictionaries and paths only.") from error
