"""Plays tries, several at a time, each in a process and a folder of its own, and counts the verdicts."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from campaigns.apart import BrokenCampaign, end, private_home
from campaigns.verdicts import CLEAR, UNCLEAR, WRONG, Found, Try, Verdict

_LIMIT = 600.0  # seconds for a try, which may hold several commands with limits of their own
_LOOK = 0.005


@dataclass
class Row:
    """The counts of one group of tries, and the words about all that were not clear."""

    part: str
    group: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(self.counts.values())


@dataclass
class _Running:
    number: int
    one: Try
    folder: Path
    answer: Path
    end: float


def play_all(part: str, tries: Sequence[Try], folder: Path, seed: int, at_once: int, tell: Callable[[str], None],
             limit: float = _LIMIT) -> list[Row]:
    """Every try once; rows in order of the groups' first try.

    Args:
        folder: where each try gets a folder of its own, removed afterwards.
        seed: with the part, the group and the try's name it makes the random numbers of a try.
        tell: hears every fault as soon as it is found, and how far it is.
        limit: seconds for a try.
    """
    rows: dict[str, Row] = {}
    for one in tries:
        rows.setdefault(one.group, Row(part, one.group))
        if one.start is not None:
            one.start()
    running: dict[int, _Running] = {}
    waiting = list(enumerate(tries))[::-1]
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, one = waiting.pop()
                process, job = _begin(part, number, one, folder, seed, limit)
                running[process] = job
            for process, job in list(running.items()):
                verdict = _ended(process, job)
                if verdict is None:
                    continue
                del running[process]
                done += 1
                row = rows[job.one.group]
                row.counts[verdict.kind] += 1
                if verdict.kind != CLEAR:
                    row.faults.append(f"{job.one.name}: {verdict.words}")
                    words = " / ".join(verdict.words.strip().splitlines())
                    tell(f"{verdict.kind.upper()}  {part}, {job.one.group}, {job.one.name}: {words}")
                if done % 50 == 0:
                    tell(f"{part}: {done} of {len(tries)}")
            time.sleep(_LOOK)
    finally:
        for process in running:
            end(process)
    return list(rows.values())


def _begin(part: str, number: int, one: Try, folder: Path, seed: int, limit: float) -> tuple[int, _Running]:
    place = folder / f"{part}-{number}"
    answer = folder / f"{part}-{number}.verdict"
    child = os.fork()
    if child == 0:
        _play(one, place, answer, f"{seed}/{part}/{one.group}/{one.name}")
    return child, _Running(number, one, place, answer, time.monotonic() + limit)


def _play(one: Try, place: Path, answer: Path, seed: str) -> None:
    """In the child; never returns."""
    try:
        os.setsid()
        private_home(place / "home")
        here = place / "here"
        here.mkdir()
        os.chdir(here)
        verdict = judged(one, here, Random(seed))
        part = answer.with_suffix(".part")
        part.write_bytes(pickle.dumps(verdict))
        part.rename(answer)
    finally:
        os._exit(0)


def judged(one: Try, here: Path, random: Random) -> Verdict:
    """The verdict of a try; a fault of the campaign itself counts as wrong, so that it is seen."""
    try:
        return one.play(here, random)
    except Found as found:
        return found.verdict
    except BrokenCampaign as error:
        return Verdict(WRONG, f"the campaign failed: {error}")
    except Exception:
        return Verdict(WRONG, f"the campaign failed: {traceback.format_exc()[-2000:]}")


def _ended(process: int, job: _Running) -> Verdict | None:
    """The verdict of a child that is over; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    late = not found and time.monotonic() > job.end
    if not found and not late:
        return None
    end(process)
    if late:
        os.waitpid(process, 0)
    verdict = Verdict(WRONG, "hangs" if late else f"the try died ({status})")
    with contextlib.suppress(OSError):
        verdict = pickle.loads(job.answer.read_bytes())
        job.answer.unlink()
    shutil.rmtree(job.folder, ignore_errors=True)
    return verdict


def totals(rows: Sequence[Row]) -> Counter[str]:
    """The counts of several rows together."""
    return sum((row.counts for row in rows), Counter())


def is_clean(rows: Sequence[Row]) -> bool:
    """Whether nothing was wrong or unclear."""
    counts = totals(rows)
    return not counts[WRONG] and not counts[UNCLEAR]
