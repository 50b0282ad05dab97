"""The events of a short job: progress on a bar, messages in the log."""

import qt

from kaf.runtime.events import Event, Message, Progress
from KAFPretrainLib.widgets.Interfaces import Log


class JobProgress:
    """Called with each event of a job.

    Args:
        bar: shows progress; busy until the first is reported.
        log: gets messages.
    """

    def __init__(self, bar: qt.QProgressBar, log: Log):
        self._bar, self._log = bar, log
        bar.visible = False

    def start(self) -> None:
        """A job begins: no progress is known yet."""
        self._bar.maximum = 0

    def __call__(self, event: Event) -> None:
        """One event; those of other kinds are ignored."""
        if isinstance(event, Progress) and event.total:
            self._bar.maximum = 1000
            self._bar.value = round(1000 * event.done / event.total)
            self._bar.format = f"{event.stage.capitalize()}: %p%"
        elif isinstance(event, Message):
            self._log.add(event.text)
