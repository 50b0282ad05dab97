"""A file is whole or absent, and refusals say why."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.files import atomic_path, atomic_write, check_output, check_regular, is_regular, remove, replace_folder


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
def test_disk_refuses_as_a_message(tmp_path, number, words):
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


def special_files(folder) -> dict[str, str]:
    """One of each kind that the system lets us make: name -> words of the refusal."""
    os.mkfifo(folder / "pipe.nrrd")
    (folder / "circle.nrrd").symlink_to("circle.nrrd")
    (folder / "gone.nrrd").symlink_to("nowhere.nrrd")
    (folder / "zero.nrrd").symlink_to("/dev/zero")
    (folder / "folder.nrrd").mkdir()
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(os.path.relpath(folder / "socket.nrrd"))
    return {"pipe": "named pipe", "circle": "leads back to itself", "gone": "does not exist", "zero": "device",
            "folder": "is a folder", "socket": "is a socket"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_only_regular_files_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in special_files(tmp_path).items():
        with pytest.raises(InputError, match=rf"{name}\.nrrd: .*{words}"):
            check_regular(tmp_path / f"{name}.nrrd")
        assert not is_regular(tmp_path / f"{name}.nrrd")
    (tmp_path / "a.nrrd").write_bytes(b"12345")
    (tmp_path / "link.nrrd").symlink_to("a.nrrd")
    assert check_regular(tmp_path / "link.nrrd").st_size == 5
    assert is_regular(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a\0b.nrrd", "\0", "a" * 5000, "x/" * 3000 + "a"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(InputError) as caught:
        check_regular(name)
    assert "\0" not in str(caught.value)


READ = "import sys; from kaf.imaging.volume import read_volume; read_volume(sys.argv[1])"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("folder", [False, True], ids=["file", "in a DICOM folder"])
@pytest.mark.parametrize("name", ["pipe", "circle", "zero"])
def test_reading_such_a_scan_ends_at_once(tmp_path, monkeypatch, name, folder):
    """In a process of its own, because a thread that waits for a pipe cannot be stopped."""
    monkeypatch.chdir(tmp_path)
    special_files(tmp_path)
    path = tmp_path / f"{name}.nrrd"
    if folder:
        path = (tmp_path / "series" / "1.dcm")
        path.parent.mkdir()
        (tmp_path / f"{name}.nrrd").rename(path)
        if name == "circle":
            path.unlink()
            path.symlink_to("1.dcm")
    given = str(path.parent if folder else path)
    done = subprocess.run([sys.executable, "-c", READ, given], capture_output=True, text=True, timeout=60)
    assert "InputError" in done.stderr.splitlines()[-1]
    assert path.name in done.stderr.splitlines()[-1]


class Scanner:
    """What a virus scanner does to ``os.replace`` and ``os.unlink``: refuses for a while, on a clock of its own."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.tried, self._free = 0.0, 0, seconds
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self._sleep)
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, self._refusing(getattr(os, name)))

    def _sleep(self, seconds):
        self.now += seconds

    def _refusing(self, call):
        def refuse(path, *others, **more):
            self.tried += 1
            if self.now < self._free:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return call(path, *others, **more)
        return refuse


def folder_of(path, content):
    path.mkdir()
    (path / "a.txt").write_text(content)
    return path


def test_a_short_lock_by_somebody_else_is_waited_for(tmp_path, monkeypatch):
    """A file, a folder, and an old file that goes."""
    atomic_write(tmp_path / "a.txt", "old")
    finished = folder_of(tmp_path / ".tmp-1", "new")
    scanner = Scanner(monkeypatch, 1.5)
    atomic_write(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert scanner.now >= 1.5
    scanner.__init__(monkeypatch, 1.5)
    replace_folder(finished, tmp_path / "entry")
    assert (tmp_path / "entry" / "a.txt").read_text() == "new"
    scanner.__init__(monkeypatch, 1.5)
    remove(tmp_path / "a.txt")
    assert names(tmp_path) == ["entry"]


def test_a_lock_that_stays_is_reported_after_two_seconds(tmp_path, monkeypatch):
    atomic_write(tmp_path / "a.txt", "old")
    scanner = Scanner(monkeypatch, 60.0)
    with pytest.raises(OutputError, match="you may not write there"):
        atomic_write(tmp_path / "a.txt", "new")
    assert 2 <= scanner.now < 5
    assert (tmp_path / "a.txt").read_text() == "old"


def test_what_will_not_change_is_reported_at_once(tmp_path, monkeypatch):
    """A folder that holds something is somebody's, and a disk that is full stays so."""
    finished, taken = folder_of(tmp_path / ".tmp-1", "new"), folder_of(tmp_path / "entry", "theirs")
    scanner = Scanner(monkeypatch, 0.0)
    with pytest.raises(OSError, match="not empty"):
        replace_folder(finished, taken)
    assert scanner.now == 0.0
    assert scanner.tried <= 1
    assert (taken / "a.txt").read_text() == "theirs"
    remove(tmp_path / "missing")
    assert scanner.now == 0.0
