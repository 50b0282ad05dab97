"""Text that others wrote (file names, model cards, headers of scans), made safe for a terminal, a line or a table.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence

# Escape sequences of a terminal: CSI (colours, moves), OSC (titles, links, the clipboard) and other strings, the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?")
_DIRECTIONS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # turn the order of the letters around
_STARTS_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: their full-width forms
_LONGEST, _HEAD, _TAIL = 4096, 800, 200  # characters; PATH_MAX of Linux is 4096 bytes
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?|[+-]?(inf|nan)")


def plain_lines(text: object) -> str:
    """Text for a terminal: without escape sequences and control characters; new lines and tabs stay.

    A byte of a file name that is no UTF-8 is shown by its number, as ``\\xff``.
    """
    known = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xdc00:02x}", str(text))
    return "".join(c for c in _ESCAPES.sub("", known) if c in "\n\t" or not is_control(c))


def one_line(text: object) -> str:
    """Text for one line: as :func:`plain_lines`, and a run of white space with a line's end in it is one space."""
    return re.sub(r"\s*[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", plain_lines(
        re.sub(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", str(text)))).strip()


def shortened(text: str) -> str:
    """The text, or its beginning and end where it is longer than any path can be."""
    left_out = len(text) - _HEAD - _TAIL
    return text if len(text) <= _LONGEST else f"{text[:_HEAD]}[... {left_out:,} characters ...]{text[-_TAIL:]}"


def is_control(character: str) -> bool:
    """Whether this is no character to be read: a control, half a surrogate pair, a separator of lines, or one that
    turns the direction of reading around."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or ord(character) in _DIRECTIONS


def csv_table(rows: Iterable[Sequence[object]], line_end: str = "\n") -> str:
    """Rows as CSV; a text cell that a spreadsheet would take for a formula gets an apostrophe in front.

    Numbers, also as text, stay what they are; None is an empty cell.  File names and names of structures come from
    others: ``=HYPERLINK(...)`` must not become a link in somebody's table.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, (str, os.PathLike)):
        return value
    text = one_line(os.fspath(value))
    return f"'{text}" if text.startswith(_STARTS_FORMULA) and not _NUMBER.fullmatch(text) else text
