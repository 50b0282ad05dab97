"""What a run prints: a progress bar and messages on stderr, the result on stdout; or events as JSON lines on stdout."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from kaf.cli.run_line import RunLine
from kaf.runtime.errors import KafError
from kaf.runtime.events import Error, Event, Message, Metric, OnEvent, Picture, Progress, Result, to_json
from kaf.runtime.plain_text import one_line, plain_lines

_MINUTE = 60.0  # seconds between the lines of a run without a terminal


def let_all_characters_pass() -> None:
    """What a terminal or a pipe cannot show (a path in another alphabet on Windows, say) is printed as an escape.

    Without it, printing such a path raises, after the work is done.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Console:
    """The watcher of the command line; call it with events.

    What it shows on a terminal (names of files and of structures come from others) holds nothing that one would obey.
    ``events``: JSON lines on stdout, and nothing else there.
    """

    def __init__(self, events: bool = False):
        self.events = events
        self._bar: Any = None
        self._line = RunLine()
        self._stage = ""
        self._printed = time.monotonic()

    def __call__(self, event: Event) -> None:
        if self.events:
            print(to_json(event), flush=True)
        elif isinstance(event, Progress):
            self._line.take(event)
            self._progress(event)
        elif isinstance(event, Message):
            self._say(("" if event.level == "info" else f"{event.level}: ") + event.text)
        elif isinstance(event, Metric):
            self._line.take(event)
            if any(name.startswith("validation") for name in event.values):
                self._say(f"step {event.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in event.values.items()))
        elif isinstance(event, Picture):
            self._say(f"{event.title}: {event.path}")

    def result(self, values: dict[str, Any], text: str) -> None:
        """The result of a command, on stdout: a JSON line, or text."""
        self.close()
        if self.events:
            print(to_json(Result(values)), flush=True)
        elif text:
            print(plain_lines(text), flush=True)

    def fail(self, error: KafError, detail: str = "") -> None:
        """One paragraph on stderr, and an error event, with the detail, where events were asked for."""
        self.close()
        if self.events:
            print(to_json(Error.of(error, detail)), flush=True)
        print(plain_lines(f"kaf: {error}"), file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str) -> None:
        text = plain_lines(text)
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def _progress(self, event: Progress) -> None:
        if not sys.stderr.isatty():
            self._every_minute()
            return
        if event.stage != self._stage or self._bar is None:
            from tqdm import tqdm

            self.close()
            self._stage = event.stage
            self._bar = tqdm(total=event.total, desc=one_line(event.stage), leave=False, file=sys.stderr,
                             bar_format="{desc}: {percentage:3.0f} % |{bar}| {postfix}")
        self._bar.n = min(event.done, event.total)
        self._bar.set_postfix_str(self._line.figures(), refresh=False)
        self._bar.refresh()
        if event.done >= event.total:
            self.close()

    def _every_minute(self) -> None:
        """A line in the log of a run that nobody watches on a terminal."""
        now = time.monotonic()
        if now - self._printed >= _MINUTE:
            self._printed = now
            self._say(self._line.text())


def without_result(console: Console) -> OnEvent:
    """The console for a verb that sends its own result: the command sends the last one."""
    return lambda event: None if isinstance(event, Result) else console(event)
