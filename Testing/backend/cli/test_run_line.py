"""A run that nobody watches on a terminal writes a line a minute; on a terminal its numbers stay beside the bar."""

import io
import sys

import pytest

from kaf.cli import console as module
from kaf.cli.console import Console
from kaf.cli.run_line import RunLine
from kaf.runtime.events import Metric, Progress
from kaf.runtime.message_codes import TRAINING


@pytest.fixture
def clock(monkeypatch):
    """The time of the console, in seconds; tests move it."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def a_run(console, clock, seconds, every=1.0):
    """Ten steps a second, as the loop reports them."""
    for second in range(1, seconds + 1):
        clock[0] += every
        step = 10 * second
        console(Metric(step, {"loss": 1 / second}))
        if second == 60:
            console(Metric(step, {"validation Dice": 0.5, "validation Dice 1": 0.5}))
        console(Progress("training", second / 240, 1.0, 240.0 - second, TRAINING))


def test_a_log_gets_a_line_a_minute(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    console = Console()
    a_run(console, clock, 125)
    lines = [line for line in sys.stderr.getvalue().splitlines() if line.startswith("training")]
    assert lines == [
        "training: step 600 of about 2400 (25 %), loss 0.017, validation Dice 0.500, 3 min 0 s left",
        "training: step 1200 of about 2400 (50 %), loss 0.008, validation Dice 0.500, 2 min 0 s left"]


def test_events_as_json_have_no_such_lines(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    a_run(Console(events=True), clock, 61)
    assert sys.stderr.getvalue() == ""


def test_a_bar_keeps_loss_dice_and_time_left(monkeypatch, clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    console = Console()
    a_run(console, clock, 70)
    console.close()
    assert "loss 0.014, validation Dice 0.500, 2 min 50 s left" in sys.stderr.getvalue()


def test_numbers_of_one_stage_are_not_those_of_the_next():
    line = RunLine()
    for event in (Progress("training", 0.5, 1.0, 9.0, TRAINING), Metric(20, {"loss": 0.5}), Progress("writing", 1, 4)):
        line.take(event)
    assert line.text() == "writing: 25 %"
