"""Files that are no scans, are damaged, lie about themselves, or only look odd; files that are no files."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from campaigns import dicom, writers
from campaigns.bad import ACCEPT, EITHER, REFUSE, bad, text
from campaigns.bad_headers import AFFINE, VOXELS, meta_lies, nifti_lies, nrrd_lies
from campaigns.material import HERE, Material
from campaigns.verdicts import Try

Make = Callable[[], object]


def scan_tries(material: Material) -> Iterator[Try]:
    """All of them, for ``kaf segment``."""
    def one(group: str, name: str, make: Make, path: str = "scan.nii.gz", expect: str = REFUSE) -> Try:
        command = ["segment", path, "--model", material.model, "--output", "out.nrrd", *HERE]
        return bad(group, name, make, command, [_as_shown(path)], expect, ("out",))

    for name, path, make in _cut_short():
        yield one("scans cut short", name, make, path)
    for name, path, make in _impostors():
        yield one("no scans at all", name, make, path)
    for name, path, make in _no_files():
        yield one("no regular files", name, make, path)
    for name, make, expect in nifti_lies():
        yield one("NIfTI headers", name, make, "scan.nii", expect)
    for name, make, expect in nrrd_lies():
        yield one("NRRD headers", name, make, "scan.nrrd", expect)
    for name, make, expect in meta_lies():
        yield one("MetaImage headers", name, make, "scan.mha", expect)
    for name, make, expect in _odd_voxels():
        yield one("odd voxels", name, make, "scan.nii.gz", expect)
    for name, make, expect in _dicom_folders():
        yield one("DICOM folders", name, make, "scan", expect)
    for name in ("scän.nii.gz", "a b.nii.gz", "头.nii.gz", "%s{0}.nii.gz", "x" * 200 + ".nii.gz", "a'b\"c.nii.gz",
                 "scan.NII.GZ", "a;b&c.nii.gz", "$(touch pwned).nii.gz"):
        yield one("odd names", repr(name), lambda name=name: _write(name), name, ACCEPT)
    for name in (b"sc\xffn.nii.gz", b"a\nb.nii.gz", b"a\x1b[31mb.nii.gz", b"a\tb.nii.gz", b"-scan.nii.gz",
                 b"\xe2\x80\xaeabc.nii.gz"):
        path = f".{os.sep}{os.fsdecode(name)}"
        yield one("odd names", repr(name), lambda path=path: _write(path), path, EITHER)
    for more in (("--frame", "7"), ("--frame", "-1"), ("--roi", "1,1,1,1,1,1"), ("--roi", "900,900,900,910,910,910"),
                 ("--roi=nan,0,0,1,1,1",), ("--roi=0,0,0,inf,1,1",), ("--device", "cuda:9"), ("--device", "tpu")):
        yield bad("what is asked of a scan", " ".join(more), lambda: _write("scan.nii.gz"),
                  ["segment", "scan.nii.gz", "--model", material.model, "--output", "out.nrrd", *more],
                  ["scan", more[0].partition("=")[0].lstrip("-"), "cuda:9"])


def _as_shown(path: str) -> str:
    """What an error has to name: the file without its suffix, a byte that is no UTF-8 by its number, as ``\\xff``; half
    a surrogate pair, which is how Python holds such a byte, is no character that a terminal can show."""
    stem = Path(path).name.partition(".")[0]
    return "".join(f"\\x{ord(c) - 0xdc00:02x}" if "\udc80" <= c <= "\udcff" else c for c in stem)


def _write(path: str) -> None:
    writers.write_nifti(Path(path), VOXELS, AFFINE)
    if path.endswith(".GZ"):
        Path(path).write_bytes(gzip.compress(Path(path).read_bytes()))


_KINDS: dict[str, Callable[[Path], object]] = {
    "scan.nii": lambda path: writers.write_nifti(path, VOXELS, AFFINE),
    "scan.nii.gz": lambda path: writers.write_nifti(path, VOXELS, AFFINE),
    "scan.nrrd": lambda path: writers.write_nrrd(path, VOXELS, AFFINE),
    "scan.mha": lambda path: writers.write_meta(path, VOXELS, AFFINE),
    "plain.nrrd": lambda path: writers.write_nrrd(path, VOXELS, AFFINE, writers.Nrrd(encoding="raw")),
    "plain.mha": lambda path: writers.write_meta(path, VOXELS, AFFINE, writers.Meta(compressed=False)),
    "text.nrrd": lambda path: writers.write_nrrd(path, VOXELS, AFFINE, writers.Nrrd(encoding="ascii")),
}


def _cut_short() -> Iterator[tuple[str, str, Make]]:
    for path, write in _KINDS.items():
        for keep in (0.02, 0.3, 0.6, 0.9, 0.99):
            def make(path: str = path, write: Callable[[Path], object] = write, keep: float = keep) -> None:
                write(Path(path))
                content = Path(path).read_bytes()
                Path(path).write_bytes(content[:int(len(content) * keep)])
            yield f"{path} {keep}", path, make


def _packed(*files: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in files:
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("scan.nii", b"0" * 400)
    return content.getvalue()


def _impostors() -> Iterator[tuple[str, str, Make]]:
    """Other things under the name of a scan."""
    page = b"<!DOCTYPE html><html><body>404 not found</body></html>"
    png = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
    contents = {"empty": b"", "one byte": b"x", "text": b"no scan\n" * 50, "web page": page, "PNG": png,
                "zeros": bytes(4000), "0xff": b"\xff" * 4000, "JSON": b'{"a": 1}', "pickle": b"\x80\x04]q\x00.",
                "zip": _zip(), "tar.gz": _packed("a", "b"), "gz of nothing": gzip.compress(b""),
                "gz of text": gzip.compress(b"no scan\n" * 50), "gz of gz": gzip.compress(gzip.compress(bytes(4000)))}
    for name, content in contents.items():
        for path in ("scan.nii.gz", "scan.nii", "scan.nrrd", "scan.mha", "scan.dcm"):
            yield f"{name} as {path}", path, lambda path=path, content=content: text(path, content)
    for path in ("scan.png", "scan.txt", "scan.zip", "scan", "scan.json", "scan.npy"):
        yield f"text as {path}", path, lambda path=path: text(path)
    yield "missing", "scan.nii.gz", lambda: None
    yield "in a missing folder", "nowhere/scan.nii.gz", lambda: None
    yield "a folder", "scan.nii.gz", lambda: Path("scan.nii.gz").mkdir()
    yield "below a file", "scan.nii.gz/scan.nii.gz", lambda: text("scan.nii.gz")


def _no_files() -> Iterator[tuple[str, str, Make]]:
    def a_socket() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("scan.nii.gz")

    for path in ("scan.nii.gz", "scan.nii", "scan.nrrd", "scan.mha", "scan.dcm"):
        yield f"named pipe {path}", path, lambda path=path: os.mkfifo(path)
    yield "socket", "scan.nii.gz", a_socket
    yield "link to itself", "scan.nii.gz", lambda: os.symlink("scan.nii.gz", "scan.nii.gz")
    yield "link to nothing", "scan.nii.gz", lambda: os.symlink("nowhere.nii.gz", "scan.nii.gz")
    for device in ("zero", "null", "random"):
        for path in ("scan.nii", "scan.nrrd", "scan.mha"):
            yield f"/dev/{device} as {path}", path, lambda path=path, device=device: os.symlink(f"/dev/{device}", path)
    yield "folder of links in a circle", "scan", _circle
    yield "folder with a named pipe", "scan", lambda: (Path("scan").mkdir(), os.mkfifo("scan/1.dcm"))
    yield "MetaImage whose data is a pipe", "scan.mhd", lambda: _data_in("pipe")
    yield "MetaImage whose data is itself", "scan.mhd", lambda: _data_in("scan.mhd")
    yield "MetaImage whose data is /dev/zero", "scan.mhd", lambda: _data_in("/dev/zero")
    yield "NRRD whose data is a pipe", "scan.nhdr", lambda: _nrrd_data_in("pipe")
    yield "NRRD whose data is missing", "scan.nhdr", lambda: _nrrd_data_in("nothing.raw")
    yield "NRRD whose data is a folder", "scan.nhdr", lambda: _nrrd_data_in("folder")


def _circle() -> None:
    Path("scan/a").mkdir(parents=True)
    os.symlink("..", "scan/a/up")


def _data_in(name: str) -> None:
    if name == "pipe":
        os.mkfifo(name)
    writers.write_meta(Path("scan.mhd"), VOXELS, AFFINE, writers.Meta(compressed=False, detached=True))
    path = Path("scan.mhd")
    path.write_text(path.read_text().replace("scan.raw", name))
    Path("scan.raw").unlink()


def _nrrd_data_in(name: str) -> None:
    if name == "pipe":
        os.mkfifo(name)
    elif name == "folder":
        Path(name).mkdir()
    writers.write_nrrd(Path("scan.nhdr"), VOXELS, AFFINE, writers.Nrrd(encoding="raw", detached=True))
    path = Path("scan.nhdr")
    path.write_text(path.read_text().replace("scan.raw", name))
    Path("scan.raw").unlink()


def _odd_voxels() -> Iterator[tuple[str, Make, str]]:
    def with_values(change: Callable[[np.ndarray], object], kind: str = "float32") -> Make:
        def make() -> None:
            voxels = VOXELS.astype(kind)
            change(voxels)
            writers.write_nifti(Path("scan.nii.gz"), voxels, AFFINE)
        return make

    for value in (np.nan, np.inf, -np.inf):
        yield f"all {value}", with_values(lambda voxels, value=value: voxels.fill(value)), REFUSE
        yield f"some {value}", with_values(lambda voxels, value=value: voxels[0].fill(value)), ACCEPT
        yield f"one voxel not {value}", with_values(lambda voxels, value=value: voxels.ravel()[1:].fill(value)), ACCEPT
    yield "all the same", with_values(lambda voxels: voxels.fill(7)), ACCEPT
    yield "beyond float32", with_values(lambda voxels: voxels[0].fill(1e300), "float64"), ACCEPT
    yield "near the end of float32", with_values(lambda voxels: voxels[0].fill(3e38)), ACCEPT
    yield "tiny", with_values(lambda voxels: np.multiply(voxels, 1e-40, out=voxels), "float64"), ACCEPT
    yield "frames", lambda: writers.write_nifti(Path("scan.nii.gz"), np.stack([VOXELS, VOXELS]), AFFINE), REFUSE
    yield "five axes", lambda: writers.write_nifti(Path("scan.nii.gz"), np.stack([VOXELS] * 2)[None], AFFINE), REFUSE
    yield "one frame", lambda: writers.write_nifti(Path("scan.nii.gz"), VOXELS[None], AFFINE), ACCEPT
    yield "one pixel", lambda: writers.write_nifti(Path("scan.nii.gz"), VOXELS[:1, :1, :1], AFFINE), ACCEPT


def _dicom_folders() -> Iterator[tuple[str, Make, str]]:
    names = [f"{n}.dcm" for n in range(4)]
    folder = Path("scan")

    def series(change: Callable[[], object] = lambda: None) -> Make:
        def make() -> None:
            dicom.write_classic(folder, VOXELS, AFFINE, names)
            change()
        return make

    def patched(old: bytes, new: bytes, only: int | None = None) -> Make:
        def change() -> None:
            for path in [folder / names[only]] if only is not None else sorted(folder.iterdir()):
                content = path.read_bytes()
                assert old in content, old
                path.write_bytes(content.replace(old, new))
        return series(change)

    yield "empty", lambda: folder.mkdir(), REFUSE
    yield "only folders", lambda: Path("scan/a/b").mkdir(parents=True), REFUSE
    yield "text named .dcm", lambda: text("scan/1.dcm"), REFUSE
    yield "preamble alone", lambda: text("scan/1.dcm", bytes(128) + b"DICM"), REFUSE
    yield "a file of other kinds beside", series(lambda: text("scan/Thumbs.db")), ACCEPT
    yield "a slice cut short", series(lambda: os.truncate("scan/1.dcm", 700)), REFUSE
    yield "a slice emptied", series(lambda: os.truncate("scan/1.dcm", 0)), REFUSE
    yield "a slice missing", series(lambda: os.remove("scan/1.dcm")), REFUSE
    yield "a slice twice", series(lambda: text("scan/9.dcm", Path("scan/1.dcm").read_bytes())), REFUSE
    yield "a named pipe beside", series(lambda: os.mkfifo("scan/pipe.dcm")), EITHER
    yield "a link to nothing beside", series(lambda: os.symlink("nowhere", "scan/9.dcm")), EITHER
    yield "two series", series(lambda: dicom.write_classic(folder, VOXELS, AFFINE, [f"b{n}.dcm" for n in range(4)],
                                                           dicom.Series(uid="1.2.3.9"))), REFUSE
    yield "no position", patched(struct.pack("<HH", 0x20, 0x32), struct.pack("<HH", 0x20, 0x33)), REFUSE
    yield "one without position", patched(struct.pack("<HH", 0x20, 0x32), struct.pack("<HH", 0x20, 0x33), 2), REFUSE
    yield "no orientation", patched(struct.pack("<HH", 0x20, 0x37), struct.pack("<HH", 0x20, 0x38)), REFUSE
    yield "pixels of no size", patched(b"3\\3 ", b"0\\0 "), REFUSE
    yield "pixels of negative size", patched(b"3\\3 ", b"-3\\3"), REFUSE
    yield "no pixel size", patched(struct.pack("<HH", 0x28, 0x30), struct.pack("<HH", 0x28, 0x31)), EITHER
    rows = struct.pack("<HH", 0x28, 0x10) + b"US" + struct.pack("<H", 2)
    for count in (0, 65535, 13):
        yield f"{count} rows", patched(rows + struct.pack("<H", 12), rows + struct.pack("<H", count)), REFUSE
    yield "one slice of other rows", patched(rows + struct.pack("<H", 12), rows + struct.pack("<H", 6), 1), REFUSE
    bits = struct.pack("<HH", 0x28, 0x100) + b"US" + struct.pack("<H", 2)
    for count in (0, 8, 64):
        yield f"{count} bits", patched(bits + struct.pack("<H", 16), bits + struct.pack("<H", count)), REFUSE
    yield "one slice of other bits", patched(bits + struct.pack("<H", 16), bits + struct.pack("<H", 8), 1), REFUSE
    yield "not UTF-8 in a name", patched(b"cine", b"\xff\xfe\x1b["), EITHER
    yield "colour", patched(struct.pack("<HH", 0x28, 2) + b"US" + struct.pack("<HH", 2, 1),
                            struct.pack("<HH", 0x28, 2) + b"US" + struct.pack("<HH", 2, 3)), REFUSE
