"""What a try found, told without a person: clear, unclear or wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from campaigns.apart import Done, Passing

CLEAR, UNCLEAR, WRONG = "clear", "unclear", "wrong"
_TRACES = ("Traceback (most recent call last)", "Fatal Python error", "terminate called", "Segmentation fault")
_UNEXPECTED = re.compile(r"met an unexpected error|met an error (that )?it (does|did) not (expect|know)")
_PYTHON = re.compile(r"\b(NoneType|object has no attribute|list index|unexpected keyword|[A-Z]\w*(Error|Exception): )")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MEMORY = 1500.0  # MiB; a command on a scan of a few kilobytes takes about 500, torch included


@dataclass(frozen=True)
class Verdict:
    """``clear``: the right result, or an error that names what it is about, the reason and a remedy; ``unclear``: an
    error without one of these; ``wrong``: anything else.  ``words`` say what was found."""

    kind: str
    words: str = ""


class Once:
    """What several tries start from: made once, when the first of them is going to be played."""

    def __init__(self, make: Callable[[], Any]):
        self._make = make
        self._made: list[Any] = []

    def __call__(self) -> Any:
        if not self._made:
            self._made.append(self._make())
        return self._made[0]


@dataclass(frozen=True)
class Try:
    """One try: a name that says what is done, and what does it in an empty folder with its own random numbers.

    ``start``: what it starts from; called before any try is played, in the process that forks them all.
    """

    group: str
    name: str
    play: Callable[[Path, Random], Verdict]
    start: Once | None = None


class Found(Passing):
    """Ends a try with a verdict, from deep inside."""

    def __init__(self, verdict: Verdict):
        super().__init__(verdict)
        self.verdict = verdict


def fine(words: str = "") -> Verdict:
    return Verdict(CLEAR, words)


def wrong(words: str) -> Found:
    """To be raised."""
    return Found(Verdict(WRONG, words))


def unclear(words: str) -> Found:
    """To be raised."""
    return Found(Verdict(UNCLEAR, words))


def must(condition: object, words: str) -> None:
    """What has to hold, or else the try went wrong."""
    if not condition:
        raise wrong(words)


def sound(done: Done, memory: float = _MEMORY) -> None:
    """Whatever a command ends with: no traceback, no signal, no hang, no gigabytes.

    Raises:
        Found: one of these.
    """
    said = done.err + done.out
    must(not done.late, f"hangs: still running after {done.seconds:.0f} s: {_tail(said)}")
    for trace in _TRACES:
        must(trace not in said, f"traceback: {_tail(said)}")
    must(not _UNEXPECTED.search(said), f"an error that nobody expected: {_tail(said)}")
    must(done.code >= 0, f"ended by signal {-done.code}: {_tail(said)}")
    must(done.peak <= memory, f"took {done.peak:.0f} MiB of memory")


def succeeded(done: Done) -> None:
    """Raises:
        Found: it did not end well.
    """
    sound(done)
    must(done.code == 0, f"failed where it should have worked: {_tail(done.err)}")


def refused(done: Done, about: Iterable[str]) -> Verdict:
    """The verdict on a command that must fail: a paragraph that names one of ``about``, the reason and a remedy."""
    sound(done)
    must(done.code != 0, f"accepted: {_tail(done.out or done.err)}")
    must(done.code in (1, 2), f"exit code {done.code}: {_tail(done.err)}")
    return as_kaf_error(done.err, about)


def as_kaf_error(said: str, about: Iterable[str]) -> Verdict:
    """Whether the last thing that stderr tells is one paragraph: ``kaf: subject: reason. Remedy.``"""
    lines = [line for line in said.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if line.startswith("kaf: ")]
    if not starts:
        raise unclear(f"no error message: {_tail(said)}")
    if starts[-1] != len(lines) - 1:
        raise unclear(f"more than one paragraph: {_tail(said)}")
    return paragraph(lines[-1].removeprefix("kaf: "), about)


def paragraph(text: str, about: Iterable[str], for_programs: bool = False) -> Verdict:
    """Whether an error's words name what it is about, the reason and a remedy, and nothing else.

    ``for_programs``: who wrote the other side of a protocol may be told the name of a Python error."""
    about = list(about)
    if _CONTROL.search(text):
        raise unclear(f"control characters: {text!r}")
    if about and not any(name.lower() in text.lower() for name in about):
        raise unclear(f"names none of {about}: {text}")
    head, stop, remedy = text.removesuffix(".").rpartition(". ")
    subject, colon, reason = head.partition(": ")
    if not (stop and text.endswith((".", "?", "`"))) or not remedy[:1].isupper() or len(remedy.split()) < 2:
        raise unclear(f"no remedy: {text}")
    if not colon or len(reason) < 8 or not subject:
        raise unclear(f"no reason: {text}")
    if not for_programs and _PYTHON.search(text):
        raise unclear(f"speaks Python: {text}")
    return fine(text)


def _tail(text: str) -> str:
    return " / ".join(line for line in text.splitlines() if line.strip())[-700:]
