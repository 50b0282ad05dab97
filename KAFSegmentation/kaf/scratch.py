"""A private temporary folder that is removed in the end, even when its owner is killed.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

_PREFIX = "kaf-"
_MARK = "pid"


class Scratch:
    """Makes ``kaf-...`` (mode 0700) in the system's temporary folder; first removes what dead owners left.

    The folder goes with :meth:`close`, with the object, or at exit of the interpreter. A file ``pid`` inside
    names the owner and is held locked as long as the owner lives, so that the next one can tell.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._finalizer = weakref.finalize(self, _dispose, self.path, _mark(self.path), os.getpid())

    def close(self) -> None:
        """Removes the folder; no effect the second time."""
        self._finalizer()


def sweep() -> None:
    """Removes the folders of this user whose owner has died without removing them."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        # Whatever cannot be looked at or locked is not ours to remove.
        with contextlib.suppress(OSError):
            if folder.is_dir() and not folder.is_symlink() and _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _mark(folder: Path) -> IO[bytes]:
    """Writes the mark and returns it open: open is what says that the owner lives."""
    name = folder / _MARK
    if sys.platform == "win32":  # an open file cannot be deleted there: that is lock enough
        mark = open(name, "wb")  # noqa: SIM115 - stays open on purpose
    else:
        # Locked before it has its name: a sweep between the two must not find it unlocked.
        early = folder / (_MARK + ".new")
        mark = open(early, "wb")  # noqa: SIM115
        with contextlib.suppress(OSError):  # a file system without locks: nobody else can lock it either
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        early.rename(name)
    mark.write(str(os.getpid()).encode())
    mark.flush()
    return mark


def _abandoned(folder: Path) -> bool:
    """True if the mark is there and nobody holds it; raises OSError in every other case."""
    mark = folder / _MARK
    if sys.platform == "win32":
        mark.unlink()
    else:
        if folder.stat().st_uid != os.getuid():
            return False
        with mark.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _dispose(folder: Path, mark: IO[bytes], owner: int) -> None:
    mark.close()
    if os.getpid() == owner:  # a forked child that exits has no business here
        shutil.rmtree(folder, ignore_errors=True)
