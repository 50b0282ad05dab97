"""Events: the same after a trip through JSON; progress that does not flood; errors in one paragraph."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from training_toys import Clock

import kaf.runtime.events
from kaf.runtime import errors, message_codes
from kaf.runtime.events import Error, Message, Metric, Picture, Progress, Result, Ticker, from_json, ignore, to_json

EVENTS = [
    Progress("reading", 0, 4), Progress("Schicht 頭", 2.5, 4.0, 1.25),
    Metric(7, {"loss": 0.1 + 0.2, "Dice 1": 1e-300, "pairs": 3}), Metric(0, {}),
    Picture("Title \"quoted\"\nsecond line", "/some/where/ä.png"),
    Message("10 patients"), Message("low memory", "warning"),
    Result(), Result({"model": "run/model.safetensors", "list": [1, 2.5, None, {"a": True}]}),
    Message("from step 3", code="resumed", data={"step": 3, "list": [1, None]}), Progress("a", 1, 2, code="training"),
    Error("scan.nii", "is empty", "Get it again."), Error("", "words", "", "InputError", "Traceback\n  line \u2028 2"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_the_same(event):
    line = to_json(event)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__.lower()
    found = from_json(line + "\n")
    assert found == event
    assert type(found) is type(event)


def test_every_kind_is_tried():
    assert {type(event).__name__.lower() for event in EVENTS} == set(kaf.runtime.events._KINDS)


@pytest.mark.parametrize("line", [
    "", "plain words", "{", "[]", "7", '"progress"', "null", "{}", '{"event": "nothing"}', '{"event": null}',
    '{"event": ["metric"]}', '{"event": "progress"}', '{"event": "progress", "stage": "a", "done": 1}',
    '{"event": "message", "text": "a", "colour": "red"}', "[" * 10_000, '{"event":' * 10_000,
    '{"event": "progress", "stage": "a", "done": "1", "total": 2}',
    '{"event": "progress", "stage": "a", "done": NaN, "total": 2}',
    '{"event": "progress", "stage": "a", "done": 1, "total": Infinity}',
    '{"event": "metric", "step": 1, "values": {"loss": "low"}}', '{"event": "metric", "step": 1, "values": [1]}',
    '{"event": "metric", "step": 1, "values": {"loss": 1' + "0" * 400 + '}}', '{"event": "message", "text": null}',
    '{"event": "result", "values": 3}', '{"event": "error", "text": ["a"]}', '{"event": "error"}',
    '{"event": "error", "subject": "a", "reason": 3, "remedy": "b"}', '{"event": "message", "text": "a", "data": [1]}',
    '{"event": "message", "text": "a", "code": 7}',
])
def test_a_line_that_is_no_event_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011 - its own message or json's
        from_json(line)


def test_lines_of_older_versions_which_have_no_codes_and_no_fields_are_read():
    assert from_json('{"event": "message", "text": "Going on from step 3.", "level": "info"}') == Message(
        "Going on from step 3.")
    assert from_json('{"event": "progress", "stage": "training", "done": 1, "total": 2, "seconds_left": null}') == \
        Progress("training", 1, 2)
    old = from_json('{"event": "error", "text": "a.nii: is empty. Get it again.", "kind": "InputError", "detail": "d"}')
    assert (old.text, old.kind, old.detail) == ("a.nii: is empty. Get it again.", "InputError", "d")
    error = old.exception("segment", "See the log.")
    assert type(error) is errors.InputError
    assert "a.nii: is empty. Get it again." in str(error)


def test_an_error_crosses_processes_with_its_fields_and_its_kind():
    for error in (errors.InputError("C: a. b", "holds 1.5 mm. gaps", "Take another. Or not."), errors.Cancelled("x")):
        line = to_json(Error.of(error, "trace"))
        assert json.loads(line)["text"] == str(error)
        found = from_json(line)
        again = found.exception("", "")
        assert (type(again), again.subject, again.reason, again.remedy, found.detail) == (
            type(error), error.subject, error.reason, error.remedy, "trace")
    unexpected = Error.of(ZeroDivisionError("oh"))
    assert (unexpected.text, unexpected.kind) == ("ZeroDivisionError: oh", "ZeroDivisionError")
    assert str(unexpected.exception("segment", "See the log.")) == "segment: ZeroDivisionError: oh. See the log."
    assert type(Error("a", "b", "c", "os.system").exception("", "")) is errors.KafError


def test_codes_are_written_only_where_there_are_any():
    assert json.loads(to_json(Message("a"))) == {"event": "message", "text": "a", "level": "info"}


def test_each_code_is_reported_once_and_explained():
    names = [name for name in vars(message_codes) if name.isupper()]
    assert len({getattr(message_codes, name) for name in names}) == len(names) >= 9
    source = Path(message_codes.__file__).read_text(encoding="utf-8")
    assert all(f'\n{name} = "{getattr(message_codes, name)}"\n"""' in source for name in names)


