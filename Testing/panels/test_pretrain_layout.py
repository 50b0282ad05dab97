"""The folders that an evaluation is made from: links, and what takes their place where links are not allowed."""

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from kaf.runtime.errors import OutputError
from KAFPretrainLib.evaluate.Evaluation import linkCases

pytestmark = pytest.mark.usefixtures("quietHost")


@pytest.fixture
def cases(tmp_path):
    """A file and a folder of slices, each with a label map."""
    scans = tmp_path / "scans"
    (scans / "slices").mkdir(parents=True)
    for name in ("a.nii.gz", "slices/1.dcm", "slices/2.dcm", "a.seg.nrrd", "b.nrrd"):
        (scans / name).write_bytes(name.encode())
    return [SimpleNamespace(name="anna", image=scans / "a.nii.gz", label=scans / "a.seg.nrrd"),
            SimpleNamespace(name="ben", image=scans / "slices", label=scans / "b.nrrd")]


def refuse(monkeypatch, *names):
    """As Windows does, where links are for administrators, or a disk that has none."""
    def refused(*_, **__):
        raise OSError(1314, "A required privilege is not held by the client")

    for name in names:
        monkeypatch.setattr(os, name, refused)


@pytest.mark.parametrize("missing", [(), ("symlink",), ("symlink", "link")], ids=lambda names: "-".join(names) or "all")
def test_the_commands_see_the_same_files(cases, tmp_path, monkeypatch, missing):
    refuse(monkeypatch, *missing)
    for _ in range(2):  # a second evaluation in the same folder
        linkCases(cases, tmp_path / "run")
    seen = {path.relative_to(tmp_path / "run").as_posix(): path.read_bytes().decode()
            for place in ("images", "labels", "images/ben") for path in (tmp_path / "run" / place).iterdir()
            if path.is_file()}
    assert seen == {"images/anna.nii.gz": "a.nii.gz", "images/ben/1.dcm": "slices/1.dcm",
                    "images/ben/2.dcm": "slices/2.dcm", "labels/anna.seg.nrrd": "a.seg.nrrd",
                    "labels/ben.nrrd": "b.nrrd"}
    assert all(case.image.exists() and case.label.exists() for case in cases)


def test_without_links_for_everybody_no_scan_is_copied(cases, tmp_path, monkeypatch):
    refuse(monkeypatch, "symlink")
    linkCases(cases, tmp_path / "run")
    assert (tmp_path / "run" / "images" / "anna.nii.gz").samefile(cases[0].image)
    assert (tmp_path / "run" / "images" / "ben" / "1.dcm").samefile(cases[1].image / "1.dcm")


def test_folders_of_somebody_are_left_as_they_are(cases, tmp_path):
    own = tmp_path / "run" / "images"
    own.mkdir(parents=True)
    (own / "patient.nii.gz").write_bytes(b"the only copy")
    with pytest.raises(OutputError, match=r"run: contains files that KAF did not write\. Move them away\."):
        linkCases(cases, tmp_path / "run")
    assert (own / "patient.nii.gz").read_bytes() == b"the only copy"
