"""No way in which a worker, its launcher or its client can die leaves anything behind or goes unexplained."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from worker_toys import HERE, KILL, alive, asleep, clients, environment, gone

from kaf.runtime.errors import Cancelled, WorkerError
from kaf.runtime.events import Message
from kaf.worker.client import Client

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script as launcher")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("Ordner für 頭")


@pytest.fixture(scope="module")
def make(folder):
    """Makes clients that know the toy verbs; closes them in the end."""
    yield from clients(folder)


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """A temporary folder that only this test uses, with a name beyond ASCII."""
    folder = tmp_path / "temp é 顱"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def folders(temp):
    return sorted(path.name for path in temp.glob("kaf-*/work-*"))


def test_a_worker_with_a_broken_gpu_is_replaced(make):
    client = make()
    before = client.request("count")
    with pytest.raises(WorkerError, match="the GPU stopped working"):
        client.request("fail", {"kind": "RuntimeError", "words": "CUDA error: unspecified launch failure"})
    assert gone(before["pid"])
    after = client.request("count")
    assert after["n"] == 1
    assert after["pid"] != before["pid"]


def test_cancel_ends_the_worker_and_its_children_and_the_next_request_works(make, temp):
    client = make()
    job, pids = asleep(client, volumes={"image": (np.zeros((1, 2, 2)), np.eye(4))})
    assert all(alive(pid) for pid in pids)
    assert not job.poll()
    job.cancel()
    job.cancel()
    assert job.poll()
    with pytest.raises(Cancelled):
        job.result()
    assert all(gone(pid) for pid in pids)
    assert client.request("count")["pid"] not in pids
    assert not list(temp.glob("kaf-*/*/*/*.npy"))


def test_cancel_from_within_on_event(make):
    jobs = []
    client = make()
    jobs.append(client.submit("steps", on_event=lambda event: jobs[0].cancel()))
    with pytest.raises(Cancelled):
        jobs[0].result()
    assert client.request("count")["n"] == 1


def test_an_exception_in_on_event_cancels_a_waiting_request(make):
    client, pids = make(), []

    def stumble(event):
        pids.append(int(event.text.split()[0]))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.request("nap", on_event=stumble)
    assert gone(pids[0])
    assert client.request("count")["n"] == 1


def test_a_kill_from_outside_is_reported_and_the_next_request_works(make, folder):
    client = make(log=folder / "killed.log")
    job, pids = asleep(client)
    os.kill(pids[0], KILL)
    with pytest.raises(WorkerError) as caught:
        job.result()
    if sys.platform != "win32":
        assert "was killed, most often by the system because memory ran out (SIGKILL)" in str(caught.value)
    assert str(folder / "killed.log") in caught.value.remedy
    assert gone(pids[1])
    assert client.request("count")["n"] == 1


def test_a_kill_between_requests_is_not_even_noticed(make):
    client = make()
    pid = client.request("count")["pid"]
    os.kill(pid, KILL)
    while not client._children[0].exited():
        time.sleep(0.01)
    assert client.request("count")["n"] == 1


@pytest.mark.parametrize(("how", "words"), [
    ("abort", "SIGABRT"), ("at once", "exit code 3"), ("slowly", "exit code 3"),
    pytest.param("leaving a child", "exit code 3", marks=posix_only),
])
def test_a_crash_delivers_the_last_events_then_its_reason(make, folder, how, words):
    if how == "abort" and sys.platform == "win32":
        words = "ended unexpectedly"
    client, reported = make(log=folder / f"{how}.log"), []
    with pytest.raises(WorkerError, match=words):
        client.request("die", {"how": how}, on_event=reported.append)
    assert reported == [Message("last log lines")]
    if how == "abort":  # where it crashed stands in the log
        assert "in die" in (folder / "abort.log").read_text(encoding="utf-8")


def test_only_what_is_still_wanted_stays_in_the_private_folder(make, temp):
    client = make()
    volume = (np.zeros((1, 2, 2)), np.eye(4))
    client.request("echo", volumes={"image": volume, "labels": volume}, keys={"image": "a"})
    picture = Path(client.request("leave")["picture"])
    assert picture.exists()
    (folder,) = temp.glob("kaf-*/work-*")
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o777 == 0o700
        assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
            "in-1.npy", "kaf-owner", "picture.png"]
    client.close()
    assert folders(temp) == []
    assert client.request("count")["n"] == 1
    assert len(folders(temp)) == 1
    client.close()
    assert folders(temp) == []


SCRIPT = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from kaf.worker.client import Client
client = Client(log=sys.argv[2], verbs="worker_toys:TABLE")
if sys.argv[3] == "leave":
    print(client.request("count")["pid"], flush=True)
else:
    client.request("nap", on_event=lambda event: print(event.text, flush=True))
"""


def run_script(folder, temp, what):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(temp), str(folder / "script.log"), what],
                            stdout=subprocess.PIPE, env=environment())


def test_a_script_that_ends_without_close_leaves_nothing(folder, temp):
    with run_script(folder, temp, "leave") as script:
        pid = int(script.stdout.readline())
        assert script.wait() == 0
    assert gone(pid)
    assert folders(temp) == []


def test_a_client_that_nobody_holds_any_more_ends_its_worker(make, temp, folder):
    client = Client(log=folder / "dropped.log", verbs="worker_toys:TABLE", env={"PYTHONPATH": str(HERE)})
    pid = client.request("count")["pid"]
    del client
    gc.collect()
    assert gone(pid)
    assert folders(temp) == []


def test_the_death_of_the_client_ends_the_worker_and_the_next_one_removes_its_folder(folder, temp, make):
    with run_script(folder, temp, "nap") as script:
        pids = [int(word) for word in script.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        left = folders(temp)
        script.kill()
    assert all(gone(pid) for pid in pids)
    assert folders(temp) == left
    assert len(left) == 1
    make().request("count")
    assert left[0] not in folders(temp)


def test_a_worker_that_never_answers_is_ended(make):
    client = make()
    pid = client.request("count")["pid"]
    with pytest.raises(WorkerError, match=r"the worker did not respond for 0\.2 s"):
        client.request("nap", timeout=0.2)
    assert gone(pid)
    assert client.request("count")["n"] == 1


def script_file(path, text):
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    return path


@posix_only
def test_a_worker_that_never_starts_is_ended(make, tmp_path):
    pid = tmp_path / "pid"
    script = f"echo $$ > '{pid}.new'\nmv '{pid}.new' '{pid}'\nsleep 600\n"
    client = make(python=script_file(tmp_path / "python", script))
    job = client.submit("count")
    while not pid.exists():
        assert not job.poll(0.05)
    client.start_timeout = 0
    with pytest.raises(WorkerError, match="did not start within 0 s"):
        job.result()
    assert gone(int(pid.read_text()))


@posix_only
def test_a_worker_that_dies_at_the_start_tells_its_last_log_lines(make, tmp_path):
    python = script_file(tmp_path / "python", "echo 'libfoo.so is missing' >&2\nexit 127\n")
    with pytest.raises(WorkerError, match=r'could not start; .*"libfoo.so is missing" \(exit code 127\)'):
        make(python=python).request("count")


def test_a_python_that_is_not_there(make, tmp_path):
    with pytest.raises(WorkerError, match="nopython: cannot be started"):
        make(python=tmp_path / "nopython").request("count")


@posix_only
def test_cancel_reaches_through_a_launcher_that_chats(make, tmp_path):
    python = script_file(tmp_path / "launcher", f"echo hello\n'{sys.executable}' \"$@\"\nexit $?\n")
    client = make(python=python)
    job, pids = asleep(client)
    assert pids[0] != job._child.pid
    job.cancel()
    assert all(gone(pid) for pid in [*pids, job._child.pid])
    job, pids = asleep(client)
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"memory ran out \(SIGKILL\)"):
        job.result()
