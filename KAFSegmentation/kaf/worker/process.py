"""The resident worker: ``python -m kaf.worker`` takes requests on stdin and answers on stdout, one at a time.

Both ways one ASCII line of JSON each::

    {"id": 1, "verb": "segment", "settings": {...}, "options": {...}, "folder": "/private/1",
     "arrays": {"image": {"path": "in-1.npy", "affine": [[...], ...]}}}
    {"id": 1, "event": "progress", "stage": "slices", "done": 3, "total": 12, "seconds_left": 1.5}
    {"id": 1, "event": "result", "values": {"arrays": {"labels": {"path": ..., "affine": ...}}, ...}}

The last answer to a request is ``result`` or ``error``. Only ``id`` and ``verb`` are needed in a request.
Lines with id 0 belong to none: the first has the code ``ready``, with ``pid`` and ``versions`` in its ``data``.
Whatever a library prints goes to stderr. When stdin closes, the worker ends at once, whatever it is doing: its client
is gone.

A verb is a function ``(request: Request, on_event) -> dict``; volumes and arrays under ``arrays`` of what it
returns travel by file. ``--verbs module:TABLE`` adds those of a dictionary like :data:`VERBS`. With ``--remote`` the
files travel through the pipe, too (:mod:`kaf.worker.file_lines`), for a client on another computer.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import faulthandler
import gc
import importlib
import io
import json
import os
import platform
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from kaf._version import __version__
from kaf.runtime.errors import InputError, KafError, ResourceError, SettingsError, WorkerError
from kaf.runtime.events import Error, Event, Message, OnEvent, Result, to_dict
from kaf.runtime.message_codes import READY
from kaf.runtime.out_of_memory import is_about_a_gpu, is_gpu_failure, is_out_of_memory
from kaf.runtime.plain_text import one_line, plain_lines
from kaf.runtime.processes import end_tree
from kaf.worker.array_transfer import plain, write_array
from kaf.worker.requests import Request, parsed, request_of, table_of

# name -> "module:function", imported on first use.
VERBS = {
    "ping": "kaf.worker.process:ping",
    "segment": "kaf.worker.verbs:segment",
    "explain": "kaf.worker.verbs:explain",
    "adapt": "kaf.worker.verbs:adapt",
    "function": "kaf.worker.verbs:function",
    "propagate": "kaf.worker.verbs:propagate",
    "provenance": "kaf.worker.verbs:provenance",
    "propose": "kaf.worker.verbs:propose",
}
_AHEAD = ("torch",)  # imported as soon as the worker is ready, while the user still chooses
_LONGEST = 16 << 20  # bytes of a request: voxels come by file
_PACKAGES = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}
Verb = Callable[[Request, OnEvent], "dict[str, Any] | None"]


def ping(request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Answers with ``pid`` and ``versions``; with the option ``devices``, also with those (``kaf devices``)."""
    answer: dict[str, Any] = {"pid": os.getpid(), "versions": _versions()}
    if request.options.get("devices"):
        from kaf.runtime.device_list import find_devices
        from kaf.settings.run import RunSettings

        answer["devices"] = find_devices(RunSettings()).to_dict()
    return answer


