"""Files that are none, and names that are no text: among scans they are named and left out, alone they are refused;
nothing hangs, and nothing takes the process down."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from made_folders import dicom
from worker_toys import environment

from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.imaging.write import write_map
from kaf.phantom.heart import cardiac_phantom

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names and pipes of Linux")
BAD = b"caf\xe9"  # as Latin-1 writes it


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "a.nii.gz"
    write_map(path, cardiac_phantom(3, slices=3, size=48, spacing=3.0)[0])
    return path


def kaf(*arguments, **more):
    """A command in a process of its own, which may not hang: it would block this one, too."""
    return subprocess.run([sys.executable, "-m", "kaf", *map(os.fspath, arguments)], capture_output=True, check=False,
                          env=environment(), timeout=120, **more)


def reported(done, *words):
    """Refused in one paragraph."""
    assert done.returncode in (1, 2), done
    text = done.stderr.decode()
    assert text.startswith("kaf: ")
    assert text.count("\n") == 1
    for word in words:
        assert word in text


def planted(folder: Path, scan: Path) -> list[str]:
    """One sound scan among all kinds of things; the names that are to be mentioned."""
    folder.mkdir()
    shutil.copy(scan, folder / "sound.nii.gz")
    for name in ("pipe.nii.gz", "pipe.dcm", "pipe", "dataset.json"):
        os.mkfifo(folder / name)
    (folder / "circle.nii.gz").symlink_to("circle.nii.gz")
    (folder / "nowhere.nii.gz").symlink_to("is not there")
    (folder / "zero.nii.gz").symlink_to("/dev/zero")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    for ending in (b".nii.gz", b".nrrd", b".dcm"):
        shutil.copy(scan, os.fsencode(folder) + b"/" + BAD + ending)
    inside = os.fsencode(folder) + b"/folder" + BAD
    os.mkdir(inside)
    shutil.copy(scan, inside + b"/b.nii.gz")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        listener.bind("socket.nii.gz")
        os.chdir(place)
    return ["pipe.nii.gz", "pipe.dcm", "circle.nii.gz", "nowhere.nii.gz", "zero.nii.gz", "socket.nii.gz"]


def test_among_scans_they_are_named_and_left_out(tmp_path, scan):
    mentioned = planted(tmp_path / "scans", scan)
    done = kaf("data", "scan", tmp_path / "scans")
    words = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Cases: 1 scan of 1 patient" in words
    assert "8 entries that cannot be opened as files" in words
    assert "4 files left out, as the name is not valid UTF-8: caf\\xe9.dcm, caf\\xe9.nii.gz" in words
    found = scan_folder(tmp_path / "scans")
    assert [case.name for case in found.cases] == ["sound"]
    listed = next(problem for problem in found.problems if "cannot be opened" in problem)
    assert any(name in listed for name in mentioned)
    assert inspect_dataset(found).cases[0].usable


def test_a_pipe_in_a_folder_of_slices(tmp_path, scan):
    dicom(tmp_path / "scans" / "patient")
    os.mkfifo(tmp_path / "scans" / "patient" / "!.dcm")
    os.mkfifo(tmp_path / "scans" / "patient" / "IM0")
    dataset = scan_folder(tmp_path / "scans")
    assert [case.name for case in dataset.cases] == ["patient"]
    reported(kaf("segment", tmp_path / "scans" / "patient", "--model", "cardiac-mr-sax", cwd=tmp_path), "named pipe")


@pytest.mark.parametrize("ending", [b".nii.gz", b".nrrd", b".mha", b".dcm", b""], ids=lambda ending: ending.decode())
def test_a_name_that_is_no_text_is_refused(tmp_path, scan, ending):
    path = os.fsencode(tmp_path) + b"/" + BAD + ending
    shutil.copy(scan, path)
    reported(kaf("segment", os.fsdecode(path), "--model", "cardiac-mr-sax", cwd=tmp_path), "caf\\xe9",
             "not valid UTF-8",
             "Rename it.")


def test_a_folder_whose_name_is_no_text(tmp_path, scan):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + BAD))
    folder.mkdir()
    dicom(tmp_path / "made").rename(folder / "patient")
    for command in (["data", "scan", folder], ["segment", folder / "patient", "--model", "cardiac-mr-sax"]):
        reported(kaf(*command, cwd=tmp_path), "caf\\xe9", "not valid UTF-8")
    (folder / "empty").mkdir()
    reported(kaf("segment", folder / "empty", "--model", "cardiac-mr-sax", cwd=tmp_path), "not valid UTF-8")


@pytest.mark.parametrize("command", [["segment"], ["explain"], ["adapt", "labels.nii.gz"]], ids=lambda words: words[0])
def test_results_cannot_have_such_a_name_either(tmp_path, scan, command):
    output = os.fsdecode(BAD + b".nrrd")
    done = kaf(command[0], scan, *command[1:], "--model", "cardiac-mr-sax", "--output", output, cwd=tmp_path)
    reported(done, "caf\\xe9.nrrd", "not valid UTF-8", "Choose another name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pipe", "circle", "/dev/zero", "folder"])
def test_a_settings_file_that_is_none(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "folder").mkdir()
    reported(kaf("segment", "a.nii.gz", "--model", "x", "--settings", name, cwd=tmp_path), name, "cannot be read")


def test_the_kernels_folders_are_not_looked_into(tmp_path, scan):
    """A link to them is enough, as in a folder of mounts."""
    (tmp_path / "scans").mkdir()
    shutil.copy(scan, tmp_path / "scans" / "a.nii.gz")
    for name in ("proc", "sys", "dev"):
        (tmp_path / "scans" / name).symlink_to(f"/{name}", target_is_directory=True)
    found = scan_folder(tmp_path / "scans")
    assert ([case.name for case in found.cases], found.problems) == (["a"], ())
