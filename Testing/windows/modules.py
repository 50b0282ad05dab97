"""The modules that differ on Windows, as ``kaf`` uses them; whatever they do not have is not there."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_CHILD = str(Path(__file__).parent / "child")
_ENDINGS = {signal.SIGKILL: 1, signal.SIGTERM: 1, signal.SIGSEGV: 0xC0000005, signal.SIGABRT: 0xC0000409,
            signal.SIGILL: 0xC000001D}


class StandIn(ModuleType):
    """A module with some names changed or missing; all else is the real one's, to which new values go, too."""

    def __init__(self, real: ModuleType, missing: tuple[str, ...] = (), **own: Any):
        super().__init__(real.__name__, f"{real.__name__} as on Windows")
        self.__dict__.update(own)
        self.__dict__.update(_real=real, _missing=frozenset(missing), _own=frozenset(own), _before={})

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' on Windows")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            self.__dict__[name] = value
        else:
            self._before.setdefault(name, getattr(self._real, name, value))
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        """Back to what it was: how pytest takes a patch back from a module that does not hold the name itself."""
        setattr(self._real, name, self._before.pop(name))


class Environment(MutableMapping[str, str]):
    """``os.environ`` without case: names are listed in capitals."""

    def _found(self, name: str) -> str:
        return next((known for known in os.environ if known.upper() == name.upper()), name)

    def __getitem__(self, name: str) -> str:
        return os.environ[self._found(name)]

    def __setitem__(self, name: str, value: str) -> None:
        os.environ[self._found(name)] = value

    def __delitem__(self, name: str) -> None:
        del os.environ[self._found(name)]

    def __iter__(self) -> Iterator[str]:
        return iter({name.upper() for name in os.environ})

    def __len__(self) -> int:
        return len({name.upper() for name in os.environ})


def no_kill(*_: Any) -> None:
    """On Windows ``os.kill`` ends a process whatever the signal, 0 included."""
    raise AssertionError("os.kill would end the process here")


def refuse_link(source: Any, target: Any, **_: Any) -> None:
    """Links are for administrators."""
    raise OSError(1314, "A required privilege is not held by the client", os.fsdecode(target))


class Popen(subprocess.Popen):
    """With Windows' flags and without POSIX's; the environment is what Windows would make of it."""

    def __init__(self, *arguments: Any, creationflags: int = 0, env: Any = None, **more: Any):
        for name in ("start_new_session", "preexec_fn", "pass_fds", "process_group"):
            if more.get(name):
                raise ValueError(f"{name} is not supported on Windows platforms")
        super().__init__(*arguments, env=_child_environment(env), start_new_session=bool(creationflags & 0x200), **more)

    def poll(self) -> int | None:
        return _as_on_windows(super().poll())

    def wait(self, timeout: float | None = None) -> int:
        return _as_on_windows(super().wait(timeout)) or 0


def _as_on_windows(code: int | None) -> int | None:
    return _ENDINGS.get(-code, 1) if code is not None and code < 0 else code  # type: ignore[call-overload]


def _child_environment(given: Any) -> dict[str, str]:
    values = dict(os.environ if given is None else given)
    names = {name.upper() for name in values}
    if len(names) < len(values) and given is not None:
        raise AssertionError(f"the same name twice: {sorted(values)}")
    if "SYSTEMROOT" not in names:
        raise AssertionError("without SystemRoot no Python starts on Windows")
    return with_stand_in(values)


def with_stand_in(values: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a Python starts under the stand-in."""
    path = [part for part in values.get("PYTHONPATH", "").split(os.pathsep) if part and part != _CHILD]
    return {**values, "PYTHONPATH": os.pathsep.join([_CHILD, *path]), "KAF_WINDOWS": os.environ["KAF_WINDOWS"]}


def run(command: Any, *arguments: Any, **more: Any) -> Any:
    """``subprocess.run``; ``taskkill`` ends a process and all that it started."""
    if command[0] != "taskkill":
        with Popen(command, *arguments, **more) as process:
            process.wait()
        return subprocess.CompletedProcess(command, process.returncode)
    assert command[1:4] == ["/F", "/T", "/PID"], command
    _end_tree(int(command[4]))
    return subprocess.CompletedProcess(command, 0)


def _end_tree(pid: int) -> None:
    children = [int(other.name) for other in Path("/proc").iterdir() if other.name.isdigit() and _parent(other) == pid]
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    for child in children:
        _end_tree(child)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def raise_signal(number: int) -> None:
    """On Windows it also wakes a main thread that sleeps."""
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def locking(number: int, mode: int, count: int) -> None:
    """``msvcrt.locking`` of one byte: a lock of the open file, which another opening of it meets."""
    assert count == 1
    try:
        fcntl.flock(number, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


def stand_ins() -> dict[str, ModuleType]:
    """Name -> what ``kaf`` gets when it imports it; None where there is no such module."""
    windll = SimpleNamespace(ole32=SimpleNamespace(CLSIDFromString=lambda *_: 1),
                             kernel32=SimpleNamespace(GlobalMemoryStatusEx=lambda *_: 0))
    msvcrt = ModuleType("msvcrt")
    msvcrt.__dict__.update(locking=locking, LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2)
    return {
        "sys": StandIn(sys, platform="win32"),
        "os": StandIn(os, ("killpg", "getpgrp", "getpgid", "setsid", "getuid", "geteuid", "fork", "mkfifo", "statvfs",
                           "O_NONBLOCK", "sched_getaffinity", "sysconf"), name="nt", environ=Environment(),
                      kill=no_kill, symlink=refuse_link,
                      getenv=lambda name, default=None: Environment().get(name, default)),
        "signal": StandIn(signal, ("SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGBUS",
                                   "pthread_kill", "pthread_sigmask", "alarm", "setitimer"), CTRL_BREAK_EVENT=1,
                          raise_signal=raise_signal),
        "subprocess": StandIn(subprocess, Popen=Popen, run=run, CREATE_NEW_PROCESS_GROUP=0x200,
                              CREATE_NO_WINDOW=0x08000000, CREATE_BREAKAWAY_FROM_JOB=0x01000000),
        "ctypes": StandIn(ctypes, windll=windll),
        "msvcrt": msvcrt,
    }


MISSING = ("fcntl", "resource", "pwd", "grp", "termios", "pty")
