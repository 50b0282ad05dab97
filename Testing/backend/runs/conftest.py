"""Fixtures of the tests of runs."""

from __future__ import annotations

import pytest
from jobs_toys import toy_python

from kaf.runs import start as jobs


@pytest.fixture
def own_jobs(tmp_path, monkeypatch):
    """Queues of its own; and whatever still runs in the end is killed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    for job in jobs.find(tmp_path):
        job.kill()


@pytest.fixture
def begin(tmp_path):
    """Starts a toy job."""
    python = toy_python(tmp_path)

    def start(name="run", queue="", **values):
        return jobs.start(python, "pretrain", {"data": "scans", **values}, tmp_path / "runs" / name, queue)

    return start
