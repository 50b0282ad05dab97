"""A synthetic folder is one that KAF understands without a problem."""

from __future__ import annotations

import pytest

from kaf.data.example import LABELS, make_example
from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.runtime.errors import OutputError


def test_the_folder_is_understood_and_has_no_problem(tmp_path):
    folder = make_example(tmp_path / "hearts", 3, 2, slices=4, size=48)
    found = inspect_dataset(scan_folder(folder))
    assert [case.label is not None for case in found.cases] == [True, True, False]
    assert found.label_names == LABELS
    assert found.all_problems == ("1 scan without a label map: heart03",)
    assert set(found.label_cases) == set(LABELS)
    assert {case.modality for case in found.cases} == {"MR"}


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="empty folder"):
        make_example(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_is_the_same_every_time(tmp_path):
    one, two = (make_example(tmp_path / name, 2, 1, slices=3, size=32) for name in ("one", "two"))
    for part in ("images", "labels"):
        for path in (one / part).iterdir():
            assert path.read_bytes()[10:] == (two / part / path.name).read_bytes()[10:]  # gzip writes the time
