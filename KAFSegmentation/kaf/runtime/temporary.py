"""A private temporary folder that is removed in the end, even when its owner is killed.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

from kaf.runtime.locks import lock_file

_PARENT = "kaf-segmentation"
_PREFIX = "work-"
_MARK = "kaf-owner"
_TRIES = 20
_WORDS = b"temporary folder of KAF, removed when its process has ended: "


class Scratch:
    """Makes ``work-...`` (mode 0700) in a folder of KAF's own; first removes there what dead owners left.

    The folder goes with :meth:`close`, with the object, or at exit of the interpreter. A file ``kaf-owner`` inside
    says whose it is and is held locked as long as the owner lives, so that the next one can tell.

    Args:
        parent: the folder of KAF's own; in the system's temporary folder unless given.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or default_parent()
        sweep(parent)
        self.path = _new_folder(parent)
        self._finalizer = weakref.finalize(self, _dispose, self.path, _mark(self.path), os.getpid())

    def close(self) -> None:
        """Removes the folder; no effect the second time."""
        self._finalizer()


def default_parent() -> Path:
    """``kaf-segmentation-<number of the user>`` in the system's temporary folder; on Windows that is the user's own."""
    user = "" if sys.platform == "win32" else f"-{os.getuid()}"
    return Path(tempfile.gettempdir()) / f"{_PARENT}{user}"


def sweep(parent: Path | None = None) -> None:
    """Removes the folders of this user whose owner has died without removing them.

    Only what lies in KAF's own folder and has KAF's own mark, which nobody holds: other programs' folders begin with
    ``kaf-``, too.
    """
    parent = parent or default_parent()
    with contextlib.suppress(OSError):  # most often there is no such folder yet
        for folder in parent.glob(f"{_PREFIX}*") if is_ours(parent) else ():
            # Whatever cannot be looked at or locked is not ours to remove.
            with contextlib.suppress(OSError):
                if is_ours(folder) and _abandoned(folder):
                    _remove(folder)


def _new_folder(parent: Path) -> Path:
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it, empty as it was
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_private(parent)))
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_private(parent)))


def _private(parent: Path) -> Path:
    """The folder, made if need be; one of its kind where somebody else has taken the name."""
    parent.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    if is_ours(parent):
        if sys.platform != "win32":
            parent.chmod(0o700)
        return parent
    return Path(tempfile.mkdtemp(prefix=f"{parent.name}-", dir=parent.parent))


def is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user, itself and not by a link."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (sys.platform == "win32" or found.st_uid == os.getuid())


def _mark(folder: Path) -> IO[bytes]:
    """Writes the mark and returns it open: open is what says that the owner lives."""
    name = folder / _MARK
    if sys.platform == "win32":  # an open file cannot be deleted there: that is lock enough
        mark = open(name, "wb")  # noqa: SIM115 - stays open on purpose
    else:
        # Locked before it has its name: a sweep between the two must not find it unlocked.
        early = folder / (_MARK + ".new")
        mark = open(early, "wb")  # noqa: SIM115
        lock_file(mark)  # on a file system without locks nobody else can lock it either
        early.rename(name)
    mark.write(_WORDS + str(os.getpid()).encode())
    mark.flush()
    return mark


def _abandoned(folder: Path) -> bool:
    """True if KAF's mark is there and nobody holds it; raises OSError in every other case but that of another mark."""
    mark = folder / _MARK
    if not stat.S_ISREG(mark.lstat().st_mode):
        return False
    with mark.open("rb") as file:
        if file.read(len(_WORDS)) != _WORDS:
            return False
        if sys.platform != "win32" and lock_file(file) is not False:
            return False
    if sys.platform == "win32":
        os.replace(mark, mark)  # as an open one cannot be
    return True


def _remove(folder: Path) -> None:
    """The folder with all that is in it, the mark last: what is mapped on Windows stays, and goes another time."""
    for path in folder.iterdir():
        if path.name != _MARK:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
    if [path.name for path in folder.iterdir()] in ([], [_MARK]):
        shutil.rmtree(folder, ignore_errors=True)


def _dispose(folder: Path, mark: IO[bytes], owner: int) -> None:
    mark.close()
    if os.getpid() == owner:  # a forked child that exits has no business here
        with contextlib.suppress(OSError):  # it has gone already
            _remove(folder)
        with contextlib.suppress(OSError):  # others work there
            folder.parent.rmdir()
