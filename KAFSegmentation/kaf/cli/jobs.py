"""``kaf jobs``: the runs in a folder, and how they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.cli.run_line import duration
from kaf.runs.start import Job, find
from kaf.runtime.plain_text import one_line


class JobsCommand(Command):
    """List the runs in a folder and its subfolders, newest first: state, progress, time left."""

    folder: CliPositionalArg[str] = Field(description="folder that contains the run folders")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(JobsCommand, arguments, "jobs")
    top = Path(command.folder)
    rows = [_row(job) for job in find(top)]
    lines = []
    for row in rows:
        run = Path(row["folder"])
        name = str(run.relative_to(top)) if run != top else run.name
        share = "" if row["progress"] is None else f"{100 * row['progress']:.0f} %"
        left = "" if row["seconds_left"] is None else f"{duration(row['seconds_left'])} left"
        words = "  ".join(filter(None, (share, left, row["error"] or row["note"])))
        lines.append(one_line(f"{row['state']:9} {row['verb']:9} {name}  {words}"))
    console.result({"jobs": rows}, "\n".join(lines) or f"no runs in {top}")


def _row(job: Job) -> dict[str, Any]:
    state, progress = job.state(), job.progress()
    return {"folder": str(job.folder), "verb": job.verb, "state": state, "created": job.created, "queue": job.queue,
            "progress": progress.done / progress.total if progress is not None and progress.total else None,
            "seconds_left": job.seconds_left, "error": job.error, "note": job.note}
