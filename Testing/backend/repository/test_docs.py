"""What the documentation names is there: files, links, messages, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "Docs").glob("*.md")),
         *sorted((ROOT / "Testing").glob("**/README.md"))]
"""Every page of the project that a person reads, without the history."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
    """`kaf/imaging/grid.py`, `Testing/host/`: in code marks, from the root or from the backend."""
    for name in re.findall(r"`((?:kaf|Testing|Docs|Resources|KAFSegmentation|KAFPretrain)/[\w./*{},-]+)`",
                           page.read_text(encoding="utf-8")):
        for each in _alternatives(name):
            places = [ROOT / each, ROOT / "KAFSegmentation" / each]
            assert any(place.exists() or list(place.parent.glob(place.name)) for place in places), each


def _alternatives(name: str) -> list[str]:
    """``a/{b,c}.py`` is a/b.py and a/c.py."""
    found = re.fullmatch(r"(.*)\{([^}]*)\}(.*)", name)
    return [found[1] + part.strip() + found[3] for part in found[2].split(",")] if found else [name]


def test_messages_that_are_explained_are_those_that_are_given():
    sources = "\n".join(path.read_text(encoding="utf-8") for folder in ("KAFSegmentation", "KAFPretrain")
                        for path in (ROOT / folder).rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # strings that go on in the next line
    page = (ROOT / "Docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r'\*\*"([^"]+)"', re.sub(r"\s+", " ", page))
    assert len(quoted) > 20
    assert [words for words in quoted if words not in sources] == []


@pytest.mark.parametrize("module", ["KAFSegmentation/KAFSegmentation.py", "KAFPretrain/KAFPretrain.py"])
def test_the_help_of_a_module_leads_to_a_page_of_the_repository(module):
    home = re.search(r'EXTENSION_HOMEPAGE "([^"]+)"', (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    pages = re.findall(rf'"{re.escape(home)}/blob/main/([^"]+)"', (ROOT / module).read_text(encoding="utf-8"))
    assert pages
    assert all((ROOT / page).is_file() for page in pages)
