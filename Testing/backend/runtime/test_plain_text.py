"""What others wrote reaches a terminal, a line or a table as text and as nothing else."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from kaf.runtime.plain_text import csv_table, is_control, one_line, plain_lines

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "clear the screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "title": ("a\x1b]0;evil\x07b", "ab"),
    "clipboard": ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
    "link": ("\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "here"),
    "one-byte CSI": ("a\x9b31mb", "ab"),
    "one-byte OSC": ("a\x9d0;evil\x9cb", "ab"),
    "device control": ("a\x1bPq#0\x1b\\b", "ab"),
    "charset": ("a\x1b(0b", "ab"),
    "reset": ("a\x1bcb", "ab"),
    "a title without an end hides nothing": ("a\x1b]0;b: it failed. Do this.", "a0;b: it failed. Do this."),
    "the same in one byte": ("a\x9d0;b: it failed.", "a0;b: it failed."),
    "a lone escape at the end": ("ab\x1b", "ab"),
    "backspaces": ("good\b\b\b\bevil", "goodevil"),
    "bell and null": ("a\x07\x00b", "ab"),
    "delete": ("a\x7fb", "ab"),
    "letters turned around": ("gnp\u202ecod.exe", "gnpcod.exe"),
    "isolates": ("a\u2066b\u2069", "ab"),
    "a byte that is no UTF-8": ("a\udcffb", "a\\xffb"),
    "half a pair": ("a\ud800b", "ab"),
    "both": ("a\udcff\ud800b", "a\\xffb"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_escapes_and_controls_go(kind):
    text, expected = HOSTILE[kind]
    assert plain_lines(text) == one_line(text) == expected
    assert not any(is_control(c) for c in one_line(text))


def test_what_people_write_stays():
    for text in ("Höhle des Herzens", "左心室", "\u05d7\u05d3\u05e8", "a\u200db", "5 × 10 mm²", "naïve 🫀", "a  b"):
        assert plain_lines(text) == one_line(text) == text
    assert plain_lines("a\n\tb") == "a\n\tb"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\t", "\v", "\f", "\x85", "\u2028", "\u2029", " \n\n "])
def test_a_line_is_one_line(end):
    assert one_line(f"a{end}b") == "a b"
    assert len(one_line(f"{end}a{end}b{end}").splitlines()) == 1


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\t=", "\r\n=", "\x1b[1m=", "\x00=", " ="])
def test_no_cell_is_a_formula(start):
    cell = f"{start}HYPERLINK(\"http://x\",\"a\")"
    (found, _, number), = read(csv_table([(cell, Path("a/b"), -1.5)]))
    assert found[0] == "'"
    assert found[1] in "=+-@\uff1d"
    assert number == "-1.5"


def test_numbers_and_plain_words_stay_what_they_are():
    row = ("-0.25", "+1.5e-3", "-7", "1e5", "-12.5%", "-inf", "nan", "p01", "a=b", "3-4", 2, None, -0.5, True)
    assert read(csv_table([row])) == [["" if value is None else str(value) for value in row]]
    assert read(csv_table([("-1+cmd|' /C calc'!A0",)])) == [["'-1+cmd|' /C calc'!A0"]]


def test_a_cell_is_one_line_whatever_the_name_holds():
    assert csv_table([("case", "dice"), ("a\nb\r,c", 0.5)]) == 'case,dice\n"a b ,c",0.5\n'
