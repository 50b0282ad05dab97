"""Jobs: real child processes that are watched, stopped, killed, resumed, queued, and found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jobs_toys import HERE, toy_python, until

from kaf.runs import start as jobs
from kaf.runs.job_folder import JobFolder
from kaf.runtime import locks
from kaf.runtime import processes as job_process
from kaf.runtime.errors import InputError, KafError, OutputError, SettingsError, WorkerError
from kaf.runtime.events import Error, Message, Metric, Result

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the toy interpreter is a shell script")


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
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


def over(job):
    until(lambda: job.state() not in jobs.ALIVE)
    return job.state()


def pid_of(job):
    return JobFolder(job.folder).read_child()["pid"]


def told(job):
    return job.events()[0]


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
    assert (first + rest, (job.folder / "job" / "events.jsonl").stat().st_size) == (told(job), end)
    assert job.events(end) == ([], end)
    asked = json.loads((job.folder / "job" / "job.json").read_text())
    assert (asked["verb"], asked["values"]["output"]) == ("pretrain", str(job.folder))


def test_a_stopped_job_keeps_a_checkpoint_and_goes_on(begin, tmp_path):
    job = begin(steps=5, at=2, what="wait", **{"for": str(tmp_path / "go")})
    until(lambda: job.progress() is not None and job.progress().done == 2)
    job.stop()
    assert job.state() in (jobs.STOPPING, jobs.STOPPED)
    assert over(job) == jobs.STOPPED
    assert isinstance(told(job)[-1], Error)
    assert job.error == "", "it is no failure"
    again = job.resume(toy_python(tmp_path))
    assert over(again) == jobs.FINISHED
    steps = [event.step for event in told(again) if isinstance(event, Metric)]
    assert steps == [1, 2, 3, 4, 5], "the events of the first attempt are lost, or steps were made twice"
    assert Message("from step 2") in told(again)
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
    assert Message("from step 2") in told(job)


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
    ("InputError", "scan.nii: is broken. Mend it."),
    ("RuntimeError", "RuntimeError: inside torch"),
])
def test_a_failure_is_told_in_words(begin, what, words):
    job = begin(at=1, what=what)
    assert over(job) == jobs.FAILED
    assert words in job.error
    assert words in told(job)[-1].text
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
    assert (found[0].state(), told(found[0])[1]) == (jobs.RUNNING, Metric(1, {"loss": 1.0}))
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
    assert [event.step for event in told(again) if isinstance(event, Metric)] == [1], "the old run's events are there"


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
    assert [event.text for event in told(second) if isinstance(event, Message)] == ["from step 0"]
    assert second.events()[0][-1] == Result({"steps": 3})
    assert first.state() == jobs.FINISHED  # what is in the folder now


def test_what_cannot_start_is_told_at_once(tmp_path):
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


def test_a_disk_that_fills_up_leaves_last_words(tmp_path):
    python = toy_python(tmp_path, "ulimit -f 8")  # blocks of 512 bytes: as much as child.json has already
    job = jobs.start(python, "pretrain", {"steps": 10 ** 6}, tmp_path / "run")
    assert over(job) == jobs.FAILED
    assert "(File too large)" in job.error or "grows larger than a limit" in job.error


def test_a_damaged_job_is_shown_with_a_note(begin):
    job = begin()
    assert over(job) == jobs.FINISHED
    (job.folder / "job" / "job.json").write_text("{")
    broken = jobs.find(job.folder.parent)[0]
    assert "damaged" in broken.note
    assert broken.state() == jobs.LOST
    assert not broken.can_resume


def test_a_panel_needs_nothing_but_the_standard_library():
    """Slicer's process imports this before anything is installed."""
    home = str(Path(jobs.__file__).parents[2])
    code = (f"import sys; sys.path.insert(0, {home!r}); import kaf.runs.start, kaf.cli.job_process; "
            "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'kaf']"
