"""A backend test lies in the room of what it tests, and no two test files have one name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTING = Path(__file__).resolve().parents[2]
ROOT = TESTING.parent


def test_no_backend_test_lies_flat():
    assert [path.name for path in (TESTING / "backend").glob("*.py")] == ["conftest.py"]


def test_the_rooms_are_those_of_the_package():
    rooms = {path.name for path in (TESTING / "backend").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    packages = {path.parent.name for path in (ROOT / "KAFSegmentation" / "kaf").glob("*/__init__.py")}
    assert rooms - {"repository"} - packages == set()


def test_every_test_file_has_a_name_of_its_own():
    """pytest imports a test by the name of its file."""
    names = Counter(path.name for path in TESTING.rglob("*.py")
                    if path.name.startswith("test_") or path.parent.name == "helpers")
    assert [name for name, count in names.items() if count > 1] == []
