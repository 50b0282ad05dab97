"""A run folder that came from somebody else is looked at and gone on with; no program that it names is run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from jobs_toys import over, toy_python, until

from kaf.runs import start as jobs

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="the toy interpreter is a shell script"),
              pytest.mark.usefixtures("own_jobs")]


@pytest.fixture
def mark(tmp_path):
    """Made by whatever must not run."""
    return tmp_path / "was-run"


@pytest.fixture
def received(tmp_path, mark):
    """A run that failed elsewhere; each place of its files that could name a program names a bad one."""
    evil = tmp_path / "evil"
    evil.mkdir()
    program = evil / "python"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    for module in ("kaf", "random", "json", "torch", "sitecustomize", "usercustomize"):
        (evil / f"{module}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    job = jobs.start(toy_python(tmp_path), "pretrain", {"data": "scans", "at": 1, "what": "InputError"},
                     tmp_path / "runs" / "received")
    until(lambda: job.state() not in jobs.ALIVE)
    assert job.state() == jobs.FAILED
    file = job.folder / "job" / "job.json"
    asked = json.loads(file.read_text())
    asked |= {"python": str(program), "command": [str(program)], "place": str(evil), "env": {"PYTHONPATH": str(evil)},
              "values": {**asked["values"], "what": "nothing", "at": 0}}
    file.write_text(json.dumps(asked))
    for name in ("python", "kaf.py", "random.py"):
        (job.folder / name).write_bytes((evil / name).read_bytes() if (evil / name).exists() else b"")
    return jobs.Job(job.folder)


def test_it_goes_on_with_the_interpreter_that_the_caller_gives(received, tmp_path, mark):
    again = received.resume(toy_python(tmp_path))
    assert over(again) == jobs.FINISHED, again.error
    assert not mark.exists()


def test_unless_one_is_given_it_is_this_one(received, mark):
    again = received.resume()
    over(again)  # here a real training, of scans that are not there
    asked = json.loads((received.folder / "job" / "job.json").read_text())
    assert asked["command"][0] == asked["python"] == sys.executable
    assert not mark.exists()


def test_nothing_is_imported_from_where_it_says_it_was_started(received, tmp_path, mark):
    """Python 3.10 does not know PYTHONSAFEPATH: the working folder comes first there."""
    old = toy_python(tmp_path, "unset PYTHONSAFEPATH")
    old.write_text(old.read_text().replace(
        f'exec "{sys.executable}"', f'exec "{sys.executable}" -c "import sys; sys.path[0:0] = [\'\']; import random, '
        f'runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name=\'__main__\')"'))
    again = received.resume(old)
    assert over(again) == jobs.FINISHED, again.log.read_text()
    assert not mark.exists()


def test_a_relative_interpreter_is_the_callers_and_not_that_of_the_folder(received, tmp_path, monkeypatch, mark):
    (tmp_path / "mine").mkdir()
    toy_python(tmp_path / "mine").rename(tmp_path / "mine" / "python")
    monkeypatch.chdir(tmp_path / "mine")
    again = received.resume("./python")
    assert over(again) == jobs.FINISHED, again.error
    assert not mark.exists()


def test_paths_in_the_settings_are_those_of_where_it_was_started(tmp_path, monkeypatch):
    """As before, though the process itself begins elsewhere."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    job = jobs.start(toy_python(tmp_path), "pretrain", {"data": "scans", "at": 1, "what": "wait", "for": "go"},
                     tmp_path / "run")
    until(lambda: job.progress() is not None)
    assert job.state() == jobs.RUNNING
    Path("go").touch()
    assert over(job) == jobs.FINISHED


def test_a_module_path_that_is_relative_is_the_callers(tmp_path, monkeypatch):
    (tmp_path / "here" / "modules").mkdir(parents=True)
    (tmp_path / "here" / "modules" / "sitecustomize.py").write_text(
        f"open({str(tmp_path / 'found')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", "modules")
    assert over(jobs.start(toy_python(tmp_path), "pretrain", {"data": "scans"}, tmp_path / "run")) == jobs.FINISHED
    assert (tmp_path / "found").exists()


def test_a_queue_of_another_user_is_not_stood_in(tmp_path, monkeypatch):
    from kaf.runs import queue

    (tmp_path / "home").write_text("no folder can be made below it")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(queue.tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    place = queue._folder("cpu")
    assert place.parent.parent == tmp_path / "temp"
    (tmp_path / "trap").mkdir()
    place.parent.rename(tmp_path / "gone")
    place.parent.symlink_to(tmp_path / "trap")
    with pytest.raises(OSError, match="can be written"):
        queue._folder("cpu")
    assert list((tmp_path / "trap").iterdir()) == []


@pytest.mark.parametrize("place", [5, ["a"], "", None, "no such folder", "a\0b", {"a": 1}])
def test_a_place_that_is_none(received, tmp_path, place):
    file = received.folder / "job" / "job.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "place": place}))
    assert over(jobs.Job(received.folder).resume(toy_python(tmp_path))) == jobs.FINISHED
