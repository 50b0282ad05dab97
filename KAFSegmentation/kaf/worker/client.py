"""The client of the resident worker: hands voxels over by file, watches without blocking, ends it for good.

Only the standard library and numpy: this is the one part of ``kaf`` that a Slicer panel needs to run a model
in another process. A panel polls from a timer::

    client = Client(threads=3)
    job = client.submit("segment", {"model": "cardiac-mr-sax"}, {"image": (voxels, affine)}, on_event=show)
    ...                      # every 100 ms: if job.poll(): result = job.result()

and a script waits: ``result = client.request("segment", ...)``.  With ``Client(remote=Remote("me@gpu-server"))`` the
worker is another computer's.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import weakref
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaf.runtime.child import Child
from kaf.runtime.environment import changed, child_environment
from kaf.runtime.errors import ResourceError, SettingsError, WorkerError
from kaf.runtime.events import OnEvent, ignore
from kaf.runtime.logs import default_log, open_log
from kaf.runtime.temporary import Scratch
from kaf.worker.array_transfer import check_affine, plain, remove, write_array
from kaf.worker.client_job import Job
from kaf.worker.remote_child import Remote, RemoteChild

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


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
        remote: the computer that the worker runs on, reached by ssh; this one unless given. ``python`` and
            ``threads`` are then of no use.
    """

    def __init__(self, python: str | os.PathLike | None = None, threads: int | None = None,
                 log: str | os.PathLike | None = None, verbs: str | None = None,
                 env: Mapping[str, str | None] | None = None, start_timeout: float = 60.0,
                 remote: Remote | None = None):
        self.start_timeout, self._remote = start_timeout, remote
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
        more = ["--verbs", self._verbs] if self._verbs else []
        log = open_log(self._log, folder, rotate=not self._rotated)
        self._rotated = True
        if self._remote is not None:
            self._children.append(RemoteChild(self._remote, more, changed(self._env), log))
            return
        command = [os.fspath(self._python or sys.executable or "python"), "-m", "kaf.worker", "--own-group", *more]
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
