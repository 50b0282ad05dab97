"""Whatever stands on a command line, or in a settings file: it ends in one paragraph, never in a traceback."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from made_models import command_line
from worker_toys import environment

from kaf import cli
from kaf.commands import AdaptCommand, EvaluateCommand, ExplainCommand, FinetuneCommand, SegmentCommand
from kaf.commands.models import AddCommand, ExampleCommand, ExportCommand, ScanCommand
from kaf.commands.select import SelectCommand
from kaf.commands.submit import SubmitCommand
from kaf.commands.training import CompareCommand, PretrainCommand
from kaf.demo import DemoCommand
from kaf.events import Error, from_json
from kaf.flags import _flags

# What a command needs so that it reads all its flags, and then finds that its input is not there.
NO_INPUT = {
    "segment": (SegmentCommand, ["gone.nii.gz", "--model", "gone"]),
    "explain": (ExplainCommand, ["gone.nii.gz", "--model", "gone"]),
    "adapt": (AdaptCommand, ["gone.nii.gz", "gone.nrrd", "--model", "gone"]),
    "evaluate": (EvaluateCommand, ["gone", "gone", "--output", "out"]),
    "select": (SelectCommand, ["gone", "--model", "gone", "--output", "out"]),
    "finetune": (FinetuneCommand, ["gone", "--output", "out"]),
    "pretrain": (PretrainCommand, ["gone", "--output", "out"]),
    "compare": (CompareCommand, ["gone", "--output", "out"]),
    "submit": (SubmitCommand, ["pretrain"]),
    "demo": (DemoCommand, ["--input", "gone.nii.gz", "--model", "gone", "--output", "out"]),
    "models add": (AddCommand, ["gone.safetensors"]),
    "models export": (ExportCommand, ["gone", "out.safetensors"]),
    "data scan": (ScanCommand, ["gone"]),
    "data example": (ExampleCommand, ["gone/gone", "--cases", "-1"]),
}
NASTY = ["nan", "inf", "-1", "1e308", "9" * 23, "", " ", "\udcff", "\x1b[31m", "a\nb", "\0", "[" * 10_000,
         '{"a":' * 10_000, "[]", "{}", "null", "../x", "/", ".", "a" * 5000, "9=x", "0=x", "1=a,1=b", "1,2,nan", "="]


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


def paragraph(done, about: object) -> None:
    assert done.code in (1, 2), (about, done)
    lines = done.err.strip("\n").split("\nkaf: ")[-1]
    assert lines, about
    assert "does not expect" not in done.err, (about, done.err)
    assert "Traceback" not in done.err, (about, done.err)


@pytest.mark.parametrize("name", NO_INPUT)
def test_every_flag_with_what_it_does_not_expect(kaf, name):
    """Three values for each flag, all of them over a command's flags."""
    command, arguments = NO_INPUT[name]
    values = itertools.cycle(NASTY)
    for flag, _ in _flags(command):
        for value in itertools.islice(values, 3):
            words = [*name.split(), *arguments, f"{flag}={value}"]
            paragraph(kaf(*words), ascii(words[-1])[:80])
    assert not list(Path().glob("*.nii.gz"))


@pytest.mark.parametrize("name", NO_INPUT)
def test_every_place_with_what_it_does_not_expect(kaf, name):
    for value in NASTY:
        if (name, value) != ("submit", ""):  # which is help
            paragraph(kaf(*name.split(), value, "gone", "--nothing-of-this-name"), ascii(value)[:80])


@pytest.mark.parametrize("content", [
    "[" * 10_000, '{"data":' * 10_000, '{"data": NaN}', '{"output": "a\\u0000b"}', '{"seed": 1e999}', "7", "", "\0",
    '{"data": "\\ud800"}', '{"network": {"width": NaN}}', '{"labels": {"0": "a"}}', '{"labels": {"a": "b"}}',
    '{"labels": [1]}', '{"cases": {"a": 1}}', '{"preset": ["a"]}', '{"\\u0000": 1}', '{"": 1}', '{"epochs": Infinity}',
    '{"name": ""}', '{"method": {"kaf": NaN}}', '{"augmentation": {"rotation": 1e400}}', "\ufeff{}", "{}x",
], ids=lambda content: ascii(content)[:30])
@pytest.mark.parametrize("verb", ["pretrain", "finetune"])
def test_a_settings_file_with_what_it_does_not_expect(kaf, content, verb):
    Path("settings.json").write_text(content, encoding="utf-8")
    paragraph(kaf(verb, "gone", "--output", "out", "--settings", "settings.json"), content[:80])


