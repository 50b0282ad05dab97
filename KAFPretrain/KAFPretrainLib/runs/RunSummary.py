"""What the events of a run tell, gathered: how far it is, its latest figures, its words, its pictures, its end."""

from dataclasses import dataclass, field

from kaf.runtime.events import Error, Message, Metric, Picture, Progress, Result

_KEPT = 40  # reports that monitors look back on


@dataclass
class RunSummary:
    """Call :meth:`take` with events in their order.

    ``recent``: the last reports, oldest first, each (step, figures). ``looks``: the same of all validations.
    ``pictures``: title -> paths in order.
    """

    progress: Progress | None = None
    step: int = 0
    recent: list = field(default_factory=list)
    looks: list = field(default_factory=list)
    messages: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)
    alarm: str = ""
    alarmStep: int = 0
    result: dict | None = None
    error: str = ""

    def take(self, event):
        """Learns from an event."""
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
            if event.text.startswith("Collapse"):
                self.alarm, self.alarmStep = event.text, self.step
            if event.text.startswith("Going on from step"):
                self.error = ""
        elif isinstance(event, Result):
            self.result, self.error = event.values, ""
        elif isinstance(event, Error):
            self.error = event.text

    def _takeMetric(self, event):
        self.step = max(self.step, event.step)
        if all(name.startswith("validation ") for name in event.values):
            self.looks.append((event.step, event.values))
            return
        self.recent.append((event.step, event.values))
        del self.recent[:-_KEPT]

    def latest(self, name):
        """The last value of a figure, or None."""
        for _, values in reversed(self.recent):
            if name in values:
                return values[name]
        return None

    @property
    def warnings(self):
        """Texts of all warnings, without the collapse alarm, which has a light of its own."""
        return [message.text for message in self.messages
                if message.level != "info" and not message.text.startswith("Collapse")]

    def said(self, start):
        """The last message that begins so, or nothing."""
        return next((message.text for message in reversed(self.messages) if message.text.startswith(start)), "")
