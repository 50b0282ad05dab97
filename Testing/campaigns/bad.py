"""What the tries of bad input share: a bad thing is made, a command meets it, and nothing may be lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from campaigns.apart import Done, call, files_below, kaf
from campaigns.verdicts import Try, Verdict, fine, must, refused, sound

REFUSE, EITHER, ACCEPT = "refuse", "either", "accept"
_LIMIT = 45.0
Arguments = Sequence[object] | Callable[[], Sequence[object]]


def bad(group: str, name: str, arrange: Callable[[], Any], arguments: Arguments, about: Iterable[str] = (),
        expect: str = REFUSE, made: Sequence[str] = (), check: Callable[[Done], None] | None = None) -> Try:
    """A try: what ``arrange`` makes in the current folder is met by ``kaf`` with these arguments.

    Args:
        about: the error must name one of these.
        expect: REFUSE: it must be refused; ACCEPT: it only looks bad; EITHER: it may be taken or refused.
        made: files and folders that may be new or changed, where it is taken.
        check: what must hold of a command that took it.
    """
    about = tuple(about)

    def play(here: Path, random: Random) -> Verdict:
        call(_run, arrange)
        before = files_below(here, but=("home",))
        done = kaf(*(arguments() if callable(arguments) else arguments), limit=_LIMIT)
        sound(done)
        after = files_below(here, but=("home",))
        taken = done.code == 0
        must(taken or expect != ACCEPT, f"refused where it should have worked: {done.err[-500:]}")
        lost = [key for key, content in before.items() if after.get(key) != content
                and not (taken and key.startswith(tuple(made)))]
        must(not lost, f"changed or removed: {lost[:5]}")
        new = [key for key in after if key not in before and not key.startswith(tuple(made) if taken else "cache")]
        must(not new, f"left behind: {sorted(new)[:5]} after {done.err[-500:]}")
        if not taken:
            return refused(done, about)
        must(expect != REFUSE, f"accepted: {(done.out + done.err)[-500:]}")
        if check is not None:
            check(done)
        return fine()

    return Try(group, name, play)


def _run(arrange: Callable[[], Any]) -> None:
    arrange()


def nothing() -> None:
    """For tries in which the command itself is bad."""


def text(path: str, content: str | bytes = "this is no scan\n") -> str:
    """A file with this content."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def contains(*words: str) -> Callable[[Done], None]:
    """A check that the command said all of these."""
    def check(done: Done) -> None:
        missing = [word for word in words if word not in done.out + done.err]
        must(not missing, f"does not say {missing}: {(done.out + done.err)[-500:]}")
    return check


