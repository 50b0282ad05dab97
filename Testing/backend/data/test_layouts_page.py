"""Every list of files in Docs/data-layouts.md is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_folders import folder

from kaf.data.folder import scan_folder

PAGE = Path(__file__).resolve().parents[3] / "Docs" / "data-layouts.md"
LISTS = re.findall(r"```text\n(.+?)```\n\nLayout: (.+?)\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_has_lists():
    assert len(LISTS) >= 7


@pytest.mark.parametrize(("files", "layout"), LISTS)
def test_each_list_is_read_as_the_page_says(tmp_path, files, layout):
    names = files.split()
    root = folder(tmp_path, *names)
    if "dataset.json" in names:
        (root / "dataset.json").write_text('{"channel_names": {"0": "T2"}}')
    dataset = scan_folder(root)
    assert dataset.layout == layout
    assert dataset.problems == ()
    assert len(dataset.labelled) == 2
    assert len(dataset.patients) == 2
    assert len(dataset.test) == any("Ts/" in name for name in names)
