"""Trainings as jobs of their own: started from a panel, they outlive it, and whoever looks at the folder finds them.

Only the standard library: Slicer's own process uses this file.  A panel polls from a timer::

    job = start(python, "pretrain", {"data": "scans", "minutes": 30}, "runs/first", queue="cuda:0")
    ...                      # every 500 ms; after a restart the same with each of find("runs"):
    events, place = job.events(place)
    show(events, job.state(), job.seconds_left)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaf.runs import cli_runs as job_foreign
from kaf.runs.command_line import cluster_command, cluster_script, command, save_settings
from kaf.runs.job import (
    ALIVE,
    FAILED,
    FINISHED,
    GRACE,
    LOST,
    QUEUED,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    VERBS,
    Job,
)
from kaf.runs.job_folder import NAME
from kaf.runs.launch import launch
from kaf.runtime.errors import InputError, OutputError, SettingsError

__all__ = ["ALIVE", "FAILED", "FINISHED", "GRACE", "LOST", "QUEUED", "RUNNING", "STARTING", "STOPPED", "STOPPING",
           "VERBS", "Job", "cluster_command", "cluster_script", "command", "find", "save_settings", "start"]
_NOT_BELOW = {NAME, "checkpoints", "pictures"}
_DEPTH = 6
_ALONE = ("pretrain", "finetune")  # want a folder of their own


def start(python: str | os.PathLike[str], verb: str, values: Mapping[str, Any], folder: str | os.PathLike[str],
          queue: str = "", env: Mapping[str, str | None] | None = None) -> Job:
    """Start ``kaf <verb>`` as a process of its own that writes the run ``folder``; returns at once.

    python: the interpreter; in Slicer PythonSlicer, or another with ``env`` as for :class:`kaf.worker.client.Client`.
    values: the verb's settings, JSON-ready; ``output`` becomes ``folder``; with ``overwrite`` or ``resume`` for a
    folder that contains a run.  queue: jobs of the same name (a device's, best) run one after the other.

    Raises:
        SettingsError: no such verb, or values that JSON cannot hold.
        OutputError: the folder cannot be written, is in use, or holds something and neither overwrite nor
            resume is set.
        WorkerError: the interpreter cannot be started.
    """
    folder = Path(folder).absolute()
    if verb not in VERBS:
        raise SettingsError(verb, "cannot be run as a job", f"Choose one of {', '.join(VERBS)}.")
    if not (values.get("overwrite") or values.get("resume")):
        _check_free(folder, verb)
    launch(folder, os.fspath(python), verb, {**values, "output": str(folder)}, queue, env,
           again=bool(values.get("resume")))
    return Job(folder)


def _check_free(folder: Path, verb: str) -> None:
    """Whether a run can begin there; where a job has failed before it wrote anything, another one may."""
    content = [file for file in folder.iterdir() if file.name != NAME and not file.name.startswith(".")] \
        if folder.is_dir() else []
    if verb in _ALONE and content and not (folder / "settings.json").is_file():
        raise OutputError(folder, "contains other files", "Choose an empty or a new folder.")
    if content and (verb in _ALONE or (verb != "compare" and (folder / NAME).is_dir())):
        raise OutputError(folder, "already contains a run", "Resume it, overwrite it, or choose another folder.")


def find(folder: str | os.PathLike[str], depth: int = _DEPTH) -> list[Job]:
    """All runs in the folder and below it, the newest first; runs inside a run (a comparison's) are not listed.

    depth: how far below: 1 looks into its own folders only, which takes no time wherever it is.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    top = Path(folder)
    if not top.is_dir():
        raise InputError(top, "there is no such folder", "Check the path, and that its disk is connected.")
    def failed(error: OSError) -> None:
        if error.filename == os.fspath(top):
            raise InputError(top, f"cannot be read ({error.strerror})", "Check its permissions.") from error

    found = []
    for place, folders, _ in os.walk(top, onerror=failed):
        here = Path(place)
        try:
            is_run = (here / NAME / "job.json").is_file() or job_foreign.is_run(here)
        except OSError:  # it may not be looked into
            is_run = False
        if is_run:
            folders.clear()
            with contextlib.suppress(InputError, OSError):  # it has gone meanwhile
                found.append(Job(here))
            continue
        deep = len(here.relative_to(top).parts) >= depth
        folders[:] = [] if deep else [name for name in folders if name not in _NOT_BELOW and name[:1] != "."]
    return sorted(found, key=lambda job: (-job.created, str(job.folder)))
