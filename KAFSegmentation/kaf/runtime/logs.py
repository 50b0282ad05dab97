"""Log files of processes: where they are, how the part of one process begins, and its last line.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kaf.runtime.files import open_regular

_LAST = 4096  # bytes in which the last line is looked for
_LONGEST = 300  # characters of it that a message can take
_HEADER = re.compile(r"--- \d{4}-\d\d-\d\d ")


def default_log() -> Path:
    """``worker.log`` where this system keeps a user's logs."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "kaf" / "Logs"
    elif sys.platform == "darwin":
        folder = home / "Library" / "Logs" / "kaf"
    else:
        folder = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "kaf" / "log"
    return folder / "worker.log"


def open_log(path: Path, fallback: Path, rotate: bool) -> Path:
    """Makes sure that a log can be written and returns where.

    Args:
        path: where it is wanted.
        fallback: folder for it if it cannot be there.
        rotate: move an existing one aside, to ``<name>.1<suffix>``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if rotate and path.exists():
            with contextlib.suppress(PermissionError):  # Windows, while another worker writes to it
                path.replace(path.with_name(f"{path.stem}.1{path.suffix}"))
        path.open("ab").close()
    except OSError:
        return fallback / path.name
    return path


def header(command: Sequence[str]) -> bytes:
    """The line with which a process begins in its log: when, and with which command."""
    return f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {list(command)}\n".encode("utf-8", "backslashreplace")


def last_line(path: Path, since: int = 0) -> str:
    """The last line that a process has written to its log after byte ``since``; "" if none, or it cannot be read."""
    try:
        with open_regular(path) as file:
            file.seek(max(since, file.seek(0, os.SEEK_END) - _LAST))
            return last_line_of(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""


def last_line_of(text: str) -> str:
    """The last line of ``text`` that is not blank, at most 300 characters of it; "" where that is only a header."""
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return "" if _HEADER.match(last) else last[:_LONGEST]
