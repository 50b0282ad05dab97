"""What a job needs to start: a folder that is free, an interpreter, a disk; and what is said where one is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs_toys import HERE, over, reported, toy_python, until

from kaf.runs import start as jobs
from kaf.runtime import locks
from kaf.runtime import processes as job_process
from kaf.runtime.errors import InputError, KafError, OutputError, SettingsError, WorkerError
from kaf.runtime.events import Message, Metric, Result

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="the toy interpreter is a shell script"),
              pytest.mark.usefixtures("own_jobs")]


def test_a_folder_of_somebody_called_job_is_not_touched(begin, tmp_path):
    own = tmp_path / "runs" / "run" / "job"
    own.mkdir(parents=True)
    for name in ("thesis.doc", "log.txt"):
        (own / name).write_text("mine")
        with pytest.raises(OutputError, match=r"job: contains other files"):
            begin()
        assert [(path.name, path.read_text()) for path in own.iterdir()] == [(name, "mine")]
        (own / name).unlink()


def test_a_folder_in_use_is_not_started_in(begin, tmp_path):
    job = begin(at=1, what="wait", **{"for": str(tmp_path / "go")})
    with pytest.raises(OutputError, match=r"already contains a run|another process"):
        begin()
    with pytest.raises(OutputError, match="another process"):
        begin(overwrite=True)
    with pytest.raises(KafError, match=r"is (starting|running) and cannot be resumed"):
        job.resume()
    (tmp_path / "go").touch()
    assert over(job) == jobs.FINISHED
    with pytest.raises(OutputError, match="already contains a run"):
        begin()
    again = begin(overwrite=True, steps=1)
    assert over(again) == jobs.FINISHED
    steps = [event.step for event in reported(again) if isinstance(event, Metric)]
    assert steps == [1], "the old run's events are there"


def test_a_job_that_failed_before_it_replaced_a_run_still_replaces_it_when_resumed(begin, tmp_path):
    """To go on with the settings of the new run in the old one's checkpoints would make neither."""
    job = begin()
    assert over(job) == jobs.FINISHED
    (job.folder / "run.json").write_text(json.dumps({"created": job.created - 1000}))
    failed = begin(overwrite=True, at=1, what="InputError")
    assert over(failed) == jobs.FAILED
    again = failed.resume()
    over(again)
    assert (again.values.get("overwrite"), again.values.get("resume")) == (True, None)
    (job.folder / "run.json").write_text(json.dumps({"created": again.started}))
    once_more = again.resume()
    over(once_more)
    assert (once_more.values.get("overwrite"), once_more.values.get("resume")) == (None, True)


def test_a_folder_is_free_until_something_is_written_in_it(tmp_path, begin):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "letter.txt").touch()
    with pytest.raises(OutputError, match="contains other files"):
        begin("mine")
    assert not (tmp_path / "runs" / "mine" / "job").exists()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    failed = jobs.start(broken, "pretrain", {}, tmp_path / "runs" / "again")
    assert over(failed) == jobs.LOST
    assert over(begin("again")) == jobs.FINISHED
    assert len(json.loads((failed.folder / "job" / "job.json").read_text())["attempts"]) == 1


def test_a_launcher_that_hands_no_files_on_still_leaves_a_sign_of_life(tmp_path):
    close = "import os, sys; os.closerange(3, 256); os.execv(sys.argv[1], sys.argv[1:])"
    lossy = f'exec "{sys.executable}" -c "{close}" "{sys.executable}" "{HERE / "jobs_toys.py"}" "$@"'
    python = toy_python(tmp_path, lossy)
    values = {"at": 1, "what": "wait", "for": str(tmp_path / "go")}
    job = jobs.start(python, "pretrain", values, tmp_path / "run")
    until(lambda: job.progress() is not None)
    assert job.state() == jobs.RUNNING
    (tmp_path / "go").touch()
    assert over(job) == jobs.FINISHED


def test_of_two_starts_before_the_first_child_has_its_lock_the_last_one_counts(tmp_path):
    """As on Windows, where the lock cannot be handed to the child."""
    close = "import os, sys; os.closerange(3, 256); os.execv(sys.argv[1], sys.argv[1:])"
    lossy = (f'while [ ! -e "{tmp_path / "go"}" ]; do sleep 0.05; done\n'
             f'exec "{sys.executable}" -c "{close}" "{sys.executable}" "{HERE / "jobs_toys.py"}" "$@"')
    closing = f'exec "{sys.executable}" -c "{close}" /bin/sh "{tmp_path / "toy-python"}" "$@"'
    toy_python(tmp_path, lossy)
    python = tmp_path / "closing-python"
    python.write_text(f"#!/bin/sh\n{closing}\n")
    python.chmod(0o755)
    values = {"data": "scans", "steps": 2}
    first = jobs.start(python, "pretrain", values, tmp_path / "run")
    until(lambda: locks.is_held(tmp_path / "run" / "job" / "lock") is False)
    second = jobs.start(python, "pretrain", {**values, "steps": 3}, tmp_path / "run")
    (tmp_path / "go").touch()
    until(lambda: second.state() == jobs.FINISHED)
    until(lambda: not (job_process.reap() or job_process._STARTED))  # the other one, too, has ended
    assert [event.text for event in reported(second) if isinstance(event, Message)] == ["from step 0"]
    assert second.events()[0][-1] == Result({"steps": 3})
    assert first.state() == jobs.FINISHED  # what is in the folder now


def test_what_cannot_start_is_reported_at_once(tmp_path):
    with pytest.raises(WorkerError, match="cannot be started"):
        jobs.start(tmp_path / "nothing", "pretrain", {}, tmp_path / "a")
    with pytest.raises(SettingsError, match="segment: cannot be run as a job"):
        jobs.start(sys.executable, "segment", {}, tmp_path / "b")
    with pytest.raises(SettingsError, match="cannot be written as JSON"):
        jobs.start(sys.executable, "pretrain", {"steps": object()}, tmp_path / "c")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run: "):
        jobs.start(sys.executable, "pretrain", {}, tmp_path / "file" / "run")
    with pytest.raises(InputError, match="contains no run"):
        jobs.Job(tmp_path / "c")
    with pytest.raises(InputError, match="no such folder"):
        jobs.find(tmp_path / "d")


def test_a_python_without_kaf_says_so(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named kaf >&2; exit 1\n")
    python.chmod(0o755)
    job = jobs.start(python, "pretrain", {}, tmp_path / "run")
    assert over(job) == jobs.LOST
    assert 'could not start; the last line of its log is "No module named kaf"' in job.error


def test_a_disk_that_is_full_from_the_start(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match="the file grows larger than a limit allows"):
            jobs.start(sys.executable, "pretrain", {}, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_last_log_lines(tmp_path):
    python = toy_python(tmp_path, "ulimit -f 8")  # blocks of 512 bytes: as much as child.json has already
    job = jobs.start(python, "pretrain", {"steps": 10 ** 6}, tmp_path / "run")
    assert over(job) == jobs.FAILED
    assert "(File too large)" in job.error or "grows larger than a limit" in job.error


def test_a_panel_needs_nothing_but_the_standard_library():
    """Slicer's process imports this before anything is installed."""
    home = str(Path(jobs.__file__).parents[2])
    code = (f"import sys; sys.path.insert(0, {home!r}); import kaf.runs.start, kaf.cli.job_process; "
            "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'kaf']"
