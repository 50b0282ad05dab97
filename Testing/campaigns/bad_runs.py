"""Run folders with a damaged file: the others are still listed, and a run goes on as it should or says why not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from campaigns.apart import call, kaf
from campaigns.bad import text
from campaigns.material import Material
from campaigns.runs import finetune, leave_in_the_middle, weights_of
from campaigns.verdicts import Once, Try, Verdict, fine, must, refused, sound, succeeded

RUN_FILES = ("settings.json", "run.json", "plan.json", "split.json", "events.jsonl")
JOB_FILES = ("job/job.json", "job/child.json", "job/events.jsonl", "job/settings.json", "job/stop", "settings.json")
_DEEP = b"[" * 10_000 + b"]" * 10_000


def run_tries(material: Material) -> Iterator[Try]:
    """All of them."""
    training, job = material.folder / "left", material.folder / "job"
    left, done = Once(lambda: leave_in_the_middle(material, training)), Once(lambda: call(_make_job, job))
    for file in RUN_FILES:
        for name, damage in _damages():
            yield Try("run folders, listed", f"{file} {name}", _listed(training / "run", file, damage), left)
    for file in JOB_FILES:
        for name, damage in _damages():
            yield Try("folders of jobs, listed and looked at", f"{file} {name}", _listed(job, file, damage), done)
    for file in (*RUN_FILES, "checkpoints"):
        for name, damage in list(_damages())[::2]:
            yield Try("run folders, resumed", f"{file} {name}", _resumed(material, training, file, damage, left),
                      left)


def _make_job(folder: Path) -> None:
    """A finished job of the toy trainer, with all of its files."""
    from jobs_toys import toy_python

    from kaf.runs import start as jobs

    job = jobs.start(toy_python(folder.parent), "pretrain", {"data": "scans"}, folder)
    end = time.monotonic() + 60
    while job.state() in jobs.ALIVE and time.monotonic() < end:
        time.sleep(0.02)
    assert job.state() == jobs.FINISHED, job.error


def _damages() -> Iterator[tuple[str, Callable[[Path], object]]]:
    contents = {"empty": b"", "text": b"no JSON", "list": b"[]", "number": b"7", "null": b"null", "nested": _DEEP,
                "not UTF-8": b"\xff\xfe{}", "NULs": bytes(200), "cut short": b'{"verb": "fine',
                "other kinds": b'{"verb": 7, "values": [], "attempts": 7, "created": "x", "format": "y", "event": 7}',
                "numbers out of range": b'{"created": 1e999, "started": -1e999, "pid": 99999999999999999999, "a": NaN}',
                "escapes": b'{"verb": "\\u001b[31mred", "version": "\\u001b[31m", "text": "a\\u0000b"}'}
    for name, content in contents.items():
        yield name, lambda path, content=content: text(str(path), content)
    yield "missing", lambda path: None
    yield "a folder", lambda path: path.mkdir()
    yield "a named pipe", lambda path: os.mkfifo(path)
    yield "a link to itself", lambda path: os.symlink(path.name, path)
    yield "a device", lambda path: os.symlink("/dev/zero", path)


def _hurt(path: Path, damage: Callable[[Path], object]) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    damage(path)


def _listed(source: Path, file: str, damage: Callable[[Path], object]) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        for name in ("good", "bad"):
            shutil.copytree(source, here / "runs" / name)
        _hurt(here / "runs" / "bad" / file, damage)
        done = kaf("jobs", "runs")
        succeeded(done)
        must("good" in done.out, f"the sound run is not listed any more: {done.out}")
        must(not any(ord(letter) < 32 and letter != "\n" for letter in done.out), f"control characters: {done.out!r}")
        call(_looked_at, here / "runs" / "bad")
        return fine()
    return play


def _looked_at(folder: Path) -> None:
    """All that a panel asks of a run, as often as it asks."""
    from kaf.runs import start as jobs
    from kaf.runtime.errors import KafError

    try:
        job = jobs.Job(folder)
        for _ in range(2):
            state = job.state()
            events, place = job.events()
            facts = [state, place, len(events), job.progress(), job.seconds_left, job.ahead, job.error, job.note,
                     job.can_resume, job.model, job.has_checkpoint, job.learning_rate, job.values, job.verb,
                     job.created]
            str(facts)
        _ = job.command
    except KafError as error:
        must(error.reason and error.remedy, f"an error without words: {error}")


def _resumed(material: Material, training: Path, file: str, damage: Callable[[Path], object], left: Once
             ) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        shutil.copytree(training, here, dirs_exist_ok=True)
        _hurt(here / "run" / file, damage)
        done = finetune(material, "run", "--resume")
        sound(done)
        if done.code:
            must(file == "checkpoints" or any((here / "run" / "checkpoints").iterdir()), "the checkpoints are gone")
            return refused(done, ["run"])
        must(weights_of(Path("run")) == left(), f"other weights: {done.err[-500:]}")
        return fine()
    return play
