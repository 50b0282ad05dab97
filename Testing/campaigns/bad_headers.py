"""Headers of NIfTI, NRRD and MetaImage files with one field that is missing, absurd or a lie."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from campaigns import writers
from campaigns.bad import ACCEPT, EITHER, REFUSE, text
from campaigns.material import grey_of, random_labels

AFFINE = np.diag([-3.0, -3.0, 8.0, 1.0])
VOXELS = grey_of(random_labels((4, 12, 15), 2))
Make = Callable[[], object]


def nifti_lies() -> Iterator[tuple[str, Make, str]]:
    """(name, what makes scan.nii, what is expected): one field of the header set to another value."""
    fields: list[tuple[str, int, str, tuple[float, ...], str]] = [
        *[(f"dim {value}", 42, "<h", (value,), REFUSE) for value in (0, -1, -32768, 32767, 16)],
        *[(f"dim[0] {value}", 40, "<h", (value,), REFUSE) for value in (0, -3, 8, 100)],
        ("dim[0] 5", 40, "<h", (5,), EITHER),  # the axes beyond the third are one voxel long
        ("all dims 32767", 40, "<4h", (3, 32767, 32767, 32767), REFUSE),
        ("1000 cubed", 40, "<4h", (3, 1000, 1000, 1000), REFUSE),
        ("seven dims of 32767", 40, "<8h", (7, *[32767] * 7), REFUSE),
        *[(f"datatype {value}", 70, "<h", (value,), REFUSE) for value in (0, 1, 3, 32, 128, 1536, 1792, 2048, 2304,
                                                                          9999, -1)],
        # Slicer goes by the datatype alone.
        *[(f"bits {value}", 72, "<h", (value,), EITHER) for value in (0, 1, -8, 8, 32, 64, 255)],
        *[(f"voxel size {value}", 80, "<f", (value,), REFUSE) for value in (0.0, -1.0, float("nan"), float("inf"),
                                                                            -float("inf"), 1e38, 1e-38)],
        *[(f"slice distance {value}", 88, "<f", (value,), REFUSE) for value in (0.0, -8.0, float("nan"), float("inf"),
                                                                                1e30)],
        *[(f"offset {value}", 108, "<f", (value,), REFUSE) for value in (float("nan"), -5.0, 1e9, 3e38, float("inf"),
                                                                         100000.0)],
        *[(f"slope {value}", 112, "<f", (value,), EITHER) for value in (float("nan"), float("inf"), 1e38, 0.0)],
        ("size of header 0", 0, "<i", (0,), REFUSE), ("size of header 2 GB", 0, "<i", (2 ** 31 - 1,), REFUSE),
        *[(f"sform code {value}", 254, "<h", (value,), EITHER) for value in (-1, 5, 99)],
        ("no magic", 344, "<i", (0,), EITHER),
        ("sform of NaN", 280, "<12f", (float("nan"),) * 12, REFUSE),
        ("sform of zeros", 280, "<12f", (0.0,) * 12, REFUSE),
        ("sform of 1e38", 280, "<12f", (1e38,) * 12, REFUSE),
        ("sform axes parallel", 280, "<12f", (1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0), REFUSE),
        ("sform origin infinite", 292, "<f", (float("inf"),), REFUSE),
    ]
    for name, place, form, values, expect in fields:
        yield name, lambda place=place, form=form, values=values: _nifti_with(place, form, values), expect
    yield "qform of NaN", lambda: _nifti_with(256, "<6f", (float("nan"),) * 6, writers.Nifti(sform=0)), REFUSE
    yield "qform of 5", lambda: _nifti_with(256, "<3f", (5.0,) * 3, writers.Nifti(sform=0)), EITHER
    yield "no orientation", lambda: _nifti_with(4, "<i", (0,), writers.Nifti(sform=0, qform=0)), ACCEPT
    yield "NIfTI-2", lambda: writers.write_nifti(Path("scan.nii"), VOXELS, AFFINE, writers.Nifti(version=2)), EITHER
    yield "header alone", lambda: text("scan.nii", _plain_nifti()[:352]), REFUSE
    yield "more than it says", lambda: text("scan.nii", _plain_nifti() + bytes(500)), EITHER


_SFORM_ALONE = writers.Nifti(qform=0)


def _plain_nifti(how: writers.Nifti = _SFORM_ALONE) -> bytes:
    return writers.write_nifti(Path("scan.nii"), VOXELS, AFFINE, how).read_bytes()


def _nifti_with(place: int, form: str, values: tuple[float, ...], how: writers.Nifti = _SFORM_ALONE) -> None:
    content = bytearray(_plain_nifti(how))
    struct.pack_into(form, content, place, *values)
    text("scan.nii", bytes(content))


def nrrd_lies() -> Iterator[tuple[str, Make, str]]:
    changes = [
        ("sizes: 15 12 4", sizes, REFUSE) for sizes in (
            "sizes: 0 12 4", "sizes: -15 12 4", "sizes: 15 12", "sizes: 15 12 4 1", "sizes: 1000 1000 1000",
            "sizes: 2000000000 2000000000 2000000000", "sizes: 99999999999999999999 1 1", "sizes: a b c",
            "sizes: 15 12 5", "sizes: nan 12 4", "", "sizes: 15 12 4\nsizes: 1 1 1")]
    changes += [("type: short", f"type: {kind}", REFUSE) for kind in ("block", "double", "nothing", "float", "")]
    changes += [("dimension: 3", f"dimension: {value}", REFUSE) for value in (0, 1, 2, 4, 17, -3, 10 ** 12, "x")]
    changes += [("encoding: raw", f"encoding: {value}", REFUSE) for value in ("bzip2", "hex", "ascii", "zstd", "")]
    changes += [("encoding: raw", "encoding: gzip", EITHER)]  # zlib reads what is not packed as it is
    changes += [("endian: little\n", "", REFUSE), ("NRRD0004", "NRRD9999", REFUSE), ("NRRD0004", "nrrd", REFUSE),
                ("kinds: domain domain domain", "kinds: vector domain domain", EITHER),
                ("kinds: domain domain domain", "kinds: x y z", REFUSE),
                ("kinds: domain domain domain", "kinds: domain domain", REFUSE),
                ("space: left-posterior-superior", "space: nowhere", REFUSE),
                ("space: left-posterior-superior", "space dimension: 2", REFUSE),
                ("# written by hand", "# " + "x" * 2_000_000, EITHER),
                ("# written by hand", "key:=\udcff\udcfe", EITHER),
                ("# written by hand", "key:=" + "y" * 100_000, EITHER),
                ("# written by hand", "byte skip: 100000", REFUSE),
                ("# written by hand", "line skip: 100000", REFUSE), ("# written by hand", "byte skip: -5", EITHER),
                ("# written by hand", "data file: /etc/hostname", REFUSE),
                ("# written by hand", "\x1b[31mred", EITHER)]
    directions = "(3.0,0.0,0.0) (-0.0,3.0,0.0) (0.0,0.0,8.0)"
    changes += [(f"space directions: {directions}", f"space directions: {value}", REFUSE) for value in (
        "none none none", "(nan,0,0) (0,3,0) (0,0,8)", "(0,0,0) (0,3,0) (0,0,8)", "(3,0,0) (3,0,0) (0,0,8)",
        "(3,0,0) (0,3,0)", "(inf,0,0) (0,3,0) (0,0,8)", "(1e300,0,0) (0,1e300,0) (0,0,1e300)",
        "(1e-300,0,0) (0,1e-300,0) (0,0,1e-300)")]
    changes += [("space origin: (", f"space origin: ({value}", REFUSE) for value in ("nan,0,0) (", "inf,0,0) (")]
    for old, new, expect in changes:
        shown = new if len(new) < 60 else f"{new[:20]}..."
        yield f"{old.strip()} -> {shown!r}", lambda old=old, new=new: _nrrd_with(old, new), expect


def _nrrd_with(old: str, new: str) -> None:
    path = writers.write_nrrd(Path("scan.nrrd"), VOXELS, AFFINE, writers.Nrrd(encoding="raw"))
    head, _, data = path.read_bytes().partition(b"\n\n")
    words = head.decode()
    if old.startswith("space directions"):
        start = words.index("space directions")
        words = words[:start] + new + words[words.index("\n", start):]
    elif old.startswith("space origin"):
        start = words.index("space origin")
        words = words[:start] + new.removesuffix(" (")
    else:
        assert old in words, old
        words = words.replace(old, new)
    path.write_bytes(words.encode("utf-8", "surrogateescape") + b"\n\n" + data)


def meta_lies() -> Iterator[tuple[str, Make, str]]:
    changes: list[tuple[str, str, str]] = []
    for field, values in {
            "NDims": ("0", "-1", "2", "4", "10", "999999", "x", None),
            "DimSize": ("0 12 4", "-15 12 4", "15 12", "1000 1000 1000", "2000000000 2000000000 2000000000", "a b c",
                        "15 12 5", "nan 12 4", None),
            "ElementSpacing": ("0 3 8", "-3 3 8", "nan 3 8", "inf 3 8", "3 3", "a b c", "1e300 1e300 1e300"),
            "TransformMatrix": ("0 0 0 0 0 0 0 0 0", "nan 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1", "1 0 0 0 1 0", "x"),
            "Offset": ("nan 0 0", "inf 0 0"),
            "ElementType": ("MET_NOTHING", "MET_DOUBLE", "MET_STRING", None),
            "ElementDataFile": ("nothing.raw", "../../../nothing.raw", "LIST", "%03d.raw 1 4 1", None),
            "CompressedData": ("True",), "HeaderSize": ("100000",), "BinaryData": ("False",),
            "ElementNumberOfChannels": ("3", "0", "1000000")}.items():
        changes += [(field, f"{field} = {value}" if value is not None else "", REFUSE) for value in values]
    changes += [("Comment", "Comment = " + "x" * 200_000, EITHER), ("Comment", "Comment = \udcff", EITHER),
                ("CenterOfRotation", "CenterOfRotation = nan nan nan", EITHER),
                ("AnatomicalOrientation", "AnatomicalOrientation = ???", EITHER),
                ("ElementType", "ElementType = MET_SHORT_ARRAY", EITHER)]
    for field, line, expect in changes:
        yield f"{line[:50]!r} for {field}", lambda field=field, line=line: _meta_with(field, line), expect


def _meta_with(field: str, line: str) -> None:
    path = writers.write_meta(Path("scan.mha"), VOXELS, AFFINE, writers.Meta(compressed=False))
    head, mark, data = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    lines = [*head.decode().splitlines(), mark.decode().strip()]
    kept = [old for old in lines if not old.startswith(f"{field} =")]
    place = next((n for n, old in enumerate(lines) if old.startswith(f"{field} =")), len(lines) - 1)
    kept[place:place] = [line] if line else []
    path.write_bytes("\n".join(kept).encode("utf-8", "surrogateescape") + b"\n" + data)
