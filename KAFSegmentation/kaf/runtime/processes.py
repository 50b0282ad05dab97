"""A process of its own: started apart from this one, it goes on when this one ends; and its hard end.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from kaf.runtime.environment import child_environment
from kaf.runtime.errors import WorkerError

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
    module: up to Python 3.10 what lies there is imported before anything else, and where a run was started is told by
    its folder, which may come from somebody else.

    Raises:
        WorkerError: the program cannot be started.
        OSError: the log cannot be written.
    """
    with log.open("ab") as words:
        words.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {list(command)}\n".encode("utf-8", "backslashreplace"))
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


def end(pid: int, group: int) -> None:
    """End a process and its whole group for good; it is the caller who knows that it is the right one."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], check=False, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       creationflags=_NO_WINDOW)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
