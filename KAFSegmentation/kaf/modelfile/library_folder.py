"""The folder of a library: which files there are models and what they are called, and one writer at a time.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kaf.runtime import locks
from kaf.runtime.errors import ModelError, OutputError
from kaf.runtime.files import write_problem
from kaf.runtime.plain_text import one_line

SUFFIX = ".safetensors"
_LOCK = ".lock"
_PATIENCE = 30.0  # seconds to wait for another process that writes to the library
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file is nobody's, where the disk has no locks
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}-.*\.safetensors", re.DOTALL)  # as kaf.runtime.files names them
_LONGEST = 200  # bytes of a name; with the suffix and a temporary prefix it stays below 255
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # devices of Windows


def named_models(brought: Path, own: Path) -> dict[str, tuple[Path, bool]]:
    """Name -> file and whether it came with KAF (is in the folder ``brought``); every name once.

    A file of the user's that has the name of one of KAF's (an earlier version let it in, or KAF brought one of that
    name later) goes by that name and a number.
    """
    found = {path.name.removesuffix(SUFFIX): (path, True) for path in model_files(brought)}
    theirs, late = {folded(name) for name in found}, []
    for path in model_files(own):
        name = path.name.removesuffix(SUFFIX)
        if folded(name) in theirs:
            late.append((name, path))
        else:
            found[name] = path, False
    for name, path in late:
        found[free_name(name, {folded(known) for known in found})] = path, False
    return found


def model_files(place: Path) -> list[Path]:
    """The model files of a folder; what a killed process has left there is no model, and goes."""
    found = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else []
    if any(_TEMPORARY.fullmatch(path.name) for path in found):
        with suppress(OSError, OutputError), alone_in(place, patience=0.0):
            pass  # it is swept whenever somebody is alone there
    return [path for path in found if not path.name.startswith(".") and path.is_file()]


@contextmanager
def alone_in(folder: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """The folder, made if need be, with no other process that writes to it, and without what a killed one left.

    Raises:
        OutputError: another process does not come to an end, or the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"cannot be created ({error.strerror})", "Check the disk.") from error
    try:
        lock = locks.take(folder / _LOCK, wait=patience)
    except OSError as error:
        raise OutputError(folder, *write_problem(error)) from error
    if lock is None:
        raise OutputError(folder, "is being written to by another process", "Try again when that is done.")
    try:
        _sweep(folder)
        yield
    finally:
        locks.give_back(lock, folder / _LOCK)


def _sweep(folder: Path) -> None:
    """Only while this process is alone there; a disk that has no locks leaves the age of a file to tell."""
    has_locks = locks.is_held(folder / _LOCK) is not None
    for path in folder.glob(f".*{SUFFIX}"):
        with suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and (
                    has_locks or time.time() - path.stat().st_mtime > _ABANDONED):
                path.unlink()


def free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while folded(name) in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def folded(name: str) -> str:
    """Names that some file system takes for one and the same are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def checked_name(name: str, remedy: str) -> str:
    """The name without the suffix, if a file can have it on every system."""
    name = name.removesuffix(SUFFIX)
    if (not name or name != one_line(name) or name[0] in ".-" or name[-1] in ". "
            or any(c in '/\\:*?"<>|' for c in name) or _RESERVED.fullmatch(name)
            or len(name.encode("utf-8", "replace")) > _LONGEST):
        raise ModelError(f"model name '{one_line(name)}'", "cannot be a file name", remedy)
    return name
