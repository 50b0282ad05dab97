"""Replaces a set of three files by one of two, for a process that is killed at a chosen moment."""

from __future__ import annotations

from pathlib import Path

from kill_toys import serve

from kaf.runtime.file_set import file_set


def replace_in(folder: str) -> None:
    place = Path(folder)
    with file_set([place / "labels", place / "record"], overwrite=True, without=[place / "map"]) as names:
        for name in names.values():
            name.write_text("new")


if __name__ == "__main__":
    serve(replace_in)
