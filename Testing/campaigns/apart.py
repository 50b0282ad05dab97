"""Commands and functions in forked processes: what is imported once serves every try, and none can disturb another.

Whoever forks has imported all libraries and run none of them, so that no thread of theirs is missing in the child.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

if sys.platform != "win32":
    import resource

T = TypeVar("T")
_LOOK = 0.002  # seconds between two looks at a child
_PATIENCE = 180.0  # seconds for a function of the campaign itself
MEBIBYTE = 1024 ** 2


class Done(NamedTuple):
    """What a command left.

    Attributes:
        code: its exit code, or the negative number of the signal that ended it.
        out, err: what it wrote.
        seconds: how long it ran.
        peak: the most memory it held at a time, in MiB.
        late: whether it was ended because its time was over.
        killed: whether it was killed at the moment that the try chose.
    """

    code: int
    out: str
    err: str
    seconds: float
    peak: float
    late: bool
    killed: bool


def preload() -> None:
    """Import what any command imports; with one thread each, the libraries start none."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = "1"
    import importlib
    import pkgutil

    import kaf as package

    for name in ("SimpleITK", "cv2", "skimage.segmentation", "scipy.ndimage",
                 "tqdm", "PIL.ImageFont"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, "kaf."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def kaf(*arguments: object, limit: float = 60.0, kill_after: float | None = None,
        before: Callable[[], object] | None = None) -> Done:
    """The command line with these arguments in a process of its own; ``kill_after`` seconds it is killed outright.

    ``before`` is called in the child before the command, to change what it meets.
    """
    def command() -> None:
        from kaf.cli import entry as cli

        if before is not None:
            before()
        sys.argv = ["kaf", *(os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments)]
        cli.entry()

    return process(command, limit, kill_after)


def process(function: Callable[[], object], limit: float = 60.0, kill_after: float | None = None) -> Done:
    """The function in a forked process with files for stdout and stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _play(function, out.fileno(), err.fileno())
        status, usage, late, killed = _watch(child, started, limit, kill_after)
        seconds = time.monotonic() - started
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(MEBIBYTE).decode("utf-8", "backslashreplace"))
        peak = usage.ru_maxrss / (MEBIBYTE if sys.platform == "darwin" else 1024)
        return Done(os.waitstatus_to_exitcode(status), texts[0], texts[1], seconds, peak, late, killed)


def _play(function: Callable[[], object], out: int, err: int) -> None:
    """In the child: its own group, so that all of it can be killed; never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        function()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _watch(child: int, started: float, limit: float, kill_after: float | None) -> tuple[int, Any, bool, bool]:
    """Wait for the child, or end it with all that it started: exit status, resources, late, killed."""
    late = killed = False
    try:
        while True:
            found, status, usage = os.wait4(child, os.WNOHANG)
            if found:
                break
            now = time.monotonic() - started
            if kill_after is not None and now >= kill_after and not killed:
                killed = end(child)
            elif now >= limit and not late:
                late = end(child)
            else:
                rest = limit - now if kill_after is None or killed else kill_after - now
                time.sleep(max(0.0, min(_LOOK, rest)))
    except BaseException:
        end(child)
        raise
    end(child)  # what it has started
    # Killed while it was already over: its own exit code says so.
    return status, usage, late, killed and os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def end(leader: int) -> bool:
    """Kill a process and its group, which may not exist yet."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(leader, signal.SIGKILL)
    return True


class Passing(Exception):  # noqa: N818 - no error of the campaign
    """What a function in a forked process raises for whoever has called it."""


class BrokenCampaign(Exception):  # noqa: N818 - a fault of the campaign, which no try expects
    """A function that prepares or checks a try failed by itself."""


def call(function: Callable[..., T], *arguments: Any, limit: float = _PATIENCE) -> T:
    """The function's result, computed in a forked process; what it returns must be picklable.

    Raises:
        Passing: as the function does.
        BrokenCampaign: it raised something else, died or took too long.
    """
    with tempfile.TemporaryFile() as answer:
        def work() -> None:
            made: Any
            try:
                made = (True, function(*arguments))
            except Passing as passing:
                made = (False, passing)
            answer.write(pickle.dumps(made))
            answer.flush()

        done = process(work, limit)
        if done.code or done.late:
            raise BrokenCampaign(f"{getattr(function, '__name__', function)} ended with {done.code}"
                                 f"{' (too late)' if done.late else ''}:\n{done.err[-3000:]}")
        answer.seek(0)
        well, made = pickle.load(answer)
        if not well:
            raise made
        return made


def private_home(folder: Path) -> None:
    """Library, cache, notices and temporary files of this process lie in ``folder`` from now on."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        place = folder / name.lower()
        place.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(place)
    tempfile.tempdir = None


def files_below(folder: Path, but: Sequence[str] = ()) -> dict[str, bytes]:
    """Name below the folder -> content of every regular file; links and other things by what they are."""
    found: dict[str, bytes] = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        folders[:] = sorted(name for name in folders if os.fsdecode(name) not in but)
        for name in names:
            path = os.path.join(place, name)
            key = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            if os.path.islink(path):
                found[key] = b"link to " + os.readlink(path)
            elif os.path.isfile(path):
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    found[key] = file.read()
            else:
                found[key] = b"special file"
    return found
