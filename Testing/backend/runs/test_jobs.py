"""Jobs: real child processes that are watched, stopped, killed, resumed, queued, and found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jobs_toys import over, pid_of, reported, toy_python, until

from kaf.runs import start as jobs
from kaf.runs.job_folder import JobFolder
from kaf.runtime import locks
from kaf.runtime.errors import KafError
from kaf.runtime.events import Error, Message, Metric, Result

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="the toy interpreter is a shell script"),
              pytest.mark.usefixtures("own_jobs")]


def test_a_job_runs_apart_and_says_how_it_goes(begin, tmp_path):
    job = begin(at=2, what="wait", **{"for": str(tmp_path / "go")})
    assert job.state() in (jobs.STARTING, jobs.RUNNING)
    until(lambda: job.progress() is not None and job.progress().done == 2)
    assert (job.state(), job.seconds_left, job.error) == (jobs.RUNNING, 7.0, "")
    assert os.getpgid(pid_of(job)) != os.getpgid(0), "a Ctrl-C at the parent's terminal would reach it"
    first, place = job.events()
    assert Metric(2, {"loss": 0.5}) in first
    (tmp_path / "go").touch()
    assert (over(job), job.seconds_left, job.error) == (jobs.FINISHED, None, "")
    rest, end = job.events(place)
    assert rest[-1] == Result({"steps": 3})
    assert (first + rest, (job.folder / "job" / "events.jsonl").stat().st_size) == (reported(job), end)
    assert job.events(end) == ([], end)
    asked = json.loads((job.folder / "job" / "job.json").read_text())
    assert (asked["verb"], asked["values"]["output"]) == ("pretrain", str(job.folder))


def test_a_stopped_job_keeps_a_checkpoint_and_goes_on(begin, tmp_path):
    job = begin(steps=5, at=2, what="wait", **{"for": str(tmp_path / "go")})
    until(lambda: job.progress() is not None and job.progress().done == 2)
    job.stop()
    assert job.state() in (jobs.STOPPING, jobs.STOPPED)
    assert over(job) == jobs.STOPPED
    assert isinstance(reported(job)[-1], Error)
    assert job.error == "", "it is no failure"
    again = job.resume(toy_python(tmp_path))
    assert over(again) == jobs.FINISHED
    steps = [event.step for event in reported(again) if isinstance(event, Metric)]
    assert steps == [1, 2, 3, 4, 5], "the events of the first attempt are lost, or steps were made twice"
    assert Message("from step 2") in reported(again)
    with pytest.raises(KafError, match="is finished and cannot be resumed"):
        again.resume()


def test_a_killed_job_is_lost_and_goes_on_from_its_last_checkpoint(begin, tmp_path):
    job = begin(steps=5, at=3, what="wait", each_kept=True, **{"for": str(tmp_path / "go")})
    until(lambda: job.progress() is not None and job.progress().done == 3)
    os.kill(pid_of(job), signal.SIGKILL)
    assert over(job) == jobs.LOST
    assert "ended unexpectedly" in job.error
    assert not job.has_checkpoint  # the toy's is of another kind
    assert "Resume it: it starts over, because no checkpoint had been written yet." in job.error
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints" / "checkpoint-00000002.safetensors").touch()
    assert "Resume it: it continues from its last checkpoint." in job.error
    (tmp_path / "go").touch()
    assert over(job.resume(toy_python(tmp_path))) == jobs.FINISHED
    assert Message("from step 2") in reported(job)


@pytest.mark.parametrize(("text", "rate"), [('{"learning_rate": 0.01}', 0.01), ("{}", None), ("[", None),
                                            ('{"learning_rate": null}', None)])
def test_the_learning_rate_is_that_of_the_settings_in_the_folder(begin, text, rate):
    job = begin()
    assert over(job) == jobs.FINISHED
    (job.folder / "settings.json").write_text(text)
    assert job.learning_rate == rate


@pytest.mark.parametrize(("what", "words"), [
    ("LostCard", "GPU: failed or is no longer available (CUDA error: device lost)"),
    ("LostCard", "Resume on another device"),
    ("FullCard", "GPU: ran out of memory (CUDA error: out of memory)"),
    ("InputError", "scan.nii: is broken. Fix it."),
    ("RuntimeError", "RuntimeError: inside torch"),
])
def test_a_failure_is_reported(begin, what, words):
    job = begin(at=1, what=what)
    assert over(job) == jobs.FAILED
    assert words in job.error
    assert words in reported(job)[-1].text
    assert jobs.Job(job.folder).error == job.error
    assert ("Traceback" in job.log.read_text()) == (what == "RuntimeError")


def test_a_job_that_does_not_listen_is_ended_when_its_grace_is_over(begin):
    job = begin(at=1, what="deaf")
    until(lambda: job.progress() is not None)
    job.stop(grace=0.5)
    assert over(job) == jobs.STOPPED
    until(lambda: not locks.is_held(job.folder / "job" / "lock"))
    assert "no\n" in job.log.read_text(), "it was not asked before it was ended"


def test_a_job_that_is_stuck_is_killed_by_asking_once_more(begin):
    job = begin(at=1, what="wait", **{"for": "/nowhere"})
    until(lambda: job.progress() is not None)
    os.kill(pid_of(job), signal.SIGSTOP)
    job.stop(grace=-2.0)
    assert job.state() == jobs.STOPPING
    until(lambda: job.stop() or job.state() == jobs.STOPPED)


def test_a_job_outlives_who_started_it_and_is_found_by_another(tmp_path, begin):
    values = {"data": "scans", "at": 2, "what": "wait", "for": str(tmp_path / "go")}
    parent = ("import os, sys; from kaf.runs import start as jobs; "
              f"jobs.start({str(toy_python(tmp_path))!r}, 'pretrain', {values!r}, {str(tmp_path / 'runs/a')!r}); "
              "os.kill(os.getpid(), 9)")
    home = str(Path(jobs.__file__).parents[2])
    died = subprocess.run([sys.executable, "-c", parent], env={**os.environ, "PYTHONPATH": home}, check=False)
    assert died.returncode == -signal.SIGKILL
    found = jobs.find(tmp_path)
    assert [job.folder.name for job in found] == ["a"]
    until(lambda: found[0].progress() is not None)
    assert (found[0].state(), reported(found[0])[1]) == (jobs.RUNNING, Metric(1, {"loss": 1.0}))
    (tmp_path / "go").touch()
    assert over(found[0]) == jobs.FINISHED


def test_two_jobs_queue_on_a_device_and_two_devices_run_side_by_side(begin, tmp_path):
    hold = {"at": 1, "what": "wait"}
    first = begin("first", "cuda:0", **hold, **{"for": str(tmp_path / "one")})
    until(lambda: first.state() == jobs.RUNNING)
    second = begin("second", "cuda:0", **hold, **{"for": str(tmp_path / "two")})
    until(lambda: second.state() == jobs.QUEUED and second.ahead == 1)
    third = begin("third", "cuda:0")
    until(lambda: third.ahead == 2)
    other = begin("other", "cuda:1")
    assert over(other) == jobs.FINISHED
    assert (first.state(), second.state(), third.state()) == (jobs.RUNNING, jobs.QUEUED, jobs.QUEUED)
    assert [job.folder.name for job in jobs.find(tmp_path)] == ["other", "third", "second", "first"]
    os.kill(pid_of(first), signal.SIGKILL)  # whatever the end: the next one begins
    until(lambda: second.state() == jobs.RUNNING)
    assert third.state() == jobs.QUEUED
    (tmp_path / "two").touch()
    assert [over(second), over(third)] == [jobs.FINISHED, jobs.FINISHED]


def test_a_job_that_waits_can_be_stopped_and_leaves_the_queue(begin, tmp_path):
    first = begin("first", "cpu", at=1, what="wait", **{"for": str(tmp_path / "one")})
    until(lambda: first.state() == jobs.RUNNING)
    second = begin("second", "cpu")
    until(lambda: second.state() == jobs.QUEUED)
    second.stop()
    assert over(second) == jobs.STOPPED
    third = begin("third", "cpu")
    until(lambda: third.state() == jobs.QUEUED and third.ahead == 1)
    (tmp_path / "one").touch()
    assert over(third) == jobs.FINISHED
    assert over(second.resume(toy_python(tmp_path))) == jobs.FINISHED


def test_a_half_written_line_is_left_for_later(begin):
    job = begin(at=2, what="half a line")
    events = job.folder / "job" / "events.jsonl"
    until(lambda: events.is_file() and events.read_bytes().endswith(b'"st'))
    whole, place = job.events()
    assert whole[-1] == job.progress()
    assert job.events(place) == ([], place)
    with events.open("ab") as file:
        file.write(b'ep": 9, "values": {"loss": 2.0}}\nnoise\n')
    assert job.events(place)[0] == [Metric(9, {"loss": 2.0})]
    os.kill(pid_of(job), signal.SIGKILL)
    assert over(job) == jobs.LOST


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_number_that_another_process_has_now_is_not_taken_for_the_job(begin, monkeypatch, has_locks):
    job = begin(at=1, what="die")
    assert over(job) == jobs.LOST
    files = JobFolder(job.folder)
    files.write_child(**{**files.read_child(), "pid": os.getpid()})  # which lives, and began at another time
    if not has_locks:
        monkeypatch.setattr(locks, "is_held", lambda path: None)
    assert job.state() == jobs.LOST
    job.kill()  # and we are still here


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells the start of a process from /proc")
def test_without_locks_a_job_is_known_by_its_number_and_start(begin, monkeypatch, tmp_path):
    monkeypatch.setattr(locks, "is_held", lambda path: None)
    job = begin(at=1, what="wait", **{"for": str(tmp_path / "go")})
    until(lambda: job.progress() is not None)
    assert job.state() == jobs.RUNNING
    os.kill(pid_of(job), signal.SIGKILL)
    assert over(job) == jobs.LOST


def test_who_looks_already_sees_the_new_attempt(begin, tmp_path):
    job = begin(at=1, what="wait", **{"for": str(tmp_path / "go")})
    until(lambda: job.progress() is not None)
    job.kill()
    assert over(job) == jobs.STOPPED
    jobs.Job(job.folder).resume(toy_python(tmp_path))
    until(lambda: job.state() == jobs.RUNNING)
    (tmp_path / "go").touch()
    assert over(job) == jobs.FINISHED
    assert job.command.startswith("kaf pretrain scans --")


def test_a_damaged_job_is_shown_with_a_note(begin):
    job = begin()
    assert over(job) == jobs.FINISHED
    (job.folder / "job" / "job.json").write_text("{")
    broken = jobs.find(job.folder.parent)[0]
    assert "damaged" in broken.note
    assert broken.state() == jobs.LOST
    assert not broken.can_resume
