"""One job after the other on a device: those that wait stand in line by the time they were asked for.

Only the standard library.  There is no master: whoever waits holds a lock on a ticket, whoever runs holds that of the
queue, and both end with their processes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from kaf.runtime import locks
from kaf.runtime.logs import default_log
from kaf.runtime.temporary import is_ours

_LOOK = 0.25  # seconds
_END = ".ticket"


class Place:
    """A place in the queue of that name; ``key`` decides the order."""

    def __init__(self, queue: str, key: str):
        self._folder = _folder(queue)
        self._ticket = self._folder / f"{key}{_END}"
        # Waited for: on Windows somebody who looks whether it is held, holds it for a moment.
        self._held: list[IO[bytes] | None] = [locks.take(self._ticket, wait=2.0)]

    def wait(self, on_ahead: Callable[[int], None]) -> None:
        """Returns when it is this one's turn, which ends with the process or with :meth:`close`.

        on_ahead: called with the number of jobs that are before this one, whenever it has changed.
        """
        reported = -1
        while True:
            ahead = self._ahead()
            if not ahead:
                turn = locks.take(self._folder / "turn.lock")
                if turn is not None:
                    self._held.append(turn)
                    return
                ahead = 1
            if ahead != reported:
                on_ahead(ahead)
                reported = ahead
            time.sleep(_LOOK)

    def _ahead(self) -> int:
        count = 0
        for ticket in self._folder.glob(f"*{_END}"):
            if ticket.name < self._ticket.name:
                if locks.is_held(ticket):
                    count += 1
                else:  # its process is gone
                    with contextlib.suppress(OSError):
                        ticket.unlink()
        return count

    def close(self) -> None:
        """Leave the queue."""
        ticket, *turn = self._held
        if ticket is not None:
            locks.give_back(ticket, self._ticket)
        for file in turn:
            if file is not None:
                file.close()
        self._held = [None]


def _folder(queue: str) -> Path:
    """Where this user's processes on this computer meet: below the home, or else in the temporary folder."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in queue)
    own = "" if sys.platform == "win32" else str(os.getuid())
    for home in (default_log().parent.parent / "queues", Path(tempfile.gettempdir()) / f"kaf-queues{own}"):
        with contextlib.suppress(OSError):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_ours(home):  # in the temporary folder anybody may have made it
                continue
            (home / name).mkdir(exist_ok=True)
            (home / name / "turn.lock").open("ab").close()
            return home / name
    raise OSError(f"neither the home nor {tempfile.gettempdir()} can be written")
