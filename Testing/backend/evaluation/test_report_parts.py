"""Whatever is written into a page is text: no word given to a part of a report becomes markup."""

import inspect

import pytest
from evaluation_toys import Outline
from jinja2 import UndefinedError
from markupsafe import Markup

from kaf.report import parts
from kaf.report.chart import Strip, strip_chart
from kaf.report.parts import Cell, Column
from kaf.report.scatter import Dots, scatter_chart
from kaf.report.templates import environment, render

EVIL = "<script>alert('1')</script>\"'&amp;"
RED = (255, 0, 0)

PIECES = {
    "table": parts.table([Column(EVIL, EVIL), Column(EVIL)],
                         [[Cell(EVIL, EVIL, EVIL, colour=RED), Cell("1", 1.0, share=0.5, alarming=True)]], EVIL),
    "sortable table": parts.table([Column(EVIL)], [[Cell(EVIL, float("nan"))]], EVIL, sortable=True),
    "tiles": parts.tiles([(EVIL, EVIL, EVIL)]),
    "notice": parts.notice(EVIL, [EVIL] * 9),
    "definitions": parts.definitions([(EVIL, EVIL)]),
    "picture": parts.picture(b"png", EVIL, EVIL, EVIL),
    "legend": parts.legend([(EVIL, RED)]),
    "section": parts.section(EVIL, parts.gallery(parts.tiles([(EVIL, EVIL, EVIL)])), lead=EVIL),
    "scatter": scatter_chart([Dots(EVIL, RED, [(EVIL, 0.5, 0.6), (EVIL, 0.7, 0.8)])], EVIL, EVIL, EVIL, EVIL),
    "chart": strip_chart([Strip(EVIL, RED, [(EVIL, 0.5), (EVIL, 0.7)])], EVIL, EVIL, EVIL),
}


@pytest.mark.parametrize("name", PIECES)
def test_words_are_text(name):
    """Read as a browser reads it: the words come out as they went in, and no element or attribute is made of them."""
    page = parts.page(EVIL, EVIL, [EVIL], [PIECES[name]], EVIL)
    outline = Outline(page)
    assert page.count("<script>") == 1
    assert {attribute for attribute, _ in outline.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "style", "scope", "data-order", "type", "src",
        "alt", "viewbox", "role", "aria-label", "x", "y", "x1", "x2", "y1", "y2", "text-anchor", "font-weight", "width",
        "height", "rx", "cx", "cy", "r", "transform"}
    shown = sum(EVIL[:39] in word for word in [*outline.words, *(value for _, value in outline.attributes)])
    assert shown > 4, "of which four are the page's own"


def test_a_plain_string_in_the_place_of_a_piece_is_shown_and_not_obeyed():
    assert "&lt;b&gt;" in parts.page("t", "k", [], [parts.section("s", "<b>")], "f")


def test_every_part_is_markup():
    functions = [function for name, function in inspect.getmembers(parts, inspect.isfunction)
                 if function.__module__ == parts.__name__ and name not in ("number", "amount", "spread", "page")]
    assert len(functions) == 8
    assert all(function.__annotations__["return"] == "Markup" for function in functions)
    assert all(isinstance(piece, Markup) for piece in PIECES.values())


def test_a_template_that_is_not_given_what_it_asks_for_is_an_error():
    with pytest.raises(UndefinedError, match="title"):
        render("page.html", beginning="", digest="", style="", kind="", facts=[], parts=[], foot="", script="")
    assert environment().autoescape is True


def test_a_page_begins_as_every_page_of_kaf_does():
    """By its beginning a page is known as KAF's, and may be replaced."""
    page = parts.page("t", "k", [], [], "f")
    assert page.startswith(parts.BEGINNING + "; img-src data:;")
    assert page.endswith("</html>\n")