@pytest.mark.parametrize(("words", "reason"), [
    (["pretrain", "gone", "--output", "out", "--preset", "../recipes/cardiac-mr-sax"], "is not known. Known: "),
    (["pretrain", "gone", "--output", "out", "--preset", "a" * 300], "is not known. Known: "),
    (["finetune", "gone", "--output", "out", "--epochs", "inf"], "epochs: Input should be a finite number"),
    (["finetune", "gone", "--output", "out", "--labels", "300=x"], "300 is no value of a label; they are 1 to 255"),
    (["evaluate", "gone", "gone", "--labels", "0=x"], "0 is no value of a label"),
    (["explain", "gone.nii.gz", "--model", "gone", "--smooth", "inf"], "smooth: Input should be a finite number"),
    (["explain", "gone.nii.gz", "--model", "gone", "--smooth", "1e9"], "smooth: Input should be less than or equal"),
    (["finetune", "gone", "--output", "out", "--spacing", "1e-300"], "spacing: Input should be greater than"),
    (["finetune", "gone", "--output", "out", "--network=" + "[" * 10_000], "an argument is nested too deeply"),
    (["segment", "gone.nii.gz", "--model", "gone", "--output", "."], ".: its suffix is none that KAF writes"),
    (["segment", "gone\0.nii.gz", "--model", "gone"], "an argument holds a NUL character"),
    (["compare", "gone", "--output", "out", "--baseline", "\udcff"], "holds characters that are no text"),
], ids=lambda item: item[0] if isinstance(item, list) else "")
def test_known_mistakes_have_words_of_their_own(kaf, words, reason):
    done = kaf(*words)
    paragraph(done, words)
    assert reason in done.err


def broken(arguments, console):
    raise ZeroDivisionError("of something\nover two lines")


@pytest.fixture
def with_mistake(monkeypatch, tmp_path):
    """A command that has a mistake of ours, and a place of its own for logs."""
    monkeypatch.setitem(cli.COMMANDS, "broken", (f"{__name__}:broken", ""))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_mistake_of_ours_is_one_paragraph_and_its_details_are_in_a_file(kaf, with_mistake):
    done = kaf("broken")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("kaf: kaf broken: met an error that it does not expect (ZeroDivisionError: of something")
    place = Path(done.err.strip().removesuffix(".").rpartition(" in ")[2])
    assert place.name == "errors.log"
    assert with_mistake in place.parents
    assert "Traceback" in place.read_text()
    assert "over two lines" in place.read_text()
    assert kaf("broken").code == 1
    assert place.read_text().count("Traceback") == 2
    place.write_text("x" * (2 << 20))
    kaf("broken")
    assert len(place.read_text()) < 10_000


def test_its_details_are_an_event_too(kaf, with_mistake):
    event = from_json(kaf("broken", "--events").out)
    assert isinstance(event, Error)
    assert "ZeroDivisionError" in event.text
    assert "Traceback" in event.detail


def test_where_the_log_cannot_be_written_the_details_are_elsewhere(kaf, with_mistake, monkeypatch, tmp_path):
    with_mistake.write_text("a file where a folder should be")
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    words = kaf("broken").err
    [place] = (tmp_path / "temp").iterdir()
    assert f"with the details in {place}." in words
    assert "Traceback" in place.read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(with_mistake / "not there"))
    assert kaf("broken").err.endswith("Please report it.\n")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_terminal_that_cannot_show_a_path_gets_an_escape(tmp_path, encoding):
    """After the work is done nothing may raise: cp1252 is what a pipe has on Windows."""
    name = "Schädel 頭 \udcff.safetensors" if encoding == "utf-8" and os.name != "nt" else "Schädel 頭.safetensors"
    for events in ([], ["--events"]):
        done = subprocess.run(
            [sys.executable, "-m", "kaf", "models", "export", "cardiac-mr-sax", name, "--overwrite", *events],
            cwd=tmp_path, env={**environment(), "PYTHONIOENCODING": f"{encoding}:strict"}, capture_output=True,
            check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert (tmp_path / name).is_file()
        if events:
            assert json.loads(done.stdout)["values"]["path"] == name
    gone = subprocess.run([sys.executable, "-m", "kaf", "segment", "頭.nii.gz", "--model", "x"], cwd=tmp_path,
                          env={**environment(), "PYTHONIOENCODING": f"{encoding}:strict"}, capture_output=True,
                          check=False)
    assert gone.returncode == 1
    assert b"Traceback" not in gone.stderr
