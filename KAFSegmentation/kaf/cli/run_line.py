"""Where a run is, in one line: beside the bar of a terminal, and once a minute in a log."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kaf.runtime.events import Metric, Progress
from kaf.runtime.message_codes import TRAINING

_VALIDATION = "validation "


@dataclass
class RunLine:
    """The latest numbers of a run; feed it every Progress and Metric.

    Attributes:
        step, loss, dice: of the latest metrics; dice is that of the latest validation. None where there was none yet.
        progress: the latest, None before the first.
    """

    step: int = 0
    loss: float | None = None
    dice: float | None = None
    progress: Progress | None = None

    def take(self, event: Progress | Metric) -> None:
        if isinstance(event, Progress):
            if self.progress is None or event.stage != self.progress.stage:
                self.step, self.loss, self.dice = 0, None, None  # they belong to a stage
            self.progress = event
            return
        self.step = event.step
        self.loss = event.values.get("loss", self.loss)
        self.dice = event.values.get(f"{_VALIDATION}Dice", self.dice)

    def figures(self) -> str:
        """Loss, validation Dice and time left, as far as they are known."""
        parts = [f"{name} {value:.3f}" for name, value in (("loss", self.loss), ("validation Dice", self.dice))
                 if value is not None and math.isfinite(value)]
        if self.progress is not None and self.progress.seconds_left is not None:
            parts.append(f"{duration(self.progress.seconds_left)} left")
        return ", ".join(parts)

    def text(self) -> str:
        """"training: step 120 of about 800 (15 %), loss 0.532, validation Dice 0.411, 4 min 2 s left"; the number of
        steps of a run with a budget of minutes is estimated from those done."""
        if self.progress is None:
            return self.figures()
        share = min(1.0, self.progress.done / self.progress.total) if self.progress.total else 0.0
        done = f"{100 * share:.0f} %"
        if self.step and self.progress.code == TRAINING and share > 0:
            done = f"step {self.step} of about {max(self.step, round(self.step / share))} ({done})"
        return ", ".join(filter(None, (f"{self.progress.stage}: {done}", self.figures())))


def duration(seconds: float) -> str:
    """"1 h 5 min", "2 min 3 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
