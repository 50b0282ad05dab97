"""Damaged run folders: whatever their files hold, the list of runs shows all others, and says what it can of these."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaf.cli import entry as cli
from kaf.cli.job_process import EventStream
from kaf.runs import start as jobs
from kaf.runs.run_folder import RunFolder
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import Progress, Result, to_json
from kaf.settings.finetune import FinetuneSettings

JOB = {"format": 1, "version": "0.1.0", "verb": "pretrain", "python": "python", "queue": "cpu",
       "command": ["python"], "values": {"data": "scans", "device": "cpu", "labels": {"1": "a"}, "cases": ["a"]},
       "attempts": [{"id": "a1", "started": 1.7e9, "offset": 0}], "created": 1.7e9, "place": "."}
CHILD = {"id": "a1", "pid": 4000000, "group": 4000000, "host": "elsewhere", "began": "1", "phase": "running",
         "ahead": 1, "code": 1, "kind": "InputError", "error": "a: b. C."}
TABLE = {"facts": ["2 of 4 networks"], "settings": {"data": "scans", "methods": ["kaf"]}}
FOLDS = [{"train": ["a"], "test": ["b"]}]
SETTINGS = {"data": "scans", "method": "kaf", "learning_rate": 0.01, "device": "cpu"}
RUN = {"format": 1, "verb": "finetune", "version": "0.1.0", "created": 1.7e9}
DEEP = "[" * 10_000
HUGE = 10 ** 400
VALUES: list[Any] = [None, True, -1, 0, 1.5, HUGE, float("nan"), float("inf"), "", "x", "../../x", "\0", "\ud800", [],
                     [[]], [1], {}, {"a": 1}]
CONTENTS = [b"", b"\0" * 4096, b"{", b"[]", b"7", b'"x"', b"null", b"\xff\xfe", DEEP.encode(), b'{"a":' * 10_000,
            b"[" * 100 + b"]" * 100, b"9" * 5000, b'{"event": "result"}\n' * 3]
LINE = (to_json(Progress("training", 1, 2, 3.0)) + "\n").encode()


def variants(values: Any) -> Iterator[Any]:
    """The same object with one value in it missing or of another kind, at any depth."""
    for other in VALUES:
        yield other
    if isinstance(values, (dict, list)):
        for key in values if isinstance(values, dict) else range(len(values)):
            rest = values.copy()
            del rest[key]
            yield rest
            for other in variants(values[key]):
                changed = values.copy()
                changed[key] = other
                yield changed


def written(values: Any) -> bytes:
    return json.dumps(values).replace(str(HUGE), "1" + "0" * 400).encode()


def run_of_a_job(folder: Path, child: bool = True) -> None:
    (folder / "job").mkdir(parents=True)
    (folder / "job" / "job.json").write_bytes(written(JOB))
    if child:
        (folder / "job" / "child.json").write_bytes(written(CHILD))
    (folder / "job" / "events.jsonl").write_bytes(LINE)


def run_of_the_command_line(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "settings.json").write_bytes(written(SETTINGS))
    (folder / "run.json").write_bytes(written(RUN))
    (folder / "events.jsonl").write_bytes(LINE)


def comparison(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "folds.json").write_bytes(written(FOLDS))
    (folder / "comparison.json").write_bytes(written(TABLE))


FILES = {"job/job.json": (run_of_a_job, JOB), "job/child.json": (run_of_a_job, CHILD),
         "settings.json": (run_of_the_command_line, SETTINGS), "run.json": (run_of_the_command_line, RUN),
         "comparison.json": (comparison, TABLE), "folds.json": (comparison, FOLDS),
         "job/events.jsonl": (run_of_a_job, {"event": "progress", "stage": "a", "done": 1, "total": 2}),
         "events.jsonl": (run_of_the_command_line, {"event": "error", "text": "a", "kind": "b"}),
         "job/stop": (run_of_a_job, "a1 60"), "job/log.txt": (run_of_a_job, "words")}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with a sound run, and no waiting for what may be written just now."""
    monkeypatch.setattr("kaf.runs.job_folder.time.sleep", lambda _: None)
    folder = tmp_path / "runs"
    run_of_the_command_line(folder / "sound")
    (folder / "sound" / "events.jsonl").write_text(to_json(Result({})) + "\n")
    return folder


