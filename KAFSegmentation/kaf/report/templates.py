"""The templates of the reports: HTML is written in them and nowhere else, and every word that they take is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FOLDER = Path(__file__).with_name("templates")


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """``#ff0080`` of (255, 0, 128), each kept within 0..255."""
    return "#" + "".join(f"{min(255, max(0, int(part))):02x}" for part in colour)


@cache
def environment() -> Environment:
    """Jinja's, with autoescape for every template; a name that a template asks for and does not get is an error."""
    made = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    made.filters["hexadecimal"] = hexadecimal
    made.filters["tenth"] = lambda value: f"{value:.1f}"
    return made


def render(template: str, **values: Any) -> Markup:
    """A whole template with these values."""
    return Markup(environment().get_template(template).render(**values))


def macro(template: str, name: str, *values: Any) -> Markup:
    """One macro of a template: a piece of a page."""
    return Markup(str(getattr(environment().get_template(template).module, name)(*values)).strip())
