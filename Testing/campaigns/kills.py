"""SIGKILL to a command: at a random moment of the time it takes, or just before a random one of its file operations.

Whatever it was doing: nothing of the user is lost or half-written, and the next run goes on or starts again as if
nothing had happened.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from campaigns.apart import Done, kaf
from campaigns.verdicts import Once, Try, Verdict, fine, must, sound, succeeded

_OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime", "shutil.rmtree",
               "shutil.copyfile", "os.link", "os.symlink")
_LATE = 1.1  # a moment may be chosen a little after the usual end
_TOWARDS_THE_END = 0.8


@dataclass(frozen=True)
class Scenario:
    """A command that is killed, and what must hold then.

    Attributes:
        arrange: fills the current folder.
        command: the arguments.
        after: what must hold right after the kill.
        again: the next command that a person gives; it must work.
        finished: what must hold when that is over.
        below: only file operations below this folder are counted.
    """

    arrange: Callable[[], object]
    command: Sequence[object]
    after: Callable[[], object]
    again: Callable[[], Sequence[object]]
    finished: Callable[[], object]
    below: str = "."

    def measure(self) -> Measured:
        """The command once without a kill, in the current folder."""
        self.arrange()
        return measured(self.command, self.below)

    def play(self, number: int, usual: Measured, random: Random) -> Verdict:
        """One kill."""
        self.arrange()
        done = killed(self.command, number, usual, self.below, random)
        if done.code != -signal.SIGKILL:
            sound(done)
            must(done.code == 0, f"it failed by itself: {done.err[-500:]}")
        self.after()
        done = kaf(*self.again())
        sound(done)
        must(done.code == 0, f"the next run fails: {done.err[-700:]}")
        self.finished()
        return fine()


class Measured(NamedTuple):
    """How long a command takes, and how many file operations it makes."""

    seconds: float
    operations: int


def scenario_tries(name: str, make: Callable[[], Scenario], count: int, place: Path) -> Iterator[Try]:
    """Tries of a scenario, which is made and measured in a folder of its own below ``place``."""
    def prepare() -> tuple[Scenario, Measured]:
        with inside(place / name.replace(" ", "-"), remove=True):
            with inside(Path("making")):
                scenario = make()
            with inside(Path("measuring")):
                return scenario, scenario.measure()

    start = Once(prepare)
    def play(number: int, random: Random) -> Verdict:
        scenario, usual = start()
        return scenario.play(number, usual, random)

    for number in range(count):
        yield Try(name, f"{number}", lambda here, random, number=number: play(number, random), start)


@contextmanager
def inside(folder: Path, remove: bool = False) -> Iterator[None]:
    """The folder, made if need be, is the current one meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    folder, before = folder.resolve(), Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if remove:
            shutil.rmtree(folder, ignore_errors=True)


def measured(command: Sequence[object], below: str) -> Measured:
    """A command that is left in peace."""
    with tempfile.NamedTemporaryFile() as counter:
        done = kaf(*command, before=lambda: count_operations(below, Path(counter.name)))
        succeeded(done)
        return Measured(done.seconds, Path(counter.name).stat().st_size)


def killed(command: Sequence[object], number: int, usual: Measured, below: str, random: Random) -> Done:
    """The command with a kill: of an odd number at a file operation, of an even one at a moment, half of these late."""
    if number % 2 and usual.operations:
        return kaf(*command, before=lambda: kill_at_operation(below, random.randrange(usual.operations)))
    start = _TOWARDS_THE_END if number % 4 == 2 else 0.0
    return kaf(*command, kill_after=usual.seconds * random.uniform(start, _LATE))


def _watch(below: str, each: Callable[[], Any]) -> None:
    """Call ``each`` before every operation on files below a folder."""
    root = os.fsencode(os.path.abspath(below))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _OPERATIONS and not (event == "open" and _writes(arguments)):
            return
        name = arguments[0]
        if isinstance(name, (str, bytes, os.PathLike)) and os.fsencode(os.path.abspath(name)).startswith(root):
            each()

    sys.addaudithook(hook)


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Whether a file is opened for writing; ``open`` states a mode, ``os.open`` flags."""
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def count_operations(below: str, into: Path) -> None:
    """In the child: a byte in the file for every operation."""
    counter = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _watch(below, lambda: os.write(counter, b"."))


def kill_at_operation(below: str, number: int) -> None:
    """In the child: it dies just before that operation, counted from 0."""
    left = [number]

    def each() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    _watch(below, each)
