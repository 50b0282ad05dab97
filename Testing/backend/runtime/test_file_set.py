"""Files that belong together: killed, stopped or refused at any moment, a record tells of files of its own set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import file_set_toys
import pytest
from kill_toys import KILLED, server

from kaf.runtime.errors import OutputError
from kaf.runtime.file_set import file_set, left_behind, sweep, write_set


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def old(tmp_path) -> dict[str, str]:
    for name in ("labels", "map", "record"):
        (tmp_path / name).write_text(f"old {name}")
    return content(tmp_path)


def test_all_files_take_their_places(tmp_path):
    write_set({tmp_path / "labels": "new", tmp_path / "record": "new"})
    assert content(tmp_path) == {"labels": "new", "record": "new"}
    with pytest.raises(OutputError, match=r"labels: exists already"):
        write_set({tmp_path / "labels": "newer", tmp_path / "record": "newer"})
    assert content(tmp_path) == {"labels": "new", "record": "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left"), ValueError("wrong")], ids=repr)
def test_a_set_that_cannot_be_made_leaves_the_old_one(tmp_path, old, error):
    expected = OutputError if isinstance(error, OSError) else type(error)

    def write() -> None:
        with file_set([tmp_path / "labels", tmp_path / "record"], overwrite=True) as names:
            names[tmp_path / "labels"].write_text("new")
            raise error

    with pytest.raises(expected):
        write()
    assert content(tmp_path) == old


def test_a_set_that_fails_between_its_renames_has_no_record_and_nothing_that_is_new(tmp_path, monkeypatch, old):
    replace = os.replace

    def fail(source, target):
        if Path(target).name == "picture":
            raise OSError(28, "No space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    (tmp_path / "record").unlink()
    with pytest.raises(OutputError, match="picture: there is no space left"):
        write_set({tmp_path / name: "new" for name in ("first", "labels", "picture", "record")}, overwrite=True)
    assert content(tmp_path) == {"labels": "new", "map": "old map"}


def test_a_file_that_another_process_has_made_meanwhile_stays(tmp_path):
    def write() -> None:
        with file_set([tmp_path / "labels", tmp_path / "record"]) as names:
            for path, name in names.items():
                name.write_text("ours")
                path.write_text("another's")
            (tmp_path / "labels").unlink()

    with pytest.raises(OutputError, match="record: exists already"):
        write()
    assert content(tmp_path) == {"record": "another's"}


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path):
    def write() -> None:
        with file_set([tmp_path / "labels", tmp_path / "record"]) as names:
            name = names[tmp_path / "labels"]
            raise OutputError(name, f"{name.name} is too long", "Shorten it.")

    with pytest.raises(OutputError) as caught:
        write()
    assert str(caught.value) == f"{tmp_path / 'labels'}: labels is too long. Shorten it."


def test_one_file_alone_is_at_any_moment_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    (tmp_path / "record").write_text("old")
    removed, unlink = [], os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: removed.append(Path(path).name) or unlink(path))
    write_set({tmp_path / "record": "new"}, overwrite=True)
    assert content(tmp_path) == {"record": "new"}
    assert "record" not in removed


def test_only_what_was_being_written_is_swept(tmp_path):
    ours = (".0123abcd-labels", ".0123abcd-.4567cdef-labels", ".89abcdef-record")
    others = ("labels", ".labels", ".0123abcd-other", "0123abcd-labels", ".0123abcx-labels", ".0123abcd-labels.txt")
    for name in (*ours, *others):
        (tmp_path / name).touch()
    sweep([tmp_path / "labels", tmp_path / "record"])
    assert {path.name for path in tmp_path.iterdir()} == set(others)


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_set_that_is_replaced_is_never_mixed_whenever_it_is_killed(tmp_path):
    seen = set()
    with server(file_set_toys) as ask:
        for end in range(1, 99):
            for name in ("labels", "map", "record"):
                (tmp_path / name).write_text("old")
            code = ask(end, tmp_path)
            there = {name: text for name, text in content(tmp_path).items() if not name.startswith(".")}
            if "record" in there:
                assert there["labels"] == there["record"]
                assert there.get("map", "old") == there["record"] or "map" not in there
            records = [path.read_text() for path in (tmp_path / "record", *left_behind([tmp_path / "record"]))
                       if path.exists()]
            assert {there[name] for name in ("labels", "map") if name in there} <= set(records)
            seen.add(there.get("record"))
            for path in tmp_path.iterdir():
                path.unlink()
            if code != KILLED:
                break
    assert code == 0
    assert seen == {"old", "new", None}
