"""Headers with numbers that nobody can mean, and data files that are no data: refused before a library meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_models import HERE, command_line, tiny_model
from scan_files import nifti, scan

from campaigns import dicom, writers
from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


def nrrd(path: Path, old: str = "", new: str = "", encoding: str = "raw") -> Path:
    """A file with one piece of its header in other words."""
    writers.write_nrrd(path, scan(), AFFINE, writers.Nrrd(encoding=encoding))
    return changed(path, old, new)


def meta(path: Path, old: str = "", new: str = "") -> Path:
    writers.write_meta(path, scan(), AFFINE, writers.Meta(compressed=False))
    return changed(path, old, new)


def changed(path: Path, old: str, new: str) -> Path:
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return path


FIELD = "space directions: "
DIRECTIONS = FIELD + "(2.0,0.0,0.0) (0.0,2.0,0.0) (0.0,0.0,5.0)"
ABSURD = {
    "NIfTI, huge voxels": lambda at: nifti(at / "a.nii", pixdim=(1e38, 2.0, 3.0)),
    "NIfTI, tiny voxels": lambda at: nifti(at / "a.nii", pixdim=(1e-38, 2.0, 3.0), sform_code=0, qform_code=1),
    "NIfTI, slices far apart": lambda at: nifti(at / "a.nii.gz", pixdim=(1.0, 2.0, 1e30), sform_code=0, qform_code=1),
    "NRRD, huge voxels": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "(1e300,0,0) (0,2,0) (0,0,5)"),
    "NRRD, a direction too few": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "(2,0,0) (0,2,0)"),
    "NRRD, no directions": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "none none none"),
    "NRRD, a direction of words": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "(a,b,c) (0,2,0) (0,0,5)"),
    "NRRD, a direction of NaN": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "(nan,0,0) (0,2,0) (0,0,5)"),
    "NRRD, a direction for two axes": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, FIELD + "(2,0,0) none (0,0,5)"),
    "NRRD, unknown sizes": lambda at: nrrd(at / "a.nrrd", DIRECTIONS, "spacings: 2 nan 5"),
    "NRRD, far away": lambda at: nrrd(at / "a.nrrd", "origin: (0.0", "origin: (1e30"),
    "MetaImage, huge voxels": lambda at: meta(at / "a.mha", "ElementSpacing = 2.0", "ElementSpacing = 1e300"),
    "MetaImage, place not a number": lambda at: meta(at / "a.mha", "Offset = 0.0", "Offset = nan"),
    "MetaImage, place infinite": lambda at: meta(at / "a.mha", "Offset = 0.0", "Offset = inf"),
    "MetaImage, place as text": lambda at: meta(at / "a.mha", "Offset = 0.0", "Offset = here"),
    "MetaImage, axes as text": lambda at: meta(at / "a.mha", "TransformMatrix = 1.0", "TransformMatrix = x"),
}


@pytest.mark.parametrize("case", ABSURD)
def test_numbers_that_nobody_can_mean(tmp_path, case):
    path = ABSURD[case](tmp_path)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert caught.value.subject == str(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("size", [1e-5, 5000.0])
def test_microscopes_and_telescopes_are_read(tmp_path, size):
    """Ten nanometres, or five metres, a voxel."""
    affine = np.diag([-size, -size, size, 1.0])
    for write, name in ((writers.write_nrrd, "a.nrrd"), (writers.write_meta, "a.mha"), (writers.write_nifti, "a.nii")):
        assert read_volume(write(tmp_path / name, scan(), affine)).spacing == pytest.approx((size,) * 3)


@pytest.mark.parametrize(("encoding", "rubbish"), [
    ("ascii", b"1 2 \x00\xff"), ("ascii", b"one two "), ("ascii", b"3 " * 12), ("ascii", b"1" * 3000),
    ("ascii", b" 12x "), ("hex", b"0x0g"), ("hex", b"a" * 21)])
def test_voxels_as_a_message_are_read_before_nrrd_reads_them(tmp_path, encoding, rubbish):
    """What is no number ends its reader, and this process with it."""
    path = nrrd(tmp_path / "a.nrrd", encoding=encoding)
    head, _, data = path.read_bytes().partition(b"\n\n")
    np.testing.assert_array_equal(read_volume(path).voxels, scan())
    place = len(data) // 2
    short = rubbish in (b"3 " * 12, b"a" * 21)
    damaged = data[:place] if short else data[:place] + rubbish + data[place + len(rubbish):]
    path.write_bytes(head + b"\n\n" + damaged)
    done = subprocess.run([sys.executable, "-c", f"""
from kaf.runtime.errors import InputError
from kaf.imaging.volume import read_volume
try:
    read_volume({str(path)!r})
except InputError as error:
    print(error.reason)
"""], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "damaged" in done.stdout or "cut short" in done.stdout


@pytest.mark.parametrize("value", ["0\\0 ", "-2\\2", "nan\\2", "1e99\\2", "2 ", "x\\y "])
@pytest.mark.parametrize("slices", [1, 3])
def test_pixels_of_no_size_in_dicom(tmp_path, value, slices):
    """GDCM takes 1 mm for what makes no sense."""
    folder = dicom.write_classic(tmp_path / "s", scan()[:slices], AFFINE, [f"{n}.dcm" for n in range(slices)])
    assert read_volume(folder).shape[0] == slices
    spacing = dicom.element((0x28, 0x30), "DS", "2\\2")
    for path in folder.iterdir():
        content = path.read_bytes()
        assert spacing in content
        path.write_bytes(content.replace(spacing, dicom.element((0x28, 0x30), "DS", value)))
    with pytest.raises(InputError, match=r"0\.dcm.* gives pixels of .* mm"):
        read_volume(folder)


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "a\0b", "nowhere.raw", "."])
@pytest.mark.parametrize("kind", ["mhd", "nhdr", "list"])
def test_data_files_that_are_no_data_are_recognised_by_segment(kaf, tmp_path, kind, name):
    model = tiny_model(tmp_path / "tiny.safetensors", spacing=2.0)
    os.mkfifo("pipe")
    path = Path("scan.nhdr" if kind == "nhdr" else "scan.mhd")
    if kind == "nhdr":
        writers.write_nrrd(path, scan(), AFFINE, writers.Nrrd(encoding="raw", detached=True))
    else:
        writers.write_meta(path, scan(), AFFINE, writers.Meta(compressed=False, detached=True))
    names = f"LIST\n{name}\n" if kind == "list" else name
    path.write_text(path.read_text().replace("scan.raw", names))
    done = kaf("segment", path, "--model", model, "--output", "out.nrrd", *HERE)
    assert done.code == 1
    assert done.err.startswith(f"kaf: {path}: ")
    assert done.err.count("\n") == 1
    assert done.err.rstrip("\n").isprintable()
