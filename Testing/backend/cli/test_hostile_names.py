"""File names and model cards of others: shown as text on a terminal and in tables, never obeyed."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_models import command_line
from small_models import change_card, model_file, write_phantoms

import kaf.modelfile.library
from kaf.cli.console import Console
from kaf.cli.job_process import error_event
from kaf.evaluation.comparison import as_csv as comparison_csv
from kaf.runtime.errors import InputError
from kaf.runtime.events import Error, Message, Picture, Result
from kaf.verbs.select import _csv as selection_csv

ESCAPE = "\x1b]0;evil\x07\x1b[2Ja\u202eb"
FORMULA = "=HYPERLINK(\"http://x\",\"a\")"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="such names cannot be given to files there")


@pytest.fixture
def kaf_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(kaf.modelfile.library, "user_folder", lambda: tmp_path / "library")
    return command_line(capsys, monkeypatch, tmp_path / "here")


def is_plain(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


@pytest.mark.parametrize("command", [
    ("segment", f"{ESCAPE}.nii.gz", "--model", "tiny"), ("models", "show", ESCAPE), ("models", "add", f"{ESCAPE}.nii"),
    ("evaluate", ESCAPE, ESCAPE), ("jobs", ESCAPE), ("data", "scan", ESCAPE), (f"segm{ESCAPE}",),
    ("finetune", ESCAPE, "--output", f"run{ESCAPE}"), ("segment", "a.nii.gz", f"--{ESCAPE}", "1"),
    ("models", "remove", ESCAPE), ("models", "add", f"http://127.0.0.1:9/{ESCAPE}", "--digest", "0" * 64)])
def test_an_error_that_names_it_is_plain(kaf_command, command):
    done = kaf_command(*command)
    assert done.code
    assert done.err.startswith("kaf: ")
    assert is_plain(done.err + done.out), ascii(done.err)


def test_events_on_a_terminal_are_plain(capsys):
    console = Console()
    for event in (Message(ESCAPE), Message(ESCAPE, "warning"), Picture(ESCAPE, f"/tmp/{ESCAPE}.png")):
        console(event)
    console.result({}, f"written: {ESCAPE}\nsecond line")
    console.fail(InputError(ESCAPE, ESCAPE, ESCAPE))
    error_event(InputError(ESCAPE, "is wrong", "Fix it."))
    reported = capsys.readouterr()
    assert is_plain(reported.out + reported.err)
    assert reported.out == "written: ab\nsecond line\n"
    assert "evil" not in reported.out + reported.err


def test_json_lines_keep_every_character_and_are_plain(capsys):
    console = Console(events=True)
    console(Message(ESCAPE))
    console.result({"name": ESCAPE}, "")
    console.fail(InputError(ESCAPE, "is wrong", "Fix it."))
    reported = capsys.readouterr()
    assert is_plain(reported.out + reported.err)
    message, result, error = map(json.loads, reported.out.splitlines())
    assert message["text"] == result["values"]["name"] == ESCAPE
    assert error["event"] == Error.__name__.lower()
    assert result["event"] == Result.__name__.lower()


def test_a_refused_model_is_named_in_the_list_and_says_why(kaf_command, tmp_path):
    (tmp_path / "library").mkdir()
    wrong = model_file(tmp_path / "library" / "wrong\nfake   MR   heart.safetensors")
    change_card(wrong, lambda card: card["labels"][0].update(name=ESCAPE), sign=True)
    model_file(tmp_path / "library" / "sound.safetensors")
    done = kaf_command("models", "list")
    assert done.code == 0
    assert is_plain(done.out)
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["cardiac-mr-sax", "hippocampus-mr", "sound", "wrong"]
    assert "cannot be used" in lines[-1]
    shown = kaf_command("models", "show", "wrong\nfake   MR   heart")
    assert shown.code == 1
    assert "labels[0].name is" in shown.err
    assert is_plain(shown.err)
    listed = json.loads(kaf_command("models", "list", "--events").out)["values"]
    assert "labels[0].name is" in listed["refused"]["wrong\nfake   MR   heart"]


def test_a_card_cannot_fake_lines_of_its_own(kaf_command, tmp_path):
    (tmp_path / "library").mkdir()
    model_file(tmp_path / "library" / "sound.safetensors",
               description="For hearts.\nlicence:       CC0 (weights)", metrics={"protocol": "a\nweights: SHA-256 0"})
    done = kaf_command("models", "show", "sound")
    assert [line for line in done.out.splitlines() if line.startswith("licence:")] == [
        "licence:       CC BY 4.0 (weights)"]
    assert sum(line.startswith("weights:") for line in done.out.splitlines()) == 1


def table(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_no_cell_of_an_evaluation_is_a_formula(kaf_command, tmp_path):
    write_phantoms(tmp_path / "made", ("a",))
    for folder in ("p", "r"):
        Path(folder).mkdir()
        (tmp_path / "made" / "a_gt.nii.gz").rename(Path(folder, f"{FORMULA.replace('/', ':')}.nii.gz")) \
            if folder == "r" else Path(folder, f"{FORMULA.replace('/', ':')}.nii.gz").write_bytes(
                (tmp_path / "made" / "a_gt.nii.gz").read_bytes())
    done = kaf_command("evaluate", "p", "r", "--labels", '{"1": "=1+1"}', "--output", "out")
    assert done.code == 0, done.err
    rows = table(Path("out/evaluation.csv").read_text(encoding="utf-8"))
    assert rows[0]["case"].startswith("'=HYPERLINK")
    assert rows[0]["name"] == "'=1+1"
    assert float(rows[0]["dice"]) == 1


def test_no_cell_of_a_selection_or_comparison_is_a_formula():
    choice = SimpleNamespace(rank=1, patient=FORMULA, case="@SUM(A1)", score=-0.25, reason="+1+1", others=("-1-1",),
                             image=Path("=1"))
    (row,) = table(selection_csv([choice], ()))
    assert [row[name][:2] for name in ("patient", "case", "reason", "other scans", "image")] == [
        "'=", "'@", "'+", "'-", "'="]
    assert row["score"] == "-0.2500"
    cell = SimpleNamespace(arm="kaf", few_shot=2, draw=0, fold=1, seed=0, volume_dice={FORMULA: 0.5},
                           cases=[{"case": FORMULA, "patient": "-1+cmd|' /C calc'!A0"}])
    (row,) = table(comparison_csv([cell]))
    assert (row["case"][:2], row["patient"][:3], row["Dice"]) == ("'=", "'-1", "0.5000")


def test_a_listing_of_a_folder_is_plain_and_its_names_do_not_fake_lines(kaf_command):
    write_phantoms(Path("scans"), ("p1",))
    Path("scans", f"p2{ESCAPE}\nCases: 99.nii.gz").write_bytes(b"no scan")
    done = kaf_command("data", "scan", "scans")
    assert is_plain(done.out + done.err)
    assert sum(line.startswith("Cases:") for line in done.out.splitlines()) == 1
