"""The folder of the cache: made for it alone, and the only place where entries of the cache are ever removed."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from kaf.runtime import user_folders
from kaf.runtime.errors import OutputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.files import atomic_write

PARTS = frozenset(("case.json", "image.npy", "labels.npy", "superpixels.npy", "counts.npy", "positions.npy",
                   "response.npy", "descriptors.npy", "ignored.npy"))
"""The files of an entry."""
TAG = "CACHEDIR.TAG"  # https://bford.info/cachedir/: backups leave such a folder out
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n"
_OWNER = "# This folder was made by KAF for preprocessed scans; all that is in it can be made again.\n"
_NAME = "kaf-slices"
_ENTRY = re.compile(r"[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
_ABANDONED = 24 * 3600.0  # seconds after which a half-written entry has no process any more


def open_cache(chosen: str | Path = "") -> Path:
    """The folder of the cache, made where it is not there: ``kaf-slices`` in the chosen folder, or the user's own.

    It is readable by its owner only, as what is in it was made from patients' scans.

    Raises:
        OutputError: it cannot be made, or is there already and holds files that are not the cache's.
    """
    folder = Path(chosen).expanduser() if chosen else user_folders.cache_folder() / "slices"
    if is_cache(folder):
        return folder
    folder = folder / _NAME if chosen else folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if not is_cache(folder):
            _adopt(folder)
    except OSError as error:
        raise OutputError(folder, f"the cache folder cannot be made ({error.strerror})",
                          "Set --cache to a place that you can write to.") from error
    return folder


def is_cache(folder: Path) -> bool:
    """Whether KAF made this folder for its cache."""
    with suppress(OSError):
        return (folder / TAG).read_bytes().startswith((_SIGNATURE + _OWNER).encode())
    return False


def _adopt(folder: Path) -> None:
    """Mark a folder that is new, or was made by a version that left no mark."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and not _is_entry(path):
            raise OutputError(folder, f"is no folder that KAF made for its cache: {path.name} is in it",
                              "Set --cache to another place, or move that away.")
    folder.chmod(0o700)
    atomic_write(folder / TAG, _SIGNATURE + _OWNER)


def new_entry(folder: Path) -> Path:
    """An empty folder to write an entry into, before it is given its name."""
    path = folder / f".tmp-{secrets.token_hex(8)}"
    path.mkdir()
    return path


def remove_entry(path: Path) -> bool:
    """Remove an entry, or one half-written; only what the cache writes, in a folder of its own.  Whether it is gone."""
    if not (is_cache(path.parent) and _is_entry(path, _ENTRY, _TEMPORARY)):
        return False
    with suppress(OSError):  # Windows: another process has it open
        if _ENTRY.fullmatch(path.name):  # all at once, so that nobody sees half an entry
            path = path.replace(path.with_name(f".tmp-{secrets.token_hex(8)}"))
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
        return True
    return False


def _is_entry(path: Path, *names: re.Pattern[str]) -> bool:
    """Whether a folder has such a name and holds nothing but files of an entry."""
    if not any(name.fullmatch(path.name) for name in names or (_ENTRY,)):
        return False
    with suppress(OSError):
        return path.is_dir() and not path.is_symlink() and all(
            file.name in PARTS and file.is_file() and not file.is_symlink() for file in path.iterdir())
    return False


def prune_cache(folder: Path, limit: float, keep: Collection[Path | None] = (), on_event: OnEvent = ignore) -> int:
    """Remove the entries that were used longest ago until the cache holds at most ``limit`` GB; the bytes removed.

    ``limit`` 0: no limit.  ``keep``: entries that are in use and stay.  Every removal is reported in an event.
    """
    _remove_abandoned(folder)
    if not limit:
        return 0
    total, removed, names = 0.0, 0, []
    for _, size, entry in sorted(_entries(folder), reverse=True):
        total += size
        if total > limit * 1e9 and entry not in keep and remove_entry(entry):
            removed += size
            names.append(entry.name[:8])
    if names:
        on_event(Message(f"Removed from the cache {folder}, which held more than its {limit:g} GB (--cache-limit): "
                         f"{len(names)} preprocessed scans that were used longest ago, {removed / 1e9:.3g} GB "
                         f"({', '.join(names)})."))
    return removed


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of the last use, bytes and path of every entry."""
    for path in folder.iterdir() if is_cache(folder) else ():
        with suppress(OSError):  # another process may have removed it
            if _is_entry(path):
                yield path.stat().st_mtime, sum(file.stat().st_size for file in path.iterdir()), path


def _remove_abandoned(folder: Path) -> None:
    """Entries that were being written, or removed, by a process that was killed."""
    with suppress(OSError):
        for path in folder.glob(".tmp-*"):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                remove_entry(path)
