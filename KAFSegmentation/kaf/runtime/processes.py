"""Processes: started so that they outlive this one, ended with all that they have started, and what an exit code means.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from kaf.runtime.environment import child_environment
from kaf.runtime.errors import WorkerError
from kaf.runtime.logs import header

# The subprocess module has these names on Windows only.
_NEW_GROUP, _NO_WINDOW, _BREAK_AWAY = 0x200, 0x08000000, 0x01000000
LOCK = "KAF_JOB_LOCK"
"""The environment variable with the number of the open file that is handed over."""
_WITHOUT_MODULES = Path(__file__).resolve().parents[1] / "recipes"
_STARTED: list[tuple[Path, subprocess.Popen[bytes]]] = []
_ENDED: set[Path] = set()  # logs of those that were started here and are over


def start_apart(command: Sequence[str], log: Path, env: Mapping[str, str | None] | None, lock: IO[bytes]) -> None:
    """Start a program that outlives this one; stdout and stderr go to the log, stdin is empty.

    ``lock`` is handed to it where the system can do that.  Its working folder is one of KAF's own that holds no
    module: up to Python 3.10 what lies there is imported before anything else, and where a run was started is known by
    its folder, which may come from somebody else.

    Raises:
        WorkerError: the program cannot be started.
        OSError: the log cannot be written.
    """
    with log.open("ab") as words:
        words.write(header(command))
        words.flush()
        values = child_environment(env)
        if values.get("PYTHONPATH"):  # what is relative was meant from here
            values["PYTHONPATH"] = os.pathsep.join(
                os.path.abspath(folder) for folder in values["PYTHONPATH"].split(os.pathsep) if folder)
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": words, "stderr": words,
                                   "env": {**values, LOCK: str(lock.fileno())}, "cwd": _WITHOUT_MODULES}
        try:
            if sys.platform == "win32":
                process = _start_on_windows(command, options)
            else:
                process = subprocess.Popen(list(command), start_new_session=True, pass_fds=(lock.fileno(),), **options)
        except OSError as error:
            raise WorkerError(command[0], f"cannot be started ({error.strerror or error})",
                              "Give the path of a Python interpreter that has the packages KAF needs.") from error
    reap()
    _ENDED.discard(log)
    _STARTED.append((log, process))


def _start_on_windows(command: Sequence[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    flags = _NEW_GROUP | _NO_WINDOW
    process: subprocess.Popen[bytes]
    try:  # out of a job object that would take it along when this process ends
        process = subprocess.Popen(list(command), creationflags=flags | _BREAK_AWAY, **options)
    except PermissionError:
        process = subprocess.Popen(list(command), creationflags=flags, **options)
    return process


def reap() -> None:
    """Let the system forget the children of this process that have ended."""
    _ENDED.update(log for log, process in _STARTED if process.poll() is not None)
    _STARTED[:] = [(log, process) for log, process in _STARTED if process.returncode is None]
    _ENDED.difference_update(log for log, _ in _STARTED)


def has_ended(log: Path) -> bool:
    """Whether this process has started the one that writes this log, and it is over."""
    reap()
    return log in _ENDED


def own_group() -> dict[str, Any]:
    """Arguments of ``Popen`` for a process in a group of its own, which :func:`end_tree` ends, and without a window."""
    return {"creationflags": _NEW_GROUP | _NO_WINDOW} if sys.platform == "win32" else {"start_new_session": True}


def end_tree(pid: int | None, group: int) -> None:
    """End a process for good, with all that it has started; it is the caller who knows that these are the right ones.

    Where psutil is installed, descendants that have left the group are found too; Slicer's own Python has no psutil.

    Args:
        pid: the process; None if it is over, since another may have its number now.
        group: its process group, which outlives its first process (there are none on Windows).
    """
    psutil = optional_psutil()
    if pid is not None and psutil is not None:
        _kill_each(psutil, pid)
    elif pid is not None and sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], check=False, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, creationflags=_NO_WINDOW)
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _kill_each(psutil: Any, pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        tree = first.children(recursive=True)
        # What starts others goes first; this process goes last, or it would leave the others.
        for process in [*tree, first] if pid == os.getpid() else [first, *tree]:
            with contextlib.suppress(psutil.Error):
                process.kill()


def optional_psutil() -> Any:
    """The module psutil, or None where it is not installed, as in Slicer's own Python."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


def exit_name(code: int) -> str:
    """``SIGKILL``, ``0xC0000005`` or ``exit code 3``; a launcher passes a signal on as 128 + signal."""
    if sys.platform == "win32":
        return f"0x{code & 0xFFFFFFFF:08X}" if code < 0 or code > 0xFFFF else f"exit code {code}"
    try:
        return signal.Signals(-code if code < 0 else code - 128).name
    except ValueError:
        return f"exit code {code}"
