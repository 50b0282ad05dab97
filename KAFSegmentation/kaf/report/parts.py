"""The parts of a self-contained HTML report: one file, nothing fetched, readable in light, dark and print.

Each function returns a piece of HTML; :func:`page` puts pieces together.  Words given to these functions are
plain text and are escaped here, so a file name cannot become markup.  The Content-Security-Policy of the page
forbids every external resource and every script but the sorter below.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from kaf.report.style import SORTER, STYLE

NOTHING = "–"  # an undefined number
BEGINNING = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
             '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'')
"""How every page of KAF's begins."""


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


@dataclass(frozen=True)
class Column:
    """One column of a table: its head, its unit or hint in small print, whether it holds numbers."""

    title: str
    hint: str = ""
    numeric: bool = True


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], caption: str,
          sortable: bool = False) -> str:
    """A table; the first cell of each row is its head."""
    heads = []
    for column in columns:
        words = escape(column.title)
        if column.hint:
            words += f" <small>{escape(column.hint)}</small>"
        if sortable:
            words = f'<button type="button">{words}</button>'
        heads.append(f'<th scope="col"{_class("number" if column.numeric else "")}>{words}</th>')
    body = []
    for row in rows:
        pairs = zip(row, columns, strict=True)
        cells = [_cell(cell, column, first=not i) for i, (cell, column) in enumerate(pairs)]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table{_class("sortable" if sortable else "")}>'
        f"<caption>{escape(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(cell: Cell, column: Column, first: bool) -> str:
    tag = 'th scope="row"' if first else "td"
    names = " ".join(name for name, wanted in (
        ("number", column.numeric), ("bar", cell.share is not None), ("alarm", cell.alarming)) if wanted)
    order = "" if isinstance(cell.order, float) and math.isnan(cell.order) else str(cell.order)
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    style = "" if cell.share is None else f' style="--share:{cell.share:.3f}"'
    return (f'<{tag}{_class(names)}{style} data-order="{escape(order)}">'
            f"{swatch(cell.colour)}{escape(cell.text)}{note}</{tag[:2]}>")


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def swatch(colour: tuple[int, int, int] | None) -> str:
    """A small square of a label's colour, or nothing."""
    return "" if colour is None else f'<i class="swatch" style="background:{hexadecimal(colour)}"></i>'


def hexadecimal(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{min(255, max(0, int(part))):02x}" for part in colour)


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """The key figures: (name, value, remark) each."""
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
        f'<div class="remark">{escape(remark)}</div></div>' for name, value, remark in figures) + "</div>"


def notice(title: str, items: Iterable[str]) -> str:
    """A box for what the reader must not overlook; long lists fold away."""
    items = list(items)
    entries = "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
    if len(items) > 6:
        entries = f"<details><summary>Show all {len(items)}</summary>{entries}</details>"
    return f'<aside class="notice"><strong>{escape(title)}</strong>{entries}</aside>'


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """Terms and what they mean."""
    return '<dl class="terms">' + "".join(
        f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in entries) + "</dl>"


def picture(png: bytes, caption: str, remark: str, alt: str) -> str:
    """A PNG inside the page, with a caption."""
    data = base64.b64encode(png).decode("ascii")
    return (f'<figure class="picture"><img src="data:image/png;base64,{data}" alt="{escape(alt)}">'
            f"<figcaption><b>{escape(caption)}</b><span>{escape(remark)}</span></figcaption></figure>")


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]]) -> str:
    """Which colour is which label: (name, colour) each."""
    words = "".join(f"<span>{swatch(colour)}{escape(name)}</span>" for name, colour in entries)
    return f'<p class="legend">{words}</p>'


def gallery(*parts: str) -> str:
    """Pictures or charts beside each other where there is room."""
    return f'<div class="gallery">{"".join(parts)}</div>'


def section(title: str, *parts: str, lead: str = "") -> str:
    words = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{words}{''.join(parts)}</section>"


def page(title: str, kind: str, facts: Sequence[str], parts: Iterable[str], foot: str) -> str:
    """The whole file.

    Args:
        title: headline and name of the browser tab.
        kind: what sort of report this is, above the headline.
        facts: short facts below the headline.
        parts: sections, notices, tiles.
        foot: the last line.
    """
    digest = base64.b64encode(hashlib.sha256(SORTER.encode()).digest()).decode("ascii")
    policy = f"; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        f'{BEGINNING}{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<header><div class="kind">{escape(kind)}</div><h1>{escape(title)}</h1>'
        f'<p class="facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</p></header>\n'
        + "\n".join(parts)
        + f"\n<footer>{escape(foot)}</footer></main><script>{SORTER}</script></body></html>\n"
    )
