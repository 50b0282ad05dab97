"""The end of a growing file of events, read bit by bit.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from kaf.runtime.events import Error, Event, Progress, Result, from_json
from kaf.runtime.files import open_regular


def read_events(path: Path, since: int = 0) -> tuple[list[Event], int]:
    """The events after byte ``since``, and the byte to go on from.

    A last line without its end is left for later; a line that is no event is passed over; a file that has become
    shorter is another one, and is read from its start.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(since if 0 <= since <= size else 0)
            since = file.tell()
            block = file.read()
    except OSError:
        return [], since
    whole = block[:block.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        with contextlib.suppress(ValueError, UnicodeDecodeError):
            found.append(from_json(line.decode("ascii")))
    return found, since + len(whole)


class Tail:
    """What the events of a run say now; every look reads only what is new."""

    def __init__(self, path: Path, since: int = 0):
        self.path = path
        self.progress: Progress | None = None
        self.ending: Result | Error | None = None
        """The last event, where it is one that ends a run."""
        self._place = since

    def look(self) -> Tail:
        reported, self._place = read_events(self.path, self._place)
        for event in reported:
            if isinstance(event, Progress):
                self.progress = event
            self.ending = event if isinstance(event, (Result, Error)) else None
        return self
