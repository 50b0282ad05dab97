"""How much memory is free, and how much this process has taken: by psutil, or by the system where that is missing.

No torch.  Slicer's own process uses this file, and its Python need not have psutil.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from kaf.runtime.processes import optional_psutil

_MEMINFO = Path("/proc/meminfo")


def free_memory() -> int | None:
    """Bytes that a new process could use without swapping; None where neither psutil nor the system tells."""
    psutil = optional_psutil()
    if psutil is not None:
        with contextlib.suppress(Exception):  # a container that hides its files, say
            return int(psutil.virtual_memory().available)
    if sys.platform == "win32":
        return _free_on_windows()
    with contextlib.suppress(OSError, KeyError, ValueError):
        values = dict(line.split(":", 1) for line in _MEMINFO.read_text("ascii").splitlines())
        return int(values["MemAvailable"].split()[0]) * 1024
    return None


def peak_memory() -> int:
    """The most bytes that this process has held at a time; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        psutil = optional_psutil()
        taken = psutil.Process().memory_info() if psutil is not None else None
        return int(getattr(taken, "peak_wset", getattr(taken, "rss", 0)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _free_on_windows() -> int | None:
    """``ullAvailPhys`` of GlobalMemoryStatusEx."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32),
                    *((name, ctypes.c_uint64) for name in ("total", "free", "page_total", "page_free",
                                                           "virtual_total", "virtual_free", "extended_free"))]

    status = Status(length=ctypes.sizeof(Status))
    library = getattr(ctypes, "windll", None)
    if library is None or not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)