def test_the_words_of_a_wrong_line_are_short():
    with pytest.raises(ValueError, match="not an event: ") as caught:
        from_json(json.dumps({"event": "x" * 10_000}))
    assert len(str(caught.value)) < 250


def test_ignoring_is_quiet():
    assert ignore(Message("a")) is None


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(kaf.runtime.events, "time", clock)
    return clock


def test_a_ticker_tells_the_time_left(clock):
    reported = []
    ticker = Ticker(reported.append, "slices", 10)
    for done in range(1, 11):
        clock.now += 2.0
        ticker.update(done)
    assert reported == [Progress("slices", 0, 10, None)] + [
        Progress("slices", done, 10, pytest.approx(2.0 * (10 - done))) for done in range(1, 11)]
    assert ticker.done == 10


def test_a_ticker_speaks_ten_times_a_second_at_most_and_at_both_ends(clock):
    reported = []
    ticker = Ticker(reported.append, "slices", 1000)
    for done in range(1, 1001):
        clock.now += 0.0015625  # 64 steps are a tenth of a second; the sum is exact
        ticker.update(done)
    assert [event.done for event in reported] == [0, *range(64, 1000, 64), 1000]
    assert reported[-1].seconds_left == 0.0
    reported.clear()
    slow = Ticker(reported.append, "slices", 10, every=5.0)
    for done in range(1, 10):
        clock.now += 1.0
        slow.update(done)
    assert [event.done for event in reported] == [0, 5]


def test_a_ticker_of_nothing_is_done_at_once(clock):
    reported = []
    Ticker(reported.append, "slices", 0)
    assert reported == [Progress("slices", 0, 0, None)]


KINDS = [errors.KafError, *errors.KafError.__subclasses__()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_one_paragraph_and_travels_between_processes(kind):
    error = kind("scan.nii", "is empty", "Get it again.")
    assert str(error) == "scan.nii: is empty. Get it again."
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.subject, copy.reason, copy.remedy, str(copy)) == (
        "scan.nii", "is empty", "Get it again.", str(error))
    assert kind.exit_code == (2 if kind is errors.SettingsError else 1)
    assert isinstance(error, errors.KafError)


def test_stopping_needs_no_words():
    assert str(errors.Cancelled()) == (
        "run: stopped on request. Start it again at any time; nothing incomplete was left behind.")


def test_an_error_about_something_endless_ends():
    error = errors.InputError("x" * 2_000_000, "y" * 2_000_000, "Check it.")
    assert len(str(error)) < 3000
    assert str(error).startswith("xxx")
    assert "x[... 1,999,000 characters ...]x" in error.subject
    assert str(error).endswith("y. Check it.")
    longest = "/" + "p" * 4095  # which a path on Linux may be
    assert errors.InputError(longest, "is empty", "Check it.").subject == longest
