"""Work on many cases that processes share: one that is stopped or killed is gone on with, none is done twice.

Whoever works on a case holds a lock of the operating system on a file, which ends with its process; results mark
the case as done.  So it does not matter who started the processes (torchrun, a cluster, two people), how many there
are, or when one of them is killed: another one takes the case over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kaf.runtime import locks
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import OnEvent, Ticker
from kaf.runtime.file_set import sweep

T = TypeVar("T")


@dataclass
class CaseOutcome:
    """Names of the cases that were done here, were done before or by others, are with others still; what failed; the
    order in which to look at the results, where that is known."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def leads() -> bool:
    """Whether this process reports for all that torchrun started; it visits every case."""
    return int(os.environ.get("RANK", 0)) == 0


def one_voice() -> AbstractContextManager[None]:
    """Of processes that torchrun started, the first one that fails inside the block tells why; the others end."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return nullcontext()
    from kaf.runtime import ranks  # torch

    return ranks.meeting()


def work_folder(output: Path) -> Path:
    """The folder inside ``output`` for locks and half-done work; gone when all is done."""
    return output / ".kaf-work"


def share_work(cases: Sequence[T], name: Callable[[T], str], output: Path, is_done: Callable[[T], bool],
               do: Callable[[T], None], on_event: OnEvent, stage: str) -> CaseOutcome:
    """``do`` every case that is not done; one that raises InputError has failed, and the others go on.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = work_folder(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(output, f"this folder cannot be created ({error.strerror})", "Choose another folder."
                          ) from error
    outcome, busy = CaseOutcome(), list[T]()
    ticker = Ticker(on_event, stage, len(cases))

    def visit(case: T, wait: bool) -> bool:
        try:
            with _held(folder, name(case), wait):
                if is_done(case):
                    outcome.kept.append(name(case))
                else:
                    do(case)
                    outcome.written.append(name(case))
        except locks.BusyError:
            return False
        except InputError as error:
            outcome.failed[name(case)] = str(error)
        ticker.update(ticker.done + 1)
        return True

    for case in _mine_first(cases):
        if not visit(case, wait=False):
            busy.append(case)
    for case in busy:  # the first process waits for the others, in case one of them dies
        if leads():
            visit(case, wait=True)
        else:
            outcome.elsewhere.append(name(case))
    return outcome


@contextmanager
def _held(folder: Path, name: str, wait: bool) -> Iterator[None]:
    """The lock of a case; another process that had nothing left to do may remove the folder at any moment."""
    with ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                stack.enter_context(locks.hold(folder / f"{name}.lock", math.inf if wait else 0.0))
                break
        yield


@contextmanager
def try_alone(output: Path, name: str) -> Iterator[bool]:
    """Whether no other process is at work on a case; none begins with it inside the block."""
    folder = work_folder(output)
    with ExitStack() as stack:
        try:
            stack.enter_context(_held(folder, name, wait=False))
        except locks.BusyError:
            yield False
            return
        except OSError:  # nobody can write there
            yield True
            return
        try:
            yield True
        finally:
            stack.close()  # Windows does not remove what is open
            _clear(folder, [f"{name}.lock"])


def clear_work(output: Path, names: Iterable[str]) -> None:
    """Remove what the work on these cases has left in the work folder, and the folder if that was all: they are done,
    so that a lock has nothing to protect."""
    _clear(work_folder(output), [f"{name}.{ending}" for name in names for ending in ("lock", "json", "started")])


def _clear(folder: Path, names: Sequence[str]) -> None:
    with suppress(OSError):
        sweep([folder / name for name in names])
    for name in names:
        with suppress(OSError):  # Windows: another process has it open
            (folder / name).unlink()
    with suppress(OSError):  # other processes are at work on other cases
        folder.rmdir()


def _mine_first(cases: Sequence[T]) -> list[T]:
    """This process's share of the cases, then the others', which it helps with when it is done."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return [case for turn in range(world) for case in cases[(rank + turn) % world::world]]
