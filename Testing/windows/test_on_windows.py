"""What only happens on Windows; ``Testing/backend/repository/test_windows.py`` runs this under the stand-in."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kaf.cli import entry as cli
from kaf.data.cache_folder import open_cache, remove_entry
from kaf.runtime import files, locks
from kaf.runtime import temporary as scratch
from kaf.runtime.environment import child_environment
from kaf.runtime.errors import OutputError
from kaf.runtime.files import atomic_write

pytestmark = pytest.mark.skipif("KAF_WINDOWS" not in os.environ, reason="runs under the stand-in for Windows only")


def entry_of(folder: Path) -> Path:
    """An entry of the cache."""
    entry = open_cache(folder) / ("0" * 32)
    entry.mkdir()
    (entry / "case.json").write_text("{}")
    np.save(entry / "image.npy", np.zeros((2, 3, 4), np.float32))
    return entry


def test_the_code_under_test_sees_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    assert (locks.sys.platform, files.os.name, locks.INHERITED) == ("win32", "nt", False)
    assert not hasattr(locks, "fcntl")
    assert not any(hasattr(files.os, name) for name in ("killpg", "getuid", "fork"))
    monkeypatch.setenv("Some_Name", "a")
    assert files.os.environ["SOME_NAME"] == files.os.getenv("some_name") == "a"
    with pytest.raises(OSError, match="privilege"):
        files.os.symlink("a", tmp_path / "b")
    with (tmp_path / "open").open("wb"), pytest.raises(PermissionError):
        files.remove(tmp_path / "open")
    (tmp_path / "open").unlink()  # a test may do what it likes


def test_the_environment_of_a_child_has_each_name_once(monkeypatch):
    monkeypatch.setenv("Path", "C:\\Windows")
    names = [name.upper() for name in child_environment({"path": "D:\\"})]
    assert len(set(names)) == len(names)
    assert "SYSTEMROOT" in names


def test_a_file_that_is_read_just_now_is_replaced_when_the_reader_is_done(tmp_path):
    path = tmp_path / "model.json"
    atomic_write(path, "old")
    reader = path.open("rb")
    threading.Timer(0.3, reader.close).start()
    atomic_write(path, "new")
    assert path.read_text() == "new"


def test_a_file_that_stays_open_is_reported_and_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    atomic_write(path, "old")
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    with path.open("rb"), pytest.raises(OutputError, match="you may not write there"):
        atomic_write(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]
    assert path.read_text() == "old"


def test_an_empty_folder_gives_way_and_a_full_one_stays(tmp_path):
    for name in ("made", "empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "made" / "a").write_text("new")
    (tmp_path / "full" / "a").write_text("theirs")
    with pytest.raises(OSError, match="not empty"):
        files.replace_folder(tmp_path / "made", tmp_path / "full")
    files.replace_folder(tmp_path / "made", tmp_path / "empty")
    assert (tmp_path / "empty" / "a").read_text() == "new"
    assert (tmp_path / "full" / "a").read_text() == "theirs"


def test_an_entry_of_the_cache_that_is_mapped_stays_whole(tmp_path):
    entry = entry_of(tmp_path)
    mapped = np.load(entry / "image.npy", mmap_mode="r")
    assert not remove_entry(entry)
    assert sorted(path.name for path in entry.iterdir()) == ["case.json", "image.npy"]
    assert mapped.shape == (2, 3, 4)
    del mapped
    assert remove_entry(entry)
    assert not entry.exists()


def test_what_is_mapped_when_a_temporary_folder_goes_goes_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = scratch.Scratch()
    np.save(first.path / "scan.npy", np.zeros(9))
    (first.path / "more").mkdir()
    mapped = np.load(first.path / "scan.npy", mmap_mode="r")
    first.close()
    assert sorted(path.name for path in first.path.iterdir()) == ["kaf-owner", "scan.npy"]
    del mapped
    other = scratch.Scratch()
    assert not first.path.exists()
    assert other.path.is_dir()
    other.close()


def test_results_and_scans_leave_no_files_behind(tmp_path, monkeypatch):
    """What is mapped cannot be deleted: results are read, and a scan that the worker still has goes a little later."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "helpers"))
    from worker_toys import clients

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = clients(tmp_path)
    client = next(made)()
    scan = {"image": (np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))}
    kept = [client.request("echo", volumes=scan)["arrays"]["image"][0] for _ in range(3)]
    end = time.monotonic() + 30
    while left := list(tmp_path.rglob("*.npy")):
        assert time.monotonic() < end, left
        client.discard()
        time.sleep(0.05)
    assert all((voxels == scan["image"][0]).all() for voxels in kept)
    next(made, None)


def test_names_that_windows_has_not_are_refused_in_a_sentence(tmp_path, capsys):
    for name in ("a?.safetensors", "nul.safetensors", "a:b.safetensors"):
        assert cli.main(["models", "export", "cardiac-mr-sax", str(tmp_path / name)]) == 1
        words = capsys.readouterr().err
        assert words.startswith("kaf: ")
        assert words.count("\n") == 1
        assert "does not expect" not in words
    assert list(tmp_path.iterdir()) == []
