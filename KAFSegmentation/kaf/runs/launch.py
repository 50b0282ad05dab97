"""Writing down what a job is to do, and starting the child that does it.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaf._version import __version__
from kaf.runs.job_folder import FORMAT, JobFolder, read_json
from kaf.runtime import locks
from kaf.runtime import processes as job_process
from kaf.runtime.errors import OutputError, SettingsError
from kaf.runtime.files import atomic_write, remove, write_problem


def as_json(values: Mapping[str, Any], verb: str) -> str:
    """The settings of a verb as the text of a file for ``--settings``.

    Raises:
        SettingsError: they hold what JSON does not.
    """
    try:
        return json.dumps(dict(values), indent=1, sort_keys=True, default=os.fspath, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise SettingsError(verb, f"its settings cannot be written as JSON ({error})",
                            "Use numbers, strings, lists, dictionaries and paths only.") from error


def launch(run: Path, python: str, verb: str, values: dict[str, Any], queue: str,
           env: Mapping[str, str | None] | None, again: bool) -> None:
    """Write the job into the run folder and start it; with ``again`` what was said there before is kept.

    Raises:
        SettingsError: values that JSON cannot hold.
        OutputError: the folder cannot be written, or another process works on it.
        WorkerError: the interpreter cannot be started.
    """
    words = as_json(values, verb)
    files = JobFolder(run)
    if os.path.dirname(python):  # else it is looked for where programs are
        python = os.path.abspath(python)
    try:
        _check_own(files)
        files.path.mkdir(parents=True, exist_ok=True)
        lock = locks.take(files.lock, wait=2.0)
        if lock is None:
            raise OutputError(run, "is in use by another process", "Stop that process, or wait for it.")
        with lock:
            _keep(files) if again else _clear(files)
            attempt = {"id": secrets.token_hex(8), "started": round(time.time(), 3),
                       "offset": files.events.stat().st_size if files.events.exists() else 0}
            old = read_json(files.job)
            place = str(old.get("place") or "")
            command = [python, "-m", "kaf.cli.job_process", str(run.absolute()), str(attempt["id"])]
            asked: dict[str, Any] = {
                "format": FORMAT, "version": __version__, "verb": verb, "python": python, "queue": queue,
                "command": command, "values": json.loads(words), "attempts": [*old.get("attempts", []), attempt],
                "created": old.get("created", attempt["started"]),
                "place": place if place and Path(place).is_dir() else str(Path.cwd())}
            atomic_write(files.settings, words)
            files.make_room()
            atomic_write(files.job, json.dumps(asked, indent=1) + "\n")
            job_process.start_apart(command, files.log, env, lock)
    except OSError as error:
        raise OutputError(run, *write_problem(error)) from error


def _keep(files: JobFolder) -> None:
    """What the attempts before have said, and a run that was not started as a job."""
    remove(files.asked_to_stop)
    reported = files.run / "events.jsonl"
    if reported.is_file() and not files.events.exists():
        shutil.copyfile(reported, files.events)


def _check_own(files: JobFolder) -> None:
    """Whether what is in the job's folder was written by a job: somebody's own folder of that name is not touched."""
    there = [path for path in files.path.iterdir() if not path.name.startswith(".")] if files.path.is_dir() else []
    strange = [path.name for path in there if path not in (*files.all, files.lock)]
    if strange or (there and files.lock not in there):  # which every job makes first
        raise OutputError(files.path, "contains other files", "Choose another folder for the run.")


def _clear(files: JobFolder) -> None:
    try:
        remove(files.log)
    except PermissionError as error:  # Windows: a child that has just been started, and has no lock yet, writes there
        if not os.access(files.path, os.W_OK):
            raise
        raise OutputError(files.run, "is in use by another process", "Stop that process, or wait for it."
                          ) from error
    for file in files.all:
        remove(file)
