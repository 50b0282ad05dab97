"""Which file a result was made from: recognised by its size, its times and, where these have changed, its digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaf.imaging import metaimage as volume_metaimage
from kaf.imaging import nifti as volume_nifti
from kaf.imaging import nrrd as volume_nrrd
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular, file_digest

_QUICK = ("path", "size", "modified_ns", "changed_ns")


def files_of(scan: Path) -> list[Path]:
    """All files of a scan: those of a DICOM folder, or a file and those where its header says that its voxels are."""
    if scan.is_dir():
        return sorted(path for path in scan.rglob("*") if path.is_file())
    try:
        files = [scan, *(path for path in _data_files(scan) if path != scan)]
        for path in files:
            check_regular(path)  # who opens a named pipe waits for ever
        return files
    except (InputError, OSError):  # damaged: whoever reads it says so
        return [scan]


def _data_files(scan: Path) -> tuple[Path, ...]:
    """Where the header of a file says that the voxels are."""
    name = scan.name.lower()
    if volume_nrrd.is_mine(scan):
        return volume_nrrd.read_header(scan)[0].files
    if volume_metaimage.is_mine(scan):
        return volume_metaimage.read_header(scan)[0].files
    if name.endswith(".hdr"):
        return volume_nifti.read_header(scan).stored.files
    if name.endswith((".img", ".img.gz")):
        beside = scan.with_name(scan.name[:name.rindex(".img")] + ".hdr")
        return (beside,) if beside.is_file() else ()
    return ()


def scan_digest(scan: Path) -> str:
    """SHA-256 of all files of a scan.

    Raises:
        OSError: one of them cannot be read.
    """
    files = files_of(scan)
    if scan.is_dir() or len(files) == 1:
        return file_digest(scan)
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()


def quick_stamp(scan: Path) -> dict[str, Any]:
    """Its absolute path, its bytes, and when its content and its entry on the disk were last changed.

    Raises:
        OSError: it is not there.
    """
    states = [path.stat() for path in files_of(scan)] or [scan.stat()]
    return {"path": os.path.abspath(scan), "size": sum(state.st_size for state in states),
            "modified_ns": max(state.st_mtime_ns for state in states),
            "changed_ns": max(state.st_ctime_ns for state in states)}


def stamp_of(scan: str | Path) -> dict[str, Any]:
    """What to keep beside a result, JSON-ready, taken before the scan is read: a scan that is replaced meanwhile is
    another one then.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if not os.path.isdir(scan):
            check_regular(scan)
        return {**quick_stamp(Path(scan)), "sha256": scan_digest(Path(scan))}
    except OSError as error:
        raise InputError(scan, f"cannot be read ({error.strerror or error})", "Check the file.") from error


def is_same(scan: Path, stamp: object) -> bool:
    """Whether a scan is still the one of the stamp; a copy of it is, under any name."""
    if not isinstance(stamp, Mapping) or not isinstance(stamp.get("sha256"), str):
        return False
    try:
        now = quick_stamp(scan)
        if all(now[name] == stamp.get(name) for name in _QUICK):
            return True
        return bool(now["size"] == stamp.get("size") and scan_digest(scan) == stamp["sha256"])
    except OSError:
        return False
