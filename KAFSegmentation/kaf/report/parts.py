"""The parts of a self-contained HTML report: one file, nothing fetched, readable in light, dark and print.

Each function returns a piece of HTML; :func:`page` puts pieces together.  Words given to these functions are
plain text, which the templates escape, so a file name cannot become markup.  The Content-Security-Policy of the page
forbids every external resource and every script but the one that sorts tables.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kaf.report.templates import macro, render

NOTHING = "–"  # an undefined number
BEGINNING = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
             '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'')
"""How every page of KAF's begins."""
_SHOWN = 6  # items of a notice; longer lists fold away


def number(value: float, digits: int = 3, signed: bool = False) -> str:
    """A number for reading: fixed digits, a real minus sign, a dash when it is undefined."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def amount(value: float, sd: float = math.nan) -> str:
    """A difference of any size with its sign, and its "± sd" if there is one, to three significant digits."""
    sizes = [abs(size) for size in (value, sd) if math.isfinite(size) and size]
    digits = min(4, max(0, 2 - math.floor(math.log10(max(sizes))))) if sizes else 2
    return spread(value, sd, digits, signed=True)


def spread(mean: float, sd: float, digits: int = 3, signed: bool = False) -> str:
    """"mean ± sd", without the second half where it is undefined."""
    text = number(mean, digits, signed)
    return f"{text} ± {number(sd, digits)}" if math.isfinite(mean) and math.isfinite(sd) else text


@dataclass(frozen=True)
class Column:
    """One column of a table: its head, its unit or hint in small print, whether it holds numbers."""

    title: str
    hint: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read, what it is sorted by (NaN: always last) and how it looks.

    ``note`` is a second line in small print; ``share`` in 0..1 draws a bar below the number; ``colour`` (red,
    green, blue, 0..255) a swatch.
    """

    text: str
    order: float | str = ""
    note: str = ""
    share: float | None = None
    colour: tuple[int, int, int] | None = None
    alarming: bool = False

    @property
    def sort_key(self) -> str:
        """What the page sorts by; "" stays last."""
        return "" if isinstance(self.order, float) and math.isnan(self.order) else str(self.order)

    def look(self, column: Column) -> str:
        """The names of its styles."""
        styles = (("number", column.numeric), ("bar", self.share is not None), ("alarm", self.alarming))
        return " ".join(name for name, wanted in styles if wanted)


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], caption: str, sortable: bool = False) -> Markup:
    """A table; the first cell of each row is its head."""
    return macro("parts.html", "table", columns, list(rows), caption, sortable)


def tiles(figures: Iterable[tuple[str, str, str]]) -> Markup:
    """The key figures: (name, value, remark) each."""
    return macro("parts.html", "tiles", list(figures))


def notice(title: str, items: Iterable[str]) -> Markup:
    """A box for what the reader must not overlook; long lists fold away."""
    return macro("parts.html", "notice", title, list(items), _SHOWN)


def definitions(entries: Iterable[tuple[str, str]]) -> Markup:
    """Terms and what they mean."""
    return macro("parts.html", "definitions", list(entries))


def picture(png: bytes, caption: str, remark: str, alt: str) -> Markup:
    """A PNG inside the page, with a caption."""
    return macro("parts.html", "picture", base64.b64encode(png).decode("ascii"), caption, remark, alt)


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]]) -> Markup:
    """Which colour is which label: (name, colour) each."""
    return macro("parts.html", "legend", list(entries))


def gallery(*parts: Markup) -> Markup:
    """Pictures or charts beside each other where there is room."""
    return macro("parts.html", "gallery", parts)


def section(title: str, *parts: Markup, lead: str = "") -> Markup:
    """Parts under a heading, with a sentence in front of them."""
    return macro("parts.html", "section", title, [part for part in parts if part], lead)


def page(title: str, kind: str, facts: Sequence[str], parts: Iterable[Markup], foot: str) -> str:
    """The whole file.

    Args:
        title: headline and name of the browser tab.
        kind: what sort of report this is, above the headline.
        facts: short facts below the headline.
        parts: sections, notices, tiles.
        foot: the last line.
    """
    script = render("sorter.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return str(render("page.html", beginning=Markup(BEGINNING), digest=digest, title=title, style=render("style.css"),
                      kind=kind, facts=facts, parts=list(parts), foot=foot, script=script))
