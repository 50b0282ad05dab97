"""Temporary folders: private, gone in the end, and nothing of anybody else's is ever removed with them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import kaf
from kaf.runtime.temporary import Scratch, default_parent, sweep

posix_only = pytest.mark.skipif(os.name == "nt", reason="tells users apart by their numbers")
HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from kaf.runtime.temporary import Scratch
scratch = Scratch()
(scratch.path / "scan.npy").write_bytes(b"voxels")
print(scratch.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """A temporary folder that only this test uses."""
    folder = tmp_path / "temp é 顱"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def left_by_a_killed_process(temp: Path) -> Path:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(temp)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(Path(kaf.__file__).parents[1]), "PYTHONUTF8": "1"})
    with process:
        folder = Path(process.stdout.readline().decode().strip())
        sweep()
        assert (folder / "scan.npy").is_file(), "its owner lives"
        process.kill()
    return folder


def test_it_is_private_and_nothing_is_left(temp):
    scratch = Scratch()
    other = Scratch()
    assert scratch.path.parent == other.path.parent == default_parent()
    assert default_parent().parent == temp
    if os.name != "nt":
        assert {path.stat().st_mode & 0o777 for path in (scratch.path, scratch.path.parent)} == {0o700}
    scratch.close()
    scratch.close()
    assert other.path.is_dir()
    other.close()
    assert tree(temp) == []


def test_what_a_killed_process_left_goes_with_the_next_one(temp):
    dead = left_by_a_killed_process(temp)
    assert dead.is_dir()
    living = Scratch()
    assert not dead.exists()
    assert living.path.is_dir()
    living.close()
    assert tree(temp) == []


def test_folders_of_other_tools_stay_whatever_they_are_called(temp):
    """Kafka's and Kafkai's begin with kaf-, too; so may a folder of the user's, with a file ``pid`` in it."""
    for name in ("kaf-foreign", "kaf-results", "kaf-segmentation-results", "kaf-logs"):
        (temp / name).mkdir()
        (temp / name / "pid").write_text("1")
        (temp / name / "only copy.nii.gz").write_bytes(b"scan")
    before = tree(temp)
    Scratch().close()
    sweep()
    assert tree(temp) == before


@posix_only
def test_folders_inside_its_own_stay_without_its_mark(temp):
    scratch = Scratch()
    place = scratch.path.parent
    for name, mark in (("work-none", None), ("work-other", b"1"), ("results", b"temporary folder of KAF")):
        (place / name).mkdir()
        (place / name / "only copy.nii.gz").write_bytes(b"scan")
        if mark is not None:
            (place / name / "kaf-owner").write_bytes(mark)
    (place / "work-pipe").mkdir()
    os.mkfifo(place / "work-pipe" / "kaf-owner")  # would be waited for, if it were opened
    (temp / "elsewhere").mkdir()
    (temp / "elsewhere" / "kaf-owner").write_bytes((scratch.path / "kaf-owner").read_bytes())
    (place / "work-link").symlink_to(temp / "elsewhere")
    scratch.close()
    before = tree(temp)
    Scratch().close()
    assert tree(temp) == before


@posix_only
def test_folders_of_another_user_stay(temp, monkeypatch):
    dead = left_by_a_killed_process(temp)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    sweep(dead.parent)
    assert (dead / "scan.npy").is_file()


@posix_only
@pytest.mark.parametrize("taken", ["file", "link", "another user"])
def test_a_name_that_somebody_else_has_taken_is_left_to_them(temp, monkeypatch, taken):
    parent = default_parent()
    if taken == "file":
        parent.write_text("not a folder")
    elif taken == "link":
        (temp / "trap").mkdir()
        parent.symlink_to(temp / "trap")
    else:
        parent.mkdir()
        monkeypatch.setattr("kaf.runtime.temporary.is_ours", lambda folder: folder != parent)
    before = tree(temp)
    scratch = Scratch()
    assert scratch.path.parent not in (parent, temp / "trap")
    scratch.close()
    assert tree(temp) == before


def test_a_folder_can_be_asked_for_on_another_disk(tmp_path):
    scratch = Scratch(tmp_path / "cache" / "downloads")
    assert scratch.path.parent == tmp_path / "cache" / "downloads"
    scratch.close()
    assert tree(tmp_path) == ["cache"]
