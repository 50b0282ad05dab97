"""Files are whole or absent: written under a temporary name in the same folder, fsynced, then renamed.

And only regular files are read: opening a named pipe waits for ever.  No torch, no heavy import.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar, cast

from kaf.runtime.errors import InputError, OutputError

T = TypeVar("T")
_WORDS = {
    errno.ENOSPC: ("there is no space left on the disk", "Free some space or choose another folder."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space or choose another folder."),
    errno.EACCES: ("you may not write there", "Choose another folder, or have its permissions changed."),
    errno.EPERM: ("you may not write there", "Choose another folder, or have its permissions changed."),
    errno.EROFS: ("the disk is read-only", "Choose a folder on another disk."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name or folder."),
    errno.EFBIG: ("the file grows larger than a limit allows", "Choose a folder on another disk."),
}
_PATIENCE, _PAUSE = 2.0, 0.02  # seconds for others to let go of a file, and between two tries

_UNREADABLE = {
    errno.ENOENT: ("does not exist", "Check the path, and that its disk is connected."),
    errno.ENOTDIR: ("does not exist", "Check the path: a part of it that should be a folder is a file."),
    errno.ELOOP: ("is a symbolic link that leads back to itself", "Remove the link, or give the file itself."),
    errno.ENAMETOOLONG: ("has a name that is too long", "Check the path."),
}
_SPECIAL = {
    stat.S_IFDIR: "is a folder", stat.S_IFIFO: "is a named pipe (FIFO)", stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device", stat.S_IFBLK: "is a device",
}


def check_regular(path: str | Path) -> os.stat_result:
    """The state of a regular file, or of one that a link leads to; asked without opening it.

    Opening a named pipe waits for a writer, reading a device may never end: ask before any ``open`` of a file that
    was found or named by somebody.

    Raises:
        InputError: missing, a folder, a pipe, a socket, a device, a link in a circle, or out of reach.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        words = _UNREADABLE.get(error.errno or 0)
        raise InputError(path, *(words or (f"cannot be read ({error.strerror or error})",
                                           "Check its permissions."))) from error
    except ValueError as error:  # a NUL in the path, or a character that the file system has no bytes for
        raise InputError(ascii(str(path)), "is a name that no file can have", "Check the path.") from error
    if not stat.S_ISREG(found.st_mode):
        reason = _SPECIAL.get(stat.S_IFMT(found.st_mode), "is not a regular file")
        raise InputError(path, reason, "Give a regular file, or take it out of the folder.")
    return found


def is_regular(path: str | Path) -> bool:
    """Whether :func:`check_regular` finds nothing wrong with it."""
    try:
        check_regular(path)
    except InputError:
        return False
    return True


def open_regular(path: str | Path) -> BinaryIO:
    """``open(path, "rb")`` that never waits: OSError for what is no regular file, as for one that is missing."""
    try:
        check_regular(path)
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise OSError(errno.EINVAL, error.reason, str(path)) from error
    return open(path, "rb")


def open_to_append(path: str | Path, **how: Any) -> TextIO:
    """``open(path, "a", **how)`` that never waits for a reader: OSError for what is there and is no regular file."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return cast(TextIO, open(path, "a", **how))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in order of their names.

    Raises:
        OSError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """The path, if a file may be made there; asked before hours of work rather than after.

    Raises:
        OutputError: it exists and ``overwrite`` is not set, is a folder, or its folder is missing or not
            writable.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(path, "is a folder", "Give the name of a file in it.")
    if path.exists() and not overwrite:
        raise OutputError(path, "exists already", "Choose another name, or pass --overwrite to replace it.")
    if not path.parent.is_dir():
        raise OutputError(path, f"the folder {path.parent} does not exist", "Create it, or correct the path.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(path, *_WORDS[errno.EACCES])
    return path


def write_problem(error: OSError) -> tuple[str, str]:
    """What is wrong and what to do, for an :class:`OutputError`."""
    return _WORDS.get(error.errno or 0, (f"cannot be written ({error.strerror or error})", "Check the disk."))


@contextmanager
def atomic_path(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Gives a hidden temporary path beside ``path``; on success it becomes ``path``, else it is removed.

    The temporary name ends like the real one, because writers choose their format by the suffix.

    Raises:
        OutputError: as :func:`check_output`, or the disk refuses (any OSError inside the block).
    """
    path = check_output(path, overwrite)
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        if not overwrite:
            check_output(path)  # somebody may have written it meanwhile
        move(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(path, *write_problem(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_write(path: str | Path, content: bytes | str, overwrite: bool = True) -> None:
    """Writes bytes, or text as UTF-8, so that the file is at any moment the old one or the new one."""
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def replace_folder(temporary: Path, folder: Path) -> None:
    """Renames a folder of finished files to ``folder``, which is missing or empty, after its files were fsynced.

    Raises:
        OSError: the disk refuses, or ``folder`` holds something.
    """
    for file in temporary.iterdir():
        _sync(file)
    _sync_folder(temporary)
    move(temporary, folder)
    _sync_folder(folder.parent)


def move(source: str | Path, target: str | Path) -> None:
    """``os.replace`` with patience (see :func:`patiently`); the target of a folder is missing or an empty folder.

    Raises:
        OSError: as ``os.replace``.
    """
    def replace() -> None:
        if sys.platform == "win32" and os.path.isdir(source) and os.path.isdir(target):
            os.rmdir(target)  # no folder is replaced there, not even an empty one
        os.replace(source, target)

    patiently(replace)


def remove(path: str | Path) -> None:
    """Deletes a file, if it is there, with patience (see :func:`patiently`).

    Raises:
        OSError: as ``os.unlink``, but not that the file is missing.
    """
    with suppress(FileNotFoundError):
        patiently(lambda: os.unlink(path))


def patiently(action: Callable[[], T]) -> T:
    """What ``action`` returns; tried again for two seconds as long as it is not permitted.

    On Windows, and on its network drives everywhere, what a virus scanner, an indexer or a reader has open cannot be
    renamed, replaced, deleted or written to until they are done, which takes them a moment.

    Raises:
        PermissionError: it was still not permitted after the two seconds; any other exception comes at once.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError:
            if time.monotonic() >= end:
                raise
        time.sleep(_PAUSE)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable; folders cannot be opened on Windows."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some network file systems refuse; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
