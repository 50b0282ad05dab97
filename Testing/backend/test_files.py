"""A file is whole or absent, and refusals are in words."""

from __future__ import annotations

import errno
import os

import pytest

from kaf.errors import OutputError
from kaf.files import atomic_path, atomic_write, check_output


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write_and_fail(path, error):
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text("half")
        raise error


def test_content_arrives_and_nothing_else_stays(tmp_path):
    atomic_write(tmp_path / "a.json", "größer")
    atomic_write(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "a.json").read_bytes() == "größer".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a.json", "b.bin"]


def test_temporary_name_is_hidden_in_the_same_folder_and_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "case.seg.nrrd") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".seg.nrrd")
        assert not (tmp_path / "case.seg.nrrd").exists()
        temporary.write_bytes(b"x")
    assert names(tmp_path) == ["case.seg.nrrd"]


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_the_old_file_and_removes_the_new_one(tmp_path, raised):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(raised):
        write_and_fail(path, raised)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_existing_file_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt: exists already.*--overwrite"):
        check_output(path)
    with pytest.raises(OutputError, match="--overwrite"):
        atomic_write(path, "new", overwrite=False)
    assert path.read_text() == "old"
    atomic_write(path, "new", overwrite=True)
    assert path.read_text() == "new"


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.txt"

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(OutputError, match="exists already"):
        write()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def test_missing_folder_and_folder_as_file(tmp_path):
    with pytest.raises(OutputError, match=r"folder .*nowhere does not exist"):
        atomic_write(tmp_path / "nowhere" / "a.txt", "x")
    with pytest.raises(OutputError, match="is a folder"):
        atomic_write(tmp_path, "x")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk.*Free some space"),
        (errno.EACCES, "you may not write there"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_disk_refuses_in_words(tmp_path, number, words):
    with pytest.raises(OutputError, match=words) as caught:
        write_and_fail(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert caught.value.subject == str(tmp_path / "a.txt")
    assert names(tmp_path) == []


def test_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OutputError, match="you may not write there"):
        check_output(tmp_path / "a.txt")


def test_name_too_long(tmp_path):
    with pytest.raises(OutputError, match="the name is too long"):
        atomic_write(tmp_path / ("x" * 250), "x")


def test_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []
