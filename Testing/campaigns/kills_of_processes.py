"""Kills among processes: the worker in the middle of a request, its client, jobs and those who start and stop them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from campaigns.apart import Done, call, process
from campaigns.kills import kill_at_operation
from campaigns.material import HERE, Material
from campaigns.runs import COMMON, weights_of
from campaigns.verdicts import Try, Verdict, fine, must, sound

_PATIENCE = 60.0
_TOYS = Path(__file__).resolve().parents[1] / "helpers"
_RUN = Path("runs/first")


def process_kills(material: Material) -> Iterator[Try]:
    """All tries."""
    groups: list[tuple[str, int, Callable[[Path, Random, int], Verdict]]] = [
        ("a job's training, then resumed", 16, _training), ("who starts a job", 16, _starter),
        ("who stops a job", 10, _stopper), ("who resumes a job", 10, _resumer),
        ("the worker in the middle of a request", 20, _worker), ("the client of a worker", 12, _client)]
    for group, count, play in groups:
        yield from (Try(group, f"{number}", lambda here, random, play=play, number=number: play(here, random, number))
                    for number in range(count))
    for number in range(5):
        yield Try("the worker in the middle of a segmentation", f"{number}", _segmenting(material))
    for number in range(4):
        yield Try("a job's training, bit for bit", f"{number}", _real_training(material))


def mine(here: Path, words: str) -> list[int]:
    """Processes that were started from this try, whose command line holds these words."""
    found = []
    mark = os.fsencode(here.parent)
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (place / "environ").read_bytes() and words.encode() in (place / "cmdline").read_bytes():
                    found.append(int(place.name))
    return found


def _is_dead(pid: int) -> bool:
    """Whether a process has ended with all its threads, though nobody may have asked how yet."""
    try:
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return ended and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def _until(what: Callable[[], Any], words: str, seconds: float = _PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        must(time.monotonic() < end, f"hangs: {words}")
        time.sleep(0.01)
    return found


def _begin(steps: int = 20, **more: Any) -> None:
    from jobs_toys import toy_python

    from kaf.runs import start as jobs

    jobs.start(toy_python(Path.cwd()), "pretrain", {"data": "scans", "steps": steps, **more}, _RUN)


def _resume() -> None:
    from kaf.runs import start as jobs

    jobs.Job(_RUN).resume(str(Path.cwd() / "toy-python"))


def _stop() -> None:
    from kaf.runs import start as jobs

    jobs.Job(_RUN).stop()


def _state() -> str:
    from kaf.runs import start as jobs

    return jobs.Job(_RUN).state()


def _settled() -> str:
    """Its state as soon as it does nothing any more."""
    from kaf.runs import start as jobs

    _until(lambda: jobs.Job(_RUN).state() not in jobs.ALIVE, "the job does not end")
    return jobs.Job(_RUN).state()


def _whole_events() -> int:
    """How many steps the last result tells; every line must be an event, but for one that a kill cut short."""
    from kaf.runs import start as jobs
    from kaf.runtime.events import Result

    reported = jobs.Job(_RUN).events()[0]
    results = [event for event in reported if isinstance(event, Result)]
    return int(results[-1].values["steps"]) if results else 0


def _goes_on(steps: int = 20) -> None:
    """Resumed as often as needed, the job ends well and has made all of its steps."""
    from kaf.runs import start as jobs

    state = call(_settled)
    for _ in range(3):
        if state == jobs.FINISHED:
            break
        must(state in (jobs.LOST, jobs.STOPPED, jobs.FAILED), f"the state is {state}")
        call(_resume)
        state = call(_settled)
    must(state == jobs.FINISHED, f"it ends {state}: {call(_words)}")
    must(call(_whole_events) == steps, "not all steps were made")


def _words() -> str:
    from kaf.runs import start as jobs

    return jobs.Job(_RUN).error


def _training(here: Path, random: Random, number: int) -> Verdict:
    call(_begin)
    time.sleep(random.uniform(0, 0.9))
    for pid in mine(here, "kaf.cli.job_process") + mine(here, "jobs_toys.py"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    _goes_on()
    return fine()


def _someone_killed(function: Callable[[], None], random: Random, number: int, seconds: float, operations: int) -> None:
    """The function in a process that is killed at a moment, or at a file operation below the runs."""
    if number % 2:
        def work() -> None:
            kill_at_operation("runs", random.randrange(operations))
            function()
        done: Done = process(work, 60.0)
    else:
        done = process(function, 60.0, random.uniform(0, seconds))
    must(not done.late, "hangs")
    sound_end = done.code in (0, -signal.SIGKILL)
    must(sound_end, f"it failed by itself: {done.err[-600:]}")


def _starter(here: Path, random: Random, number: int) -> Verdict:
    Path("runs").mkdir()
    _someone_killed(_begin, random, number, 0.15, 14)
    call(_start_again)
    _goes_on()
    return fine()


def _start_again() -> None:
    """What a person does: start it, and where a run is there already, look at that one."""
    from kaf.runs import start as jobs
    from kaf.runtime.errors import OutputError

    jobs.find("runs")
    with contextlib.suppress(OutputError):
        _begin()
    must([job.folder.name for job in jobs.find("runs")] == ["first"], f"{jobs.find('runs')}")


def _stopper(here: Path, random: Random, number: int) -> Verdict:
    from kaf.runs import start as jobs

    call(_begin, 400)
    _until(lambda: call(_state) == jobs.RUNNING, "it does not start")
    _someone_killed(_stop, random, number, 0.05, 1)
    call(_stop)
    must(call(_settled) in (jobs.STOPPED, jobs.FINISHED), "it does not stop")
    _goes_on(400)
    return fine()


def _resumer(here: Path, random: Random, number: int) -> Verdict:
    from kaf.runs import start as jobs

    call(_begin, 60)
    _until(lambda: call(_state) == jobs.RUNNING, "it does not start")
    call(_stop)
    call(_settled)
    _someone_killed(_resume, random, number, 0.15, 12)
    _goes_on(60)
    return fine()


def _real_training(material: Material) -> Callable[[Path, Random], Verdict]:
    values = dict(zip(COMMON[::2], COMMON[1::2], strict=True))

    def play(here: Path, random: Random) -> Verdict:
        call(_begin_real, material.hearts, values)
        _until(lambda: list(_RUN.glob("checkpoints/checkpoint-*")) or call(_state) == "finished", "it does not begin",
               120)
        time.sleep(random.uniform(0, 1.0))
        for pid in mine(here, "kaf.cli.job_process"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if call(_settled) != "finished":
            call(_resume_real)
            must(call(_settled) == "finished", f"it ends {call(_state)}: {call(_words)}")
        from campaigns.apart import kaf

        done = kaf("finetune", material.hearts, "--output", "peace", *COMMON)
        sound(done)
        must(weights_of(_RUN) == weights_of(Path("peace")), "other weights than those of a run left in peace")
        return fine()
    return play


def _begin_real(data: Path, flags: dict[str, str]) -> None:
    from kaf.runs import start as jobs

    values: dict[str, Any] = {"data": str(data), "checkpoint_every": 1e-6, "network": {}}
    for flag, value in flags.items():
        name = flag.removeprefix("--").replace("-", "_")
        number: Any = int(value) if value.isdigit() else value
        if name.startswith("network."):
            values["network"][name.removeprefix("network.")] = number
        else:
            values[name] = number
    jobs.start(sys.executable, "finetune", values, _RUN)


def _resume_real() -> None:
    from kaf.runs import start as jobs

    jobs.Job(_RUN).resume(sys.executable)


def _worker(here: Path, random: Random, number: int) -> Verdict:
    call(_kill_a_worker, here, random.uniform(0, 0.8), ("nap", "steps", "echo")[number % 3])
    return fine()


def _kill_a_worker(here: Path, delay: float, verb: str) -> None:
    """The request ends with an error or a result, and the next one has a fresh worker."""
    from kaf.runtime.errors import WorkerError
    from kaf.worker.client import Client

    voxels, affine = np.arange(60.0).reshape(3, 4, 5), np.eye(4)
    with Client(verbs="worker_toys:TABLE", env={"PYTHONPATH": str(_TOYS)}, log=here / "worker.log") as client:
        volumes = {"image": (voxels, affine)} if verb == "echo" else None
        job = client.submit(verb, {}, volumes)
        start = time.monotonic()
        while time.monotonic() - start < delay and not job.poll(0.01):
            pass
        for pid in mine(here, "kaf.worker"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                _until(lambda pid=pid: _is_dead(pid), "a killed worker lives on")  # while it dies it may still be asked
        try:
            _until(job.poll, "the request does not end")
            job.result()
            must(verb != "nap", "a nap that was killed ended well")
        except WorkerError as error:
            must(error.subject and len(error.reason) > 8 and error.remedy, f"an error without words: {error}")
        found = client.request("echo", {"a": 1}, {"image": (voxels, affine)})
        must(np.array_equal(found["arrays"]["image"][0], voxels), "the next request has another answer")
    _until(lambda: not mine(here, "kaf.worker"), "a worker lives on")


def _client(here: Path, random: Random, number: int) -> Verdict:
    def work() -> None:
        from kaf.worker.client import Client

        client = Client(verbs="worker_toys:TABLE", env={"PYTHONPATH": str(_TOYS)}, log=here / "worker.log")
        client.request("nap", {}, {"image": (np.zeros((3, 4, 5)), np.eye(4))})

    process(work, 60.0, random.uniform(0, 0.8))
    _until(lambda: not mine(here, "kaf.worker") and not mine(here, "time.sleep(600)"), "the worker lives on", 30)
    call(_kill_a_worker, here, 0.3, "echo")
    left = [path for path in Path(os.environ["TMPDIR"]).rglob("*") if path.is_file()]
    must(not left, f"left in the temporary folder: {left[:5]}")
    return fine()


def _segmenting(material: Material) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        call(_kill_a_segmentation, here, random.uniform(0.5, 4.0), material)
        return fine()
    return play


def _kill_a_segmentation(here: Path, delay: float, material: Material) -> None:
    from kaf.imaging.volume import read_volume
    from kaf.runtime.errors import WorkerError
    from kaf.worker.client import Client

    volume = read_volume(material.scan)
    settings = {"model": str(material.model), **dict(zip((flag.removeprefix("--") for flag in HERE[::2]), HERE[1::2],
                                                         strict=True))}
    settings["threads"] = 1
    volumes = {"image": (volume.voxels, volume.affine)}
    with Client(log=here / "worker.log", threads=1) as client:
        job = client.submit("segment", settings, volumes)
        start = time.monotonic()
        while time.monotonic() - start < delay and not job.poll(0.01):
            pass
        for pid in mine(here, "kaf.worker"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(WorkerError):
            _until(job.poll, "the request does not end")
            job.result()
        found = client.request("segment", settings, volumes)
        again = client.request("segment", settings, volumes)
        labels = found["arrays"]["labels"][0]
        must(labels.shape == volume.shape and np.array_equal(labels, again["arrays"]["labels"][0]), "another answer")


