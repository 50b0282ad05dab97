"""The devices that a run can be asked to use, and the CPU threads that the worker may take."""

from __future__ import annotations

import os

from kaf.runtime.threads import free_processors

DEVICES = ("auto", "cpu", "cuda", "mps")
REMOTE = "remote"
"""The word for another computer; it is never a setting of a run, nor in a scene."""


def knownDevice(name: str) -> str:
    """The device, or "auto" for a name that another version may have written into the scene."""
    return name if name in DEVICES else "auto"


def workerThreads() -> int:
    """All free CPUs but one, so that Slicer stays responsive; both of two; OMP_NUM_THREADS if it is set."""
    free = free_processors()
    return free - 1 if free > 2 and "OMP_NUM_THREADS" not in os.environ else free
