"""Files that are damaged, or whose header promises what the disk does not hold: none is taken for sound."""

from __future__ import annotations

import bz2
import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scan_files import nifti, scan

from kaf.imaging import volume as kaf_volume
from kaf.imaging.volume import read_labels, read_volume
from kaf.runtime.errors import InputError

FORMATS = {  # file to read -> files in which bits are flipped
    "a.mha": ["a.mha"], "a.mhd": ["a.mhd", "a.zraw"], "a.nrrd": ["a.nrrd"], "a.nhdr": ["a.nhdr", "a.raw.gz"],
    "a.seg.nrrd": ["a.seg.nrrd"], "a.nii.gz": ["a.nii.gz"],
}
_FLIPS = 100


def packed(path: Path, voxels: np.ndarray) -> Path:
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.7, 3.0))
    SimpleITK.WriteImage(image, str(path), True)
    return path


def read_or_refuse(path: Path) -> np.ndarray | None:
    """The labels, or None where the file is refused by its name."""
    try:
        return read_labels(path).voxels
    except InputError as error:
        if error.subject != str(path):
            raise
        return None


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_bit_is_found_or_changes_no_voxel(tmp_path, name):
    voxels = scan((12, 30, 30), np.uint8)
    path = packed(tmp_path / name, voxels)
    rng = np.random.default_rng(5)
    refused = 0
    for target in (tmp_path / part for part in FORMATS[name]):
        sound = target.read_bytes()
        for bit in rng.choice(8 * len(sound), _FLIPS, replace=False):
            content = bytearray(sound)
            content[bit // 8] ^= 1 << (bit % 8)
            target.write_bytes(content)
            found = read_or_refuse(path)
            if found is None:
                refused += 1
            else:
                np.testing.assert_array_equal(found, voxels, err_msg=f"bit {bit} of {target.name}")
        target.write_bytes(sound)
    assert refused > _FLIPS / 4
    np.testing.assert_array_equal(read_labels(path).voxels, voxels)


def test_every_bit_of_a_header(tmp_path):
    """One in 6,000 was enough for MetaIO to hand out what lay in memory, or packed numbers, as voxels."""
    voxels = scan((3, 4, 5), np.uint8)
    path = packed(tmp_path / "a.mha", voxels)
    sound = path.read_bytes()
    for bit in range(8 * sound.index(b"LOCAL")):
        content = bytearray(sound)
        content[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(content)
        found = read_or_refuse(path)
        assert found is None or np.array_equal(found, voxels), f"bit {bit}: {sound[bit // 8 - 9: bit // 8 + 9]!r}"


META = ("ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 1\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nDimSize = {size}\nElementType = {kind}\n")
NRRD = "NRRD0004\ntype: {kind}\ndimension: 3\nsizes: {size}\nspacings: 1 1 1\nendian: little\n"
GREY = scan((5, 7, 9))
RAW = GREY.tobytes()


HERE = "ElementDataFile = LOCAL\n"


def metaimage(path: Path, data: bytes = RAW, end: str = HERE, size="9 7 5", kind="MET_SHORT") -> Path:
    path.write_bytes((META.format(size=size, kind=kind) + end).encode() + data)
    return path


def nrrd(path: Path, data: bytes = RAW, end: str = "encoding: raw\n\n", size="9 7 5", kind="short") -> Path:
    path.write_bytes((NRRD.format(size=size, kind=kind) + end).encode() + data)
    return path


def sized(length: int) -> str:
    return f"CompressedData = True\nCompressedDataSize = {length}\n{HERE}"


HUGE = "1000 1000 1000"
CLAIMS = {
    "nii": lambda at: nifti(at / "a.nii", dims=(1000, 1000, 1000), data=RAW),
    "nii.gz": lambda at: nifti(at / "a.nii.gz", dims=(1000, 1000, 1000), data=bytes(4000)),
    "nrrd": lambda at: nrrd(at / "a.nrrd", size=HUGE),
    "nrrd gzip": lambda at: nrrd(at / "a.nrrd", gzip.compress(bytes(4000)), "encoding: gzip\n\n", HUGE),
    "nrrd text": lambda at: nrrd(at / "a.nrrd", b"1 2 3 " * 900, "encoding: ascii\n\n", HUGE),
    "nrrd hex": lambda at: nrrd(at / "a.nrrd", b"0102" * 900, "encoding: hex\n\n", HUGE),
    "mha": lambda at: metaimage(at / "a.mha", size=HUGE),
    "mha zlib": lambda at: metaimage(
        at / "a.mha", zlib.compress(bytes(4000)), sized(len(zlib.compress(bytes(4000)))), HUGE),
    "vtk": lambda at: vtk(at / "a.vtk"),
    "gipl": lambda at: gipl(at / "a.gipl"),
}


def vtk(path: Path) -> Path:
    path.write_bytes(b"# vtk DataFile Version 3.0\nx\nBINARY\nDATASET STRUCTURED_POINTS\n"
                     b"DIMENSIONS 1000 1000 1000\nSPACING 1 1 1\nORIGIN 0 0 0\nPOINT_DATA 1000000000\n"
                     b"SCALARS s float 1\nLOOKUP_TABLE default\n" + RAW)
    return path


def gipl(path: Path) -> Path:
    header = bytearray(256)
    struct.pack_into(">4H", header, 0, 1000, 1000, 1000, 1)
    struct.pack_into(">H", header, 8, 15)  # short
    struct.pack_into(">4f", header, 10, 1, 1, 1, 1)
    struct.pack_into(">I", header, 252, 719555000)
    path.write_bytes(bytes(header) + RAW)
    return path


@pytest.mark.parametrize("name", CLAIMS)
def test_a_header_that_promises_more_than_the_file_can_hold(tmp_path, name, monkeypatch):
    """Before memory is taken: a file of 4 kB took 4 GB and 40 s until it was refused."""
    path = CLAIMS[name](tmp_path)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr("SimpleITK.ImageFileReader.Execute", lambda self: pytest.fail("ITK was asked to read it"))
    with pytest.raises(InputError, match=rf"{path.name}: .*(cut short|promises)"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha", "a.nhdr", "a.mhd", "a.nii.gz", "b.nrrd"])
def test_a_header_that_promises_less_than_the_file_holds(tmp_path, name):
    """One layer of voxels too few in the header shifts every slice."""
    made = {
        "a.nii": lambda path: nifti(path, dims=(8, 7, 5), data=RAW),
        "a.nii.gz": lambda path: nifti(path, dims=(9, 7, 4), data=RAW),
        "a.nrrd": lambda path: nrrd(path, size="9 6 5"),
        "b.nrrd": lambda path: nrrd(path, gzip.compress(RAW), "encoding: gzip\n\n", "9 6 5"),
        "a.mha": lambda path: metaimage(path, size="9 7 4"),
        "a.nhdr": lambda path: nrrd(path, b"", "encoding: raw\ndata file: a.raw\n", "8 7 5"),
        "a.mhd": lambda path: metaimage(path, b"", "ElementDataFile = a.raw\n", "8 7 5"),
    }
    (tmp_path / "a.raw").write_bytes(RAW)
    with pytest.raises(InputError, match=rf"{name}: contradicts itself.* bytes more are there"):
        read_volume(made[name](tmp_path / name))


def test_a_few_bytes_of_padding_are_no_damage(tmp_path):
    for path in (nrrd(tmp_path / "a.nrrd", RAW + b"\n"), metaimage(tmp_path / "a.mha", RAW + b"\n"),
                 nifti(tmp_path / "a.nii", data=RAW + bytes(8))):
        np.testing.assert_array_equal(read_volume(path).voxels, GREY)


SIZED = sized(len(zlib.compress(RAW)))
SLICES = "".join(f"s{n}.raw\n" for n in range(5))
SOUND = {
    "zlib": lambda at: metaimage(at / "a.mha", zlib.compress(RAW), SIZED),
    "gzip in mha": lambda at: metaimage(at / "a.mha", gzip.compress(RAW), sized(len(gzip.compress(RAW)))),
    "data at the end": lambda at: metaimage(at / "a.mha", b"comment" + RAW, f"HeaderSize = -1\n{HERE}"),
    "slices": lambda at: metaimage(at / "a.mhd", SLICES.encode(), "ElementDataFile = LIST\n"),
    "numbered slices": lambda at: metaimage(at / "a.mhd", b"", "ElementDataFile = s%d.raw 0 4 1\n"),
    "nrrd numbered": lambda at: nrrd(at / "a.nhdr", b"", "encoding: raw\ndata file: s%d.raw 0 4 1\n"),
    "nrrd list": lambda at: nrrd(at / "a.nhdr", b"", f"encoding: raw\ndata file: LIST\n{SLICES}"),
    "nrrd field after the file": lambda at: nrrd(at / "a.nhdr", b"", "datafile: a.raw\nencoding: raw\n"),
    "nrrd two streams": lambda at: nrrd(at / "a.nrrd", gzip.compress(RAW[:99]) + gzip.compress(RAW[99:]),
                                        "encoding: gz\n\n"),
    "nrrd with zeros behind": lambda at: nrrd(at / "a.nrrd", gzip.compress(RAW) + bytes(3000), "encoding: gz\n\n"),
    "nrrd byte skip": lambda at: nrrd(at / "a.nrrd", gzip.compress(b"skipped" + RAW), "byte skip: 7\nencoding: gz\n\n"),
    "nrrd from the end": lambda at: nrrd(at / "a.nrrd", b"skipped" * 99 + RAW, "byte skip: -1\nencoding: raw\n\n"),
    "nrrd line skip": lambda at: nrrd(at / "a.nrrd", b"x\nyy\n" + gzip.compress(RAW), "line skip: 2\nencoding: gz\n\n"),
    "nrrd text": lambda at: nrrd(at / "a.nrrd", " ".join(map(str, GREY.ravel())).encode(), "encoding: txt\n\n"),
    "nrrd hex": lambda at: nrrd(at / "a.nrrd", RAW.hex().encode(), "encoding: hex\n\n"),
    "nrrd with Windows line ends": lambda at: crlf(nrrd(at / "a.nrrd")),
}


def spoilt(path: Path, old: bytes, new: bytes) -> Path:
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return path


def crlf(path: Path) -> Path:
    head, gap, data = path.read_bytes().partition(b"\n\n")
    path.write_bytes((head + gap).replace(b"\n", b"\r\n") + data)
    return path


@pytest.mark.parametrize("name", SOUND)
def test_ways_to_store_voxels(tmp_path, name):
    (tmp_path / "a.raw").write_bytes(RAW)
    for n in range(5):
        (tmp_path / f"s{n}.raw").write_bytes(GREY[n].tobytes())
    volume = read_volume(SOUND[name](tmp_path))
    np.testing.assert_array_equal(volume.voxels, GREY)
    assert volume.warnings == ()


BROKEN = {
    "no length": (lambda at: metaimage(at / "a.mha", zlib.compress(RAW), SIZED.replace("DataSize", "Datasize")),
                  "how many bytes its compressed voxels take"),
    "packed, or not": (
        lambda at: spoilt(metaimage(at / "a.mha", zlib.compress(RAW), SIZED), b"CompressedData ", b"Compr_ssedData "),
        "size of compressed voxels and does not say"),
    "a blank that is none": (
        lambda at: spoilt(metaimage(at / "a.mha", zlib.compress(RAW), SIZED), b"DataSize ", b"DataSize\xa0"),
        "how many bytes its compressed voxels take"),
    "length too small": (lambda at: metaimage(at / "a.mha", zlib.compress(RAW), SIZED.replace("Size = ", "Size = -")),
                         "cut short|damaged"),
    "slice missing": (lambda at: metaimage(at / "a.mhd", b"gone.raw\n", "ElementDataFile = LIST\n"),
                      r"a\.mhd: keeps its voxels in gone\.raw, which does not exist"),
    "words": (lambda at: metaimage(at / "a.mha", b"1 2", f"BinaryData = False\n{HERE}"),
              "as text"),
    "bzip2": (lambda at: nrrd(at / "a.nrrd", bz2.compress(RAW), "encoding: bzip2\n\n"), "bzip2, which ITK does not"),
    "garbage behind": (lambda at: nrrd(at / "a.nrrd", gzip.compress(RAW) + b"more" * 9, "encoding: gz\n\n"), "damaged"),
    "no encoding": (lambda at: nrrd(at / "a.nrrd", RAW, "\n"), "no way of packing"),
    "type": (lambda at: nrrd(at / "a.nrrd", kind="shirt"), r"no type of numbers that KAF knows \('shirt'\)"),
    "sizes": (lambda at: nrrd(at / "a.nrrd", size="9 7"), "another number of sizes"),
    "no number": (lambda at: metaimage(at / "a.mha", size="9 7 x"), "DimSize in whole numbers"),
    "negative": (lambda at: metaimage(at / "a.mha", size="9 7 -5"), "is empty: its size is 9 x 7 x -5"),
    "endless files": (lambda at: nrrd(at / "a.nhdr", b"", "encoding: raw\ndata file: s%d.raw 0 4 0\n"), "has no end"),
    "billions of files": (lambda at: metaimage(at / "a.mhd", b"", "ElementDataFile = s%d.raw 0 4000000000 1\n"),
                          "leads nowhere"),
    "pattern": (lambda at: metaimage(at / "a.mhd", b"", "ElementDataFile = s%d%d.raw 0 4 1\n"), "leads nowhere"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_headers_that_lead_nowhere(tmp_path, name):
    make, words = BROKEN[name]
    with pytest.raises(InputError, match=words):
        read_volume(make(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("device", [True, False])
def test_a_header_that_names_a_device_or_a_pipe_as_its_data(tmp_path, device):
    os.mkfifo(tmp_path / "pipe.raw")
    name = "/dev/zero" if device else "pipe.raw"
    for path in (metaimage(tmp_path / "a.mhd", b"", f"ElementDataFile = {name}\n"),
                 nrrd(tmp_path / "a.nhdr", b"", f"encoding: raw\ndata file: {name}\n")):
        with pytest.raises(InputError, match=r"is a device|named pipe"):
            read_volume(path)


def test_what_grows_by_far_is_unpacked_before_memory_is_taken_for_it(tmp_path, monkeypatch):
    """70 MB of zeros in 70 kB, the last checksum wrong."""
    path = nrrd(tmp_path / "a.nrrd", gzip.compress(bytes(70 << 20)), "encoding: gzip\n\n", f"1024 1024 {70 // 2}")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(kaf_volume, "_read_image", lambda *_: pytest.fail("ITK was asked to read it"))
    with pytest.raises(InputError, match="damaged or cut short"):
        read_volume(path)


def test_a_header_without_geometry_is_read_with_warnings(tmp_path):
    path = metaimage(tmp_path / "a.mha")
    header = path.read_bytes()
    path.write_bytes(header.replace(b"ElementSpacing", b"DlementSpacing").replace(b"TransformM", b"TransfornM"))
    assert [warning[:28] for warning in read_volume(path).warnings] == [
        "the header gives no voxel si", "the header gives no orientat"]
    path = nrrd(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"spacings: 1 1 1\n", b""))
    assert "no voxel size" in read_volume(path).warnings[0]
