"""DICOM files whose elements promise what is not there: refused before GDCM makes room for it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import along, classic, enhanced, item, place
from pydicom import uid
from scan_files import scan

from kaf.imaging.dicom_check import refuse_damage
from kaf.imaging.volume import read_volume
from kaf.runtime.errors import InputError

GREY = scan((3, 7, 9))
AFFINE = np.diag([-0.5, -0.8, 3.0, 1.0])
SYNTAXES = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
            uid.DeflatedExplicitVRLittleEndian]


@pytest.fixture
def series(tmp_path) -> Path:
    """A folder of three slices, with a sequence in the first."""
    folder = classic(tmp_path / "s", GREY, AFFINE)
    header = pydicom.dcmread(folder / "1.2.3.4-0.dcm")
    header.ReferencedImageSequence = [item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2.3.99")]
    header.save_as(folder / "1.2.3.4-0.dcm")
    return folder


def replace(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, new))


SLICES = struct.pack("<HH2sH", 0x0018, 0x0050, b"DS", 2)  # slice thickness, two bytes of text
ITEM = b"\xfe\xff\x00\xe0"
DAMAGE = {
    "a length of 4 GB": (SLICES, struct.pack("<HH2sHI", 0x0018, 0x0050, b"OB", 0, 0xFFFFFFF0)[:8],
                         r"its element \(0018,0050\) takes \d+ bytes, and \d+ are left"),
    "of no known kind": (SLICES, struct.pack("<HH2sH", 0x0018, 0x0050, b"QQ", 2), r"\(0018,0050\) is of no known kind"),
    "item too long": (ITEM, ITEM + b"\0\0\0\x7f", r"\(fffe,e000\) takes 2130706432 bytes"),
    "no item": (ITEM, b"\xfe\xff\x0d\xe0", "stands where an item should"),
    "stray item": (SLICES, struct.pack("<HHI", 0xFFFE, 0xE000, 2), "stands where an element should"),
    "rows": (struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 7), struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 6),
             "promises 9 x 6 x 1 voxels, and 18 bytes more are there"),
    "columns": (struct.pack("<HH2sHH", 0x0028, 0x0011, b"US", 2, 9),
                struct.pack("<HH2sHH", 0x0028, 0x0011, b"US", 2, 65000), r"take 126 of 910000 bytes"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_an_element_promises_and_the_file_does_not_hold(series, monkeypatch, name):
    """One wrong byte in such a file of 700 bytes took up to 19 GB."""
    old, new, words = DAMAGE[name]
    file = series / "1.2.3.4-0.dcm"
    replace(file, old, new)
    for owner, called in ((SimpleITK.ImageFileReader, "ReadImageInformation"),
                          (SimpleITK.ImageSeriesReader, "GetGDCMSeriesIDs")):
        monkeypatch.setattr(owner, called, lambda *_: pytest.fail("GDCM was asked"))
    for path, which in ((series, r"its file 1\.2\.3\.4-0\.dcm"), (file, "it")):
        with pytest.raises(InputError, match=rf"{which} is damaged or cut short: .*{words}") as caught:
            read_volume(path)
        assert caught.value.subject == str(path)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: uid.UID(syntax).keyword)
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_every_way_to_write_elements(tmp_path, syntax, undefined):
    positions = along((1, 0, 0, 0, 1, 0), (0, 3, 6))

    def change(header):
        for groups in (header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence):
            for group in groups:
                group.is_undefined_length_sequence_item = undefined
        for element in header:
            element.is_undefined_length = undefined and element.VR == "SQ"

    voxels = enhanced(tmp_path / "a.dcm", [place(position) for position in positions], change=change, syntax=syntax)
    volume = read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert volume.spacing == pytest.approx((0.5, 0.8, 3.0))
    content = (tmp_path / "a.dcm").read_bytes()
    for lost in (2, 60, 250):  # a deflated file may end in a byte of padding
        (tmp_path / "b.dcm").write_bytes(content[:-lost])
        with pytest.raises(InputError, match="damaged or cut short"):
            read_volume(tmp_path / "b.dcm")


def test_old_files_without_the_mark_are_looked_at_too(series):
    for file in series.iterdir():
        file.write_bytes(file.read_bytes()[132:])
        refuse_damage(file, file)
    replace(series / "1.2.3.4-1.dcm", struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 7),
            struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 50_000))
    with pytest.raises(InputError, match=r"1\.2\.3\.4-1\.dcm is damaged"):
        read_volume(series)


def test_sequences_without_end(tmp_path, series):
    deep = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + ITEM + bytes([255] * 4)
    content = (series / "1.2.3.4-1.dcm").read_bytes()
    at = content.index(SLICES)
    for count, words in ((3, "damaged"), (100, "nested deeper than 32"), (30_000, "nested deeper than 32")):
        (tmp_path / "a.dcm").write_bytes(content[:at] + count * deep + content[at:])
        with pytest.raises(InputError, match=words):
            refuse_damage(tmp_path / "a.dcm", tmp_path / "a.dcm")


@pytest.mark.parametrize("explicit", [False, True], ids=["as the standard says", "as some write it"])
def test_private_sequences_of_unknown_kind(series, explicit):
    """Their items are written without kinds of values, whatever the rest of the file is."""
    inner = struct.pack("<HH2sH", 0x0029, 0x1001, b"LO", 4) if explicit else struct.pack("<HHI", 0x0029, 0x1001, 4)
    unknown = (struct.pack("<HH2sHI", 0x0019, 0x1001, b"UN", 0, 0xFFFFFFFF) + ITEM + bytes([255] * 4) + inner + b"text"
               + struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    file = series / "1.2.3.4-0.dcm"
    positions = struct.pack("<HH2s", 0x0020, 0x000D, b"UI")
    replace(file, positions, unknown + positions)
    np.testing.assert_array_equal(read_volume(series).voxels, GREY)
    replace(file, inner + b"text", inner.replace(struct.pack("<H", 4), struct.pack("<H", 60_000)) + b"text")
    with pytest.raises(InputError, match="damaged or cut short"):
        read_volume(series)


def test_a_deflated_file_that_grows_without_end(tmp_path, series):
    """100 MB of zeros in 100 kB after the header that says how they are packed."""
    header = pydicom.dcmread(series / "1.2.3.4-1.dcm")
    header.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    header.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").voxels, GREY[1:2])
    content = (tmp_path / "a.dcm").read_bytes()
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    (tmp_path / "a.dcm").write_bytes(content[:start] + pack.compress(bytes(100 << 20)) + pack.flush())
    with pytest.raises(InputError, match=r"cannot be unpacked|no image"):
        read_volume(tmp_path / "a.dcm")
    (tmp_path / "a.dcm").write_bytes(content[:start] + b"no stream at all")
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_volume(tmp_path / "a.dcm")


def test_an_error_of_gdcm_about_a_folder_is_as_a_message(series, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Exception thrown\ngdcm: An invalid logic behavior occurred")

    monkeypatch.setattr(SimpleITK.ImageSeriesReader, "GetGDCMSeriesIDs", refuse)
    with pytest.raises(InputError, match="cannot be read as DICOM files"):
        read_volume(series)


@pytest.mark.data
def test_real_files_are_sound(shared_data):
    files = [path for path in (shared_data / "single_volumes").rglob("*.dcm") if path.is_file()]
    assert len(files) > 20
    for file in files:
        refuse_damage(file, file)