class Worker:
    """Serves requests from one stream and answers on another.

    Args:
        requests, answers: the two streams, binary.
        verbs: name -> "module:function".
        own_group: the process group was made for this worker, and goes with it.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO, verbs: dict[str, str], own_group: bool = False):
        self._requests, self._answers, self._verbs, self._own_group = requests, answers, verbs, own_group
        self._inbox: queue.Queue[bytes] = queue.Queue()
        self._writing = threading.Lock()
        self._cache: dict[Any, Any] = {}

    def serve(self, ahead: Sequence[str] = ()) -> None:
        """Says ready, imports the modules ``ahead``, then answers until the client is gone; never returns.

        The imports run here rather than on a thread of their own: a verb needs them anyway, and two threads
        importing one library can meet it half-made.
        """
        threading.Thread(target=self._watch, name="kaf-watch", daemon=True).start()
        self._send(0, Message("ready", code=READY, data=self._greeting()))
        for name in ahead:
            try:
                importlib.import_module(name)
            except Exception:  # the verb that needs it says so
                traceback.print_exc()
        while True:
            self._answer(self._inbox.get())

    def _greeting(self) -> dict[str, Any]:
        """What a client must know before its first request."""
        return {"pid": os.getpid(), "versions": _versions()}

    def _take(self, line: bytes) -> None:
        """One line from the client."""
        self._inbox.put(line)

    def _watch(self) -> None:
        """Passes the requests on; their end is the end of the client and of this process."""
        try:
            while line := self._requests.readline(_LONGEST):
                whole = line
                while len(whole) == _LONGEST and not whole.endswith(b"\n"):  # the rest of a line that is no request
                    whole = self._requests.readline(_LONGEST)
                self._take(line)
        finally:
            self._leave()

    def _leave(self) -> None:
        sys.stderr.flush()
        if self._own_group:
            end_tree(os.getpid(), 0 if sys.platform == "win32" else os.getpgrp())
        os._exit(0)

    def _send(self, number: int, event: Event) -> None:
        """One line: the event, and which request it belongs to."""
        self._write(json.dumps({"id": number, **to_dict(event)}, default=plain).encode("ascii") + b"\n")

    def _write(self, line: bytes) -> None:
        with self._writing:
            try:
                self._answers.write(line)
                self._answers.flush()
            except OSError:
                self._leave()

    def _answer(self, line: bytes) -> None:
        number, verb, short = 0, "request", False
        try:
            values = parsed(line)
            number, verb = values["id"], values["verb"]
            function = self._function(verb)
            request = request_of(values, self._cache)
            made = function(request, lambda event: self._pass_on(number, event))
            self._send(number, Result(_with_files(made or {}, request.folder)))
        except (Exception, SystemExit) as error:
            short = self._report(number, as_kaf_error(error, verb))
        if short:  # not above, where the exception still holds the frames and tensors of what failed
            self._free()

    def _pass_on(self, number: int, event: Event) -> None:
        """An event of a verb. Its Result or Error is left out: what it returns or raises is the answer."""
        if not isinstance(event, (Result, Error)):
            self._send(number, event)

    def _function(self, verb: str) -> Verb:
        if verb not in self._verbs:
            raise InputError(one_line(verb) or repr(verb), "is not a verb of the worker",
                             f"It knows {', '.join(sorted(self._verbs))}.")
        module, _, name = self._verbs[verb].partition(":")
        return getattr(importlib.import_module(module), name)

    def _report(self, number: int, error: KafError) -> bool:
        """Sends an error, from within the handler of the exception behind it; True if a resource ran out."""
        detail = traceback.format_exc()
        print(plain_lines(detail), file=sys.stderr, flush=True)
        self._send(number, Error.of(error, detail))
        return isinstance(error, ResourceError)

    def _free(self) -> None:
        """Gives back what memory it can, so that the next, smaller, request has a chance."""
        self._cache.clear()
        gc.collect()
        if "torch" in sys.modules:
            from kaf.runtime.device_choice import empty_caches

            empty_caches()


def as_kaf_error(error: BaseException, verb: str) -> KafError:
    """Any exception as one that a user can act on; torch's are recognised by name and text, without importing it.

    Args:
        verb: what was asked for, for the head of the message.
    """
    if isinstance(error, KafError):
        return error
    said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    if is_out_of_memory(error):
        remedy = ("Close other programs that use the GPU, choose a smaller batch, or choose the CPU as "
                  "the device." if is_about_a_gpu(error) else
                  "Close other programs, crop the volume to the region you need or choose a smaller batch.")
        what = "the GPU" if is_about_a_gpu(error) else "this computer"
        return ResourceError(verb, f"{what} ran out of memory ({said})", remedy)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ResourceError(error.filename or verb, "the disk is full", "Free space there and run it again.")
    module = error.name.split(".")[0] if isinstance(error, ImportError) and error.name else ""
    if module and module != "kaf":
        package = _PACKAGES.get(module, module)
        what = f"{package} is not installed" if isinstance(error, ModuleNotFoundError) else (
            f"{package} is installed but cannot be loaded ({said})")
        return ResourceError(sys.executable, what, "Use Set up in the KAF panel, or run: "
                             f"\"{sys.executable}\" -m pip install --upgrade {package}")
    if is_gpu_failure(error):
        return WorkerError(verb, f"the GPU stopped working ({said})",
                           "Run it again; a new worker is started. If it happens again, choose the CPU as the "
                           "device or update the GPU driver.")
    return KafError(verb, f"the worker met an error it did not expect ({said})",
                    "Please report it with the worker's log, which has the details.")


def _with_files(made: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result with its arrays (Volume or ndarray) written to files in their place."""
    if "arrays" not in made:
        return made
    listed = {}
    for count, (name, item) in enumerate(made["arrays"].items()):
        voxels, affine = getattr(item, "voxels", item), getattr(item, "affine", None)
        path = write_array(name, voxels, folder / f"out-{count}.npy")
        listed[name] = {"path": str(path), "affine": affine}
    return {**made, "arrays": listed}


def _versions() -> dict[str, str]:
    """Of kaf, Python and, read without importing them, what stands or falls with its version."""
    versions = {"kaf": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "SimpleITK"):
        try:
            versions[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, TypeError):  # TypeError: half-installed
            versions[name] = ""
    return versions


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for the protocol alone, whatever Python, a C library or a child prints or reads."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.stdout = sys.stderr
    return requests, answers


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error with a message, as that of every other command."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError("kaf worker", message, "See `kaf worker --help`.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _Parser(prog="python -m kaf.worker",
                     description="The resident process: requests on stdin, answers on stdout, one at a time.")
    parser.add_argument("--verbs", metavar="MODULE:TABLE",
                        help="table of further verbs, for tests and extensions; torch is then imported on first use")
    parser.add_argument("--own-group", action="store_true",
                        help="end the whole process group, which was made for this worker, when stdin closes")
    parser.add_argument("--remote", action="store_true",
                        help="the client is on another computer (ssh): its files come and go through the pipe")
    options = parser.parse_args(arguments)
    verbs = {**VERBS, **(table_of(options.verbs) if options.verbs else {})}
    requests, answers = _claim_pipes()
    faulthandler.enable()
    ahead = () if options.verbs else _AHEAD
    if not options.remote:
        Worker(requests, answers, verbs, options.own_group).serve(ahead)
    from kaf.worker.remote_worker import RemoteWorker

    RemoteWorker(requests, answers, verbs, _leads_a_group()).serve(ahead)


def _leads_a_group() -> bool:
    """Makes a process group of this process and what it will start; whether the system has them."""
    if sys.platform == "win32":
        return True
    with contextlib.suppress(OSError):  # the first process of a session leads one already
        os.setpgid(0, 0)
    return os.getpgrp() == os.getpid()
