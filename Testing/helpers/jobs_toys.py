"""Toy commands for jobs: a Python whose ``kaf pretrain`` counts steps, fails or dies as its settings say.

Real child processes, real files and signals; only the training is made up, so that a job takes a moment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from kaf.cli.console import Console
from kaf.runs import start as jobs
from kaf.runs.job_folder import JobFolder
from kaf.runtime import errors
from kaf.runtime.errors import Cancelled
from kaf.runtime.events import Message, Metric, Progress

HERE = Path(__file__).resolve().parent


def toy_python(folder: Path, before: str = "") -> Path:
    """An interpreter that has the toy commands; ``before`` are lines of shell that come first."""
    path = folder / "toy-python"
    path.write_text(f'#!/bin/sh\n{before}\nexec "{sys.executable}" "{HERE / "jobs_toys.py"}" "$@"\n')
    path.chmod(0o755)
    return path


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for something to be so; a deadline for what never happens, no measure of speed."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def over(job: jobs.Job) -> str:
    """Waits for the end of a job; its state then."""
    until(lambda: job.state() not in jobs.ALIVE)
    return job.state()


def pid_of(job: jobs.Job) -> int:
    """The number of its process."""
    return JobFolder(job.folder).read_child()["pid"]


def reported(job: jobs.Job) -> list:
    """All its events so far."""
    return job.events()[0]


def train(arguments: Sequence[str], console: Console) -> None:
    """Counts ``steps`` in the file ``checkpoint`` of its run folder; see the tests for what else it is told to do."""
    values = json.loads(Path(arguments[arguments.index("--settings") + 1]).read_text())
    output = Path(values["output"])
    (output / "settings.json").write_text(json.dumps(values))
    kept = output / "checkpoint"
    step = int(kept.read_text()) if values.get("resume") and kept.exists() else 0
    console(Message(f"from step {step}"))
    try:
        while step < values.get("steps", 3):
            step += 1
            console(Metric(step, {"loss": 1 / step}))
            console(Progress("training", step, values.get("steps", 3), 7.0))
            if values.get("at") == step:
                _do(values)
            time.sleep(0.01)
            if values.get("each_kept"):
                kept.write_text(str(step))
    except KeyboardInterrupt:
        kept.write_text(str(step))
        raise Cancelled(output, "pretraining was stopped", "Continue it with --resume.") from None
    console.result({"steps": step}, "")


def _do(values: dict) -> None:
    what = values["what"]
    if what == "wait":
        while not Path(values["for"]).exists():
            time.sleep(0.01)
    elif what == "deaf":
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                print("no", file=sys.stderr, flush=True)
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "half a line":
        sys.stdout.write('{"event": "metric", "st')
        sys.stdout.flush()
        time.sleep(600)
    elif hasattr(errors, what):
        raise getattr(errors, what)("scan.nii", "is broken", "Fix it.")
    else:
        raise RuntimeError({"LostCard": "CUDA error: device lost", "FullCard": "CUDA error: out of memory",
                            "RuntimeError": "inside torch"}[what])


if __name__ == "__main__":
    assert sys.argv[1:3] == ["-m", "kaf.cli.job_process"], sys.argv
    sys.argv[:] = sys.argv[2:]
    sys.path.insert(0, str(HERE))
    import jobs_toys

    from kaf.cli import job_process as job_child

    sys.modules["kaf.cli.pretrain"] = SimpleNamespace(main=jobs_toys.train)

    job_child.main()
