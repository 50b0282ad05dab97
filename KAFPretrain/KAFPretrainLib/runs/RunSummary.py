"""The events of a run, summarised: its progress, latest figures, messages, pictures and end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kaf.runtime.events import Error, Event, Message, Metric, Picture, Progress, Result
from kaf.runtime.message_codes import COLLAPSE, RESUMED

_KEPT = 40  # reports that monitors look back on


@dataclass
class RunSummary:
    """Call :meth:`take` with events in their order.

    ``recent``: the last reports, oldest first, each (step, figures). ``validations``: the same of all validations.
    ``pictures``: title -> paths in order. ``alarm``: the last message that tells of a collapse, and ``alarmStep`` its
    step. ``error``: the event that ended the run, until it is resumed.
    """

    progress: Progress | None = None
    step: int = 0
    recent: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    validations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    alarm: Message | None = None
    alarmStep: int = 0
    result: dict[str, Any] | None = None
    error: Error | None = None

    def take(self, event: Event) -> None:
        """Takes an event into account."""
        if isinstance(event, Progress):
            self.progress = event
        elif isinstance(event, Metric):
            self._takeMetric(event)
        elif isinstance(event, Picture):
            paths = self.pictures.setdefault(event.title, [])
            if event.path not in paths:
                paths.append(event.path)
        elif isinstance(event, Message):
            self.messages.append(event)
            if event.code == COLLAPSE:
                self.alarm, self.alarmStep = event, self.step
            elif event.code == RESUMED:
                self.error = None
        elif isinstance(event, Result):
            self.result, self.error = event.values, None
        elif isinstance(event, Error):
            self.error = event

    def _takeMetric(self, event):
        self.step = max(self.step, event.step)
        if all(name.startswith("validation ") for name in event.values):
            self.validations.append((event.step, event.values))
            return
        self.recent.append((event.step, event.values))
        del self.recent[:-_KEPT]

    def latest(self, name: str) -> float | None:
        """The last value of a figure, or None."""
        for _, values in reversed(self.recent):
            if name in values:
                return values[name]
        return None

    @property
    def errorText(self) -> str:
        """Why the run failed, as it reported; nothing where it did not."""
        return self.error.text if self.error is not None else ""

    @property
    def warnings(self) -> list[Message]:
        """All warnings, without those of a collapse, which has a monitor of its own."""
        return [message for message in self.messages if message.level != "info" and message.code != COLLAPSE]

    def message(self, code: str) -> Message | None:
        """The last message with this code, or None."""
        return next((message for message in reversed(self.messages) if message.code == code), None)
