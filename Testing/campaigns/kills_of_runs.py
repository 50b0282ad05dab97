"""Kills of trainings: whatever a kill leaves, the run that goes on ends with the same weights, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from campaigns.apart import files_below, kaf
from campaigns.kills import Scenario, inside, killed, measured, scenario_tries
from campaigns.material import HERE, Material
from campaigns.runs import COMMON, OFTEN, weights_of
from campaigns.verdicts import Once, Try, Verdict, fine, must, sound, succeeded

_RUN = Path("run")


def training_kills(material: Material) -> Iterator[Try]:
    """All tries."""
    place = material.folder / "trained"
    finetune = ["finetune", material.hearts, "--output", "run", *OFTEN, *COMMON]
    pretrain = ["pretrain", material.scans, "--output", "run", "--method", "mae", *OFTEN, *COMMON]
    for name, command, count in (("finetune, resumed", finetune, 34), ("pretrain, resumed", pretrain, 20)):
        def prepare(name: str = name, command: list[object] = command) -> _Chain:
            with inside(place / name, remove=True):
                return _Chain(command)

        start = Once(prepare)
        for number in range(count):
            yield Try(name, f"{number}", lambda here, random, start=start, number=number: start().play(number, random),
                      start)
    yield from scenario_tries("finetune over an older run", lambda: _overwritten(finetune), 20, place)
    yield from scenario_tries("writing the cache", lambda: _cached(finetune), 30, place)
    yield from scenario_tries("compare", lambda: _compared(material), 14, place)


class _Chain:
    """A training that is killed once, twice or three times and resumed each time; made in an empty folder."""

    def __init__(self, command: Sequence[object]):
        self._command = command
        self._usual = measured(command, "run")
        self._digest = weights_of(_RUN)

    def play(self, number: int, random: Random) -> Verdict:
        """One try."""
        for turn in range(random.randint(1, 3)):
            done = killed(self._next(), number + turn, self._usual, "run", random)
            if done.code >= 0:
                sound(done)
                must(done.code == 0, f"it failed by itself: {done.err[-500:]}")
                break
            _half_written_nothing()
        if not (_RUN / "model.safetensors").is_file():
            done = kaf(*self._next())
            sound(done)
            must(done.code == 0, f"it does not go on: {done.err[-600:]}")
        must(weights_of(_RUN) == self._digest, f"other weights after kills: {sorted(files_below(_RUN))}")
        return fine()

    def _next(self) -> list[object]:
        """What a person does: resume what has begun, else start."""
        return [*self._command, *["--resume"] * (_RUN / "settings.json").is_file()]


def _half_written_nothing() -> None:
    """JSON can be read, whole lines can be read, and what is called a checkpoint is one."""
    for path in _RUN.glob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text())
    reported = _RUN / "events.jsonl"
    for line in reported.read_text().splitlines(keepends=True) if reported.is_file() else ():
        if line.endswith("\n"):
            json.loads(line)


def _overwritten(command: list[object]) -> Scenario:
    """A new run in the folder of an old one: the old model is there until the new run has something to go on from."""
    old = ["--seed", "7"]
    succeeded(kaf(*command, *old))
    first, files = weights_of(_RUN), files_below(_RUN)
    shutil.rmtree(_RUN)
    succeeded(kaf(*command))
    second = weights_of(_RUN)

    def arrange() -> None:
        for name, content in files.items():
            (_RUN / name).parent.mkdir(parents=True, exist_ok=True)
            (_RUN / name).write_bytes(content)

    def after() -> None:
        _half_written_nothing()
        model = _RUN / "model.safetensors"
        begun = [path for path in Path().rglob("checkpoint-*.safetensors") if not path.name.startswith(".")]
        must(model.is_file() or begun, "the old model is gone, and nothing new has come")
        if model.is_file():
            must(weights_of(_RUN) in (first, second), "a model of no run")

    def finished() -> None:
        must(weights_of(_RUN) == second, "other weights than those of a run that was left in peace")

    return Scenario(arrange, [*command, "--overwrite"], after, lambda: [*command, "--overwrite"], finished, "run")


def _cached(command: list[object]) -> Scenario:
    """Only operations within the cache count: the kill comes while cases are prepared."""
    succeeded(kaf(*command))
    digest, entries = weights_of(_RUN), _entries()

    def after() -> None:
        for name, content in _entries().items():
            must(entries.get(name) == content, f"the entry {name} of the cache is half-written")

    def finished() -> None:
        must(weights_of(_RUN) == digest, "other weights")
        must(_entries() == entries, "the cache holds other things")

    def again() -> list[object]:
        shutil.rmtree(_RUN, ignore_errors=True)  # the folder of the run is not what is tried here
        return command

    return Scenario(lambda: None, command, after, again, finished, "cache")


def _entries() -> dict[str, bytes]:
    """The files of finished entries; hidden folders are those that were being written."""
    files = files_below(Path("cache")) if Path("cache").is_dir() else {}
    return {name: content for name, content in files.items()
            if not any(part.startswith(".") for part in Path(name).parts) and name.endswith((".npy", "case.json"))}


def _compared(material: Material) -> Scenario:
    command = ["compare", material.hearts, "--methods", "scratch,unet", "--few-shot", "1", "--folds", "3", "--draws",
               "1", "--output", "out", '--finetune={"steps": 2, "batch": 2, "patch": 32}', *HERE]
    succeeded(kaf(*command))
    expected = _table()

    def after() -> None:
        for path in Path("out").glob("*.json"):
            json.loads(path.read_text())

    def finished() -> None:
        must(_table() == expected, "another table than that of a comparison left in peace")

    return Scenario(lambda: None, command, after, lambda: command, finished, "out")


def _table() -> Any:
    table = json.loads(Path("out/comparison.json").read_text())
    return table["rows"], table["differences"], Path("out/comparison.csv").read_text()
