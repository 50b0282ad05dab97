"""How many threads a process may use: what the system, the scheduler and whoever started it leave it.  No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# A scheduler's and a parent's word.  MKL has one of its own, which torch obeys as well.
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_CPUS_PER_TASK")
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def threads_for(asked: int = 0) -> int:
    """Threads for the heavy work of this process, at least 1: those ``asked`` for, or (0) one per physical core shared
    with the processes that torchrun started beside it; never more than are free."""
    beside = _number(os.environ.get("LOCAL_WORLD_SIZE", "")) or 1
    return max(1, min(asked or physical_cores() // beside, free_processors()))


def free_processors() -> int:
    """Logical CPUs that this process may keep busy, at least 1: the fewest of those that it may run on, the
    quota of its control group (a container's ``--cpus``), OMP_NUM_THREADS, MKL_NUM_THREADS, SLURM_CPUS_PER_TASK."""
    return max(1, min([len(_allowed()), *_quotas(), *_limits(os.environ)]))


def physical_cores() -> int:
    """Cores this process may run on, counting each physical core once where Linux tells."""
    cores = set()
    for cpu in _allowed():
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
                cores.add(file.read().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _limits(environment: Mapping[str, str]) -> list[int]:
    found = []
    for name in _LIMITS:
        number = _number(environment.get(name, "").split(",")[0])  # OpenMP takes one number per level of nesting
        # torchrun says 1 by itself where nobody said anything: that is no limit.
        of_torchrun = name == "OMP_NUM_THREADS" and number == 1 and "TORCHELASTIC_RUN_ID" in environment
        if number and not of_torchrun:
            found.append(number)
    return found


def _number(word: str) -> int:
    """A whole number, 0 for anything else."""
    return int(word) if word.strip().isdecimal() else 0


def _quotas() -> list[int]:
    """Whole CPUs that the control groups of this process, and those above them, allow; nothing off Linux."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _CGROUPS / controllers if controllers else _CGROUPS
        inside = Path(path.lstrip("/"))
        for group in [top / inside, *(top / parent for parent in inside.parents)]:
            quota = _first_version(group) if controllers else _second_version(group)
            if quota is not None:
                found.append(int(quota))
    return found


def _second_version(group: Path) -> float | None:
    """cpu.max holds a quota and a period in microseconds, or "max" for none."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _first_version(group: Path) -> float | None:
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
