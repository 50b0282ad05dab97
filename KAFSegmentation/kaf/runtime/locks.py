"""File locks of the operating system, in place of a heartbeat: whoever holds one is alive, however it ends.

Every lock of KAF is one of these.  Only the standard library: Slicer's own process uses this file, and hands the lock
of a job over to the process that works on it, which lock libraries do not do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kaf.runtime.files import open_regular

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_AT = 1 << 30  # Windows keeps others from reading what is locked: far behind the words in the file
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_LONGEST_PAUSE = 0.2  # seconds between two tries
INHERITED = sys.platform != "win32"
"""Whether a child that is given the open file holds the lock too."""


class BusyError(Exception):
    """Another process holds the lock."""


def take(path: Path, wait: float = 0.0) -> IO[bytes] | None:
    """The open file, locked until it is closed by everybody who has it; None where another holds it.

    On a disk without locks it is given unlocked.  ``wait``: seconds to try again, which may be infinite; somebody who
    looks whether it is held, holds it for a moment.

    Raises:
        OSError: the file can be neither made nor opened.
    """
    end, pause = time.monotonic() + wait, 0.01
    while True:
        with contextlib.suppress(FileNotFoundError):
            open_regular(path).close()  # not a named pipe, which would wait for a reader
        file = path.open("ab")
        busy = lock_file(file)
        if not busy and _is_same(file, path):
            return file
        file.close()
        if busy and time.monotonic() >= end:
            return None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


@contextlib.contextmanager
def hold(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock inside the block; the file stays, for the next one.

    Raises:
        BusyError: another process holds it, still after ``wait`` seconds.
        OSError: the file can be neither made nor opened.
    """
    file = take(path, wait)
    if file is None:
        raise BusyError(path)
    with file:
        yield


def give_back(file: IO[bytes], path: Path) -> None:
    """Unlock what :func:`take` gave, and take the file away."""
    if sys.platform != "win32":  # while it is ours: the next one makes a new file
        path.unlink(missing_ok=True)
    file.close()
    if sys.platform == "win32":
        with contextlib.suppress(OSError):  # the next one has it open
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock; None on a disk without locks, which tells nothing."""
    try:
        with open_regular(path) as file:
            return lock_file(file, shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return None


def lock_file(file: IO[bytes], shared: bool = False) -> bool | None:
    """False: it is ours now; True: another's; None: there are no locks here.

    ``shared``: several who only look do not take each other for the holder.
    """
    try:
        if sys.platform == "win32":
            file.seek(_AT)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in _BUSY else None
    return False


def _is_same(file: IO[bytes], path: Path) -> bool:
    """Whether the open file is still the one of that name: another may have tidied it away before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
