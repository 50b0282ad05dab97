"""What Windows refuses to do with files, by the audit events of Python; only where ``kaf`` asks for it."""

from __future__ import annotations

import errno
import os
import sys
import threading
from types import FrameType
from typing import Any

from .places import is_held

_NEVER = set('<>:"|?*')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
_looking = threading.local()


def watch() -> None:
    """From now on; an audit hook cannot be taken back."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    rule = _RULES.get(event)
    if rule is None or getattr(_looking, "now", False) or not _asked_by_kaf():
        return
    _looking.now = True  # what the rule itself looks at is nobody's business
    try:
        rule(*arguments)
    finally:
        _looking.now = False


def _asked_by_kaf() -> bool:
    """Whether the call comes from ``kaf``, by whatever library, and not from a test."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name == "kaf" or name.startswith("kaf."):
            return True
        if name.startswith("test_"):
            return False
        frame = frame.f_back
    return False


def _path(path: Any, folder: Any = -1) -> str:
    text = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(text):
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    return os.path.abspath(text)


def _shared(path: str) -> PermissionError:
    return PermissionError(errno.EACCES, "The process cannot access the file because it is being used by another "
                           "process", path)


def _remove(path: Any, folder: Any = -1) -> None:
    place = _path(path, folder)
    if os.path.exists(place) and is_held(place):
        raise _shared(place)


def _rename(source: Any, target: Any, source_folder: Any = -1, target_folder: Any = -1) -> None:
    first, second = _path(source, source_folder), _path(target, target_folder)
    _check_name(second)
    if os.path.isdir(second):
        raise PermissionError(errno.EACCES, "Access is denied", second)
    for place in (first, second):
        if os.path.exists(place) and is_held(place):
            raise _shared(place)


def _open(path: Any, mode: Any, flags: int) -> None:
    if isinstance(path, (str, bytes, os.PathLike)) and flags & os.O_CREAT:
        _check_name(_path(path))


def _mkdir(path: Any, mode: Any, folder: Any = -1) -> None:
    _check_name(_path(path, folder))


def _check_name(path: str) -> None:
    name = os.path.basename(path)
    bad = _NEVER & set(name) or name.endswith((" ", ".")) or name.partition(".")[0].casefold() in _DEVICES
    if bad or any(ord(character) < 32 for character in name):
        raise OSError(errno.EINVAL, "The filename, directory name, or volume label syntax is incorrect", path)


def _symlink(source: Any, target: Any, folder: Any = -1) -> None:
    raise OSError(1314, "A required privilege is not held by the client", os.fsdecode(target))


_RULES = {"os.remove": _remove, "os.rename": _rename, "open": _open, "os.mkdir": _mkdir, "os.symlink": _symlink}
