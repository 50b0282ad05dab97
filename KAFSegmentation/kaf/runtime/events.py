"""What a run tells its watcher: a callback in Python, JSON lines between processes, a bar on a terminal.

No torch, no heavy import.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kaf.runtime import json_files


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` steps of ``stage``; ``seconds_left`` is None until it can be told."""

    stage: str
    done: float
    total: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class Metric:
    """Named numbers at one step of a run, e.g. ``{"loss": 0.4, "learning rate": 1e-3}``."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """A picture was written to ``path``."""

    title: str
    path: str


@dataclass(frozen=True)
class Message:
    """Words for the user; ``level`` is info, warning or error."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class Result:
    """The run is over and this is what it made (JSON-ready)."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Error:
    """The run failed: the words for the user, the kind of error, and the detail for the log."""

    text: str
    kind: str = "KafError"
    detail: str = ""


Event = Progress | Metric | Picture | Message | Result | Error
OnEvent = Callable[[Event], None]
_NUMBER, _HUGE = (int, float), 1e300
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": _NUMBER, "float | None": (*_NUMBER, type(None)), "dict[str, float]": dict,
    "dict[str, Any]": dict}
_KINDS = {kind.__name__.lower(): kind for kind in (Progress, Metric, Picture, Message, Result, Error)}


def ignore(_: Event) -> None:
    """The watcher of somebody who does not watch."""


def to_json(event: Event) -> str:
    """One line of ASCII JSON with the kind under ``event``."""
    return json.dumps({"event": type(event).__name__.lower(), **asdict(event)})


def from_json(line: str) -> Event:
    """The inverse of :func:`to_json`; raises ValueError for a line that is no event, or has fields of other kinds."""
    values = json_files.parse(line)
    try:
        event: Event = _KINDS[values.pop("event")](**values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not an event: {line[:200]!r}") from error
    sound = all(isinstance(getattr(event, item.name), _TYPES[str(item.type)]) for item in fields(event))
    if sound and isinstance(event, Progress):
        sound = all(-_HUGE < number < _HUGE for number in (event.done, event.total, event.seconds_left or 0))
    elif sound and isinstance(event, Metric):
        sound = all(_is_number(number) for number in (event.step, *event.values.values()))
    if not sound:
        raise ValueError(f"an event with fields of other kinds: {line[:200]!r}")
    return event


def _is_number(value: object) -> bool:
    """Whether it is a float, NaN too, or can become one."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _HUGE)


class Ticker:
    """Counts steps of a stage and sends :class:`Progress` with the time left, at most ten times a second."""

    def __init__(self, on_event: OnEvent, stage: str, total: float, every: float = 0.1):
        self._send, self._stage, self._total, self._every = on_event, stage, total, every
        self._start = time.monotonic()
        self.done = 0.0
        self._last = -float("inf")
        self.update(0)

    def update(self, done: float) -> None:
        now = time.monotonic()
        self.done = done
        if done < self._total and now - self._last < self._every and done > 0:
            return
        self._last = now
        left = None
        if done > 0:
            left = max(0.0, (now - self._start) * (self._total - done) / done)
        self._send(Progress(self._stage, done, self._total, left))
