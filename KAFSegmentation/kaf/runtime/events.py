"""What a run tells its watcher: a callback in Python, JSON lines between processes, a bar on a terminal.

No torch, no heavy import.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kaf.runtime import errors, json_files


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` steps of ``stage``; ``seconds_left`` is None until it can be estimated.  ``code`` names
    the stage for whoever acts on it (:mod:`kaf.runtime.message_codes`)."""

    stage: str
    done: float
    total: float
    seconds_left: float | None = None
    code: str = ""


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
    """A sentence for the user; ``level`` is info, warning or error.

    ``code`` (of :mod:`kaf.runtime.message_codes`) says what it is about and ``data`` (JSON-ready) holds its facts: who
    acts on a message looks at these, and never into the text.
    """

    text: str
    level: str = "info"
    code: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The run is over and this is what it made (JSON-ready)."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Error:
    """The run failed: what is concerned, why, what to do; ``kind`` is the class of the error, ``detail`` is for the
    log.  Of an unexpected error there is only a ``reason``."""

    subject: str
    reason: str
    remedy: str
    kind: str = "KafError"
    detail: str = ""

    @classmethod
    def of(cls, error: BaseException, detail: str = "") -> Error:
        """The event that reports this exception."""
        kind = type(error).__name__
        if isinstance(error, errors.KafError):
            return cls(error.subject, error.reason, error.remedy, kind, detail)
        return cls("", f"{kind}: {error}", "", kind, detail)

    @property
    def text(self) -> str:
        """The whole paragraph."""
        return f"{self.subject}: {self.reason}. {self.remedy}" if self.remedy else self.reason

    def exception(self, subject: str, remedy: str) -> errors.KafError:
        """The error as it was raised in the other process; one of an unknown kind becomes a KafError.

        Args:
            subject, remedy: for an event that has none: one of an older version, or of an unexpected error.
        """
        kind = getattr(errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, errors.KafError)):
            kind = errors.KafError
        return kind(self.subject or subject, self.reason, self.remedy or remedy)


Event = Progress | Metric | Picture | Message | Result | Error
OnEvent = Callable[[Event], None]
_NUMBER, _HUGE = (int, float), 1e300
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": _NUMBER, "float | None": (*_NUMBER, type(None)), "dict[str, float]": dict,
    "dict[str, Any]": dict}
_KINDS = {kind.__name__.lower(): kind for kind in (Progress, Metric, Picture, Message, Result, Error)}


def ignore(_: Event) -> None:
    """The watcher of somebody who does not watch."""


def to_dict(event: Event) -> dict[str, Any]:
    """JSON-ready, with the kind under ``event``.  Of an error the whole ``text`` is there too; a code and data only
    where there are any."""
    values = {"event": type(event).__name__.lower(), **asdict(event)}
    if isinstance(event, Error):
        values["text"] = event.text
    return {name: value for name, value in values.items() if value or name not in ("code", "data")}


def to_json(event: Event) -> str:
    """One line of ASCII JSON: :func:`to_dict`."""
    return json.dumps(to_dict(event))


def from_json(line: str) -> Event:
    """The inverse of :func:`to_json`; raises ValueError for a line that is no event, or has fields of other kinds."""
    values = json_files.parse(line)
    try:
        kind = _KINDS[values.pop("event")]
        event: Event = _error(**values) if kind is Error else kind(**values)
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


def _error(text: Any = None, subject: str = "", reason: Any = None, remedy: str = "", **more: Any) -> Error:
    """An error event; those of older versions have a text and no fields."""
    return Error(subject, text if reason is None else reason, remedy, **more)


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