def looked_at(folder: Path) -> list[jobs.Job]:
    """All that a panel or a terminal asks; the runs."""
    found = jobs.find(folder)
    for job in found:
        progress = job.progress()
        share = progress.done / progress.total if progress is not None and progress.total else 0.0
        words = f"{job.state()} {job.verb} {job.queue} {share:.2f} {job.seconds_left or 0:.1f} {job.error} {job.note}"
        assert isinstance(words, str)
        assert isinstance(job.values, dict)
        assert (job.ahead, job.can_resume, job.has_checkpoint, job.model, job.learning_rate) is not None
        assert 0 <= job.created < 3e10
        assert job.command.startswith("kaf")
        job.events()
    return found


@pytest.mark.parametrize("name", FILES)
def test_whatever_a_file_holds_the_others_are_shown(runs, name, capsys):
    make, values = FILES[name]
    make(runs / "damaged")
    contents = [*CONTENTS, *map(written, variants(values))]
    for content in contents:
        (runs / "damaged" / name).write_bytes(content)
        try:
            found = looked_at(runs)
        except Exception as error:
            raise AssertionError(f"{content[:300]!r} takes the list down") from error
        assert "sound" in [job.folder.name for job in found], content[:300]
    assert cli.main(["jobs", str(runs)]) == 0
    assert "sound" in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_a_file_that_is_none(runs, name):
    make, _ = FILES[name]
    for plant in (os.mkdir, os.mkfifo, lambda path: os.symlink("nowhere", path),
                  lambda path: os.symlink(os.path.basename(path), path), lambda path: os.symlink("/dev/zero", path)):
        folder = runs / f"damaged{len(list(runs.iterdir()))}"
        make(folder)
        (folder / name).unlink(missing_ok=True)
        plant(os.fspath(folder / name))
        assert "sound" in [job.folder.name for job in looked_at(runs)]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_lock_that_is_a_pipe(runs):
    run_of_a_job(runs / "other")
    os.mkfifo(runs / "other" / "job" / "lock")
    os.mkfifo(runs / "sound" / ".lock")
    assert len(looked_at(runs)) == 2


def test_a_folder_that_may_not_be_looked_into(runs, monkeypatch):
    run_of_a_job(runs / "closed")
    real = os.stat

    def closed(path, *arguments, **more):
        if "closed" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", closed)
    assert [job.folder.name for job in jobs.find(runs)] == ["sound"]


def test_a_damaged_run_says_so(runs):
    run_of_a_job(runs / "damaged")
    (runs / "damaged" / "job" / "job.json").write_text('{"verb": 3}')
    job = jobs.Job(runs / "damaged")
    assert "is damaged" in job.note
    assert not job.can_resume


def test_a_list_that_cannot_be_made_says_so(runs, monkeypatch):
    """"There is no run" would be a lie."""
    real = os.scandir

    def closed(path="."):
        if os.fspath(path) == os.fspath(runs):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match=r"runs: cannot be read \(Permission denied\)"):
        jobs.find(runs)


@pytest.fixture
def pipe(runs):
    """A named pipe for events, with a reader: opening one that has none to write to it waits for ever."""
    path = runs / "events.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path
    os.close(reader)


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_events_are_not_written_to_a_pipe(pipe):
    settings = FinetuneSettings(data="scans", output=str(pipe.parent))
    (pipe.parent / "settings.json").write_text("{}")
    with pytest.raises(OutputError, match=r"events\.jsonl: is not a regular file\. Remove it, or choose another"):
        RunFolder(pipe.parent, settings, True, False)
    assert (pipe.parent / "settings.json").read_text() == "{}"
    with pytest.raises(OSError, match=r"it is not a regular file: '.*events\.jsonl'"):
        EventStream(pipe)
