"""A process that does something to the disk again and again, killed each time at another change that it makes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kaf.runtime.errors import KafError

KILLED = 9
_CHANGES = ("mkdir", "replace", "rename", "unlink", "rmdir")


def end_at(count: int) -> None:
    """This process ends, as if it were killed, at the n-th change that it makes on the disk."""
    left = [count]

    def counted(change):
        def call(*arguments, **more):
            left[0] -= 1
            if not left[0]:
                os._exit(KILLED)
            return change(*arguments, **more)
        return call

    os.fsync = lambda handle: None  # a kill is no power failure
    for name in _CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def serve(action: Callable[..., None]) -> None:
    """For each line ``[end, ...]`` a child that does the action with the rest, and ends at that change, at none for 0;
    its exit code is answered, 1 for a KafError."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            end, *rest = json.loads(line)
            if end:
                end_at(end)
            with contextlib.suppress(KafError):
                action(*rest)
                os._exit(0)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@contextmanager
def server(toys: Any) -> Iterator[Callable[..., int]]:
    """The process that serves the toys of a module, as a function (end, ...) -> exit code."""
    with subprocess.Popen([sys.executable, toys.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:

        def ask(end: int, *rest: object) -> int:
            process.stdin.write(json.dumps([end, *map(str, rest)]) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        process.stdin.close()
