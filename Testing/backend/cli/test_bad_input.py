"""What goes wrong is one paragraph that names file, reason and remedy; nothing half-written stays behind."""

from __future__ import annotations

import gzip
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from made_models import HERE, LABELS, command_line, files_here, private_home, tiny_model

from kaf.imaging.volume import read_labels
from kaf.imaging.write import write_labels, write_map
from kaf.modelfile.card import CARD_KEY
from kaf.modelfile.weights_file import DIGEST_KEY
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.files import atomic_write

SMALL = cardiac_phantom(3, slices=3, size=48, spacing=3.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.0)


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


def image(path: str, array: np.ndarray, **more) -> str:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, **more), path)
    return path


def cut(path: str, keep: float) -> str:
    write_map(path, SMALL[0])
    raw = Path(path).read_bytes()
    Path(path).write_bytes(raw[:int(len(raw) * keep)])
    return path


def text(path: str, content: str | bytes = "this is no scan\n") -> str:
    Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def empty_folder(path: str) -> str:
    Path(path).mkdir()
    return path


def nothing_inside() -> str:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 0\nencoding: raw\nendian: little\n\n"
    return text("scan.nrrd", header)


GREY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
FRAMES = np.arange(3 * 4 * 5 * 6, dtype=np.int16).reshape(3, 4, 5, 6)
BAD_SCANS = {
    "missing": (lambda: "scan.nii.gz", "does not exist", []),
    "text named NIfTI": (lambda: text("scan.nii.gz"), "damaged", []),
    "text packed as NIfTI": (lambda: text("scan.nii.gz", gzip.compress(b"no scan")), "not a NIfTI file", []),
    "text": (lambda: text("scan.txt"), "is no image in a format KAF can read", []),
    "nothing in the file": (lambda: text("scan.nrrd", b""), "is an empty file", []),
    "NIfTI cut short": (lambda: cut("scan.nii.gz", 0.6), "cut short", []),
    "NRRD cut short": (lambda: cut("scan.nrrd", 0.6), "cut short", []),
    "MetaImage cut short": (lambda: cut("scan.mha", 0.6), "cut short", []),
    "empty folder": (lambda: empty_folder("scan"), "holds no DICOM image", []),
    "colour": (lambda: image("scan.nrrd", np.zeros((4, 5, 6, 3), np.uint8), isVector=True), "colour", []),
    "frames": (lambda: image("scan.nii.gz", FRAMES, isVector=False), "4-D with 3 frames. Choose one", []),
    "no such frame": (lambda: image("scan.nii.gz", FRAMES, isVector=False), "no frame 3", ["--frame", "3"]),
    "frame of a 3-D scan": (lambda: image("scan.nii.gz", GREY), "no frame 1", ["--frame", "1"]),
    "not a number": (lambda: image("scan.nii.gz", np.full((4, 5, 6), np.nan, np.float32)), "no finite", []),
    "no voxels": (nothing_inside, "is empty: its size is 4 x 4 x 0", []),
    "box elsewhere": (lambda: image("scan.nii.gz", GREY), "outside the scan", ["--roi=90,90,90,99,99,99"]),
    "no such device": (lambda: image("scan.nii.gz", GREY), "cuda:77: is not available", ["--device", "cuda:77"]),
}


def one_paragraph(done, words: str, about: str) -> None:
    """Exit code 1; one line on stderr with the file and the reason, and a remedy as a sentence of its own."""
    assert (done.code, done.out) == (1, "")
    error = "".join(line for line in done.err.splitlines(True) if not line.startswith("warning: "))
    assert error.startswith("kaf: ")
    assert error.count("\n") == 1
    assert about in error
    assert words in error
    reason, _, remedy = error.strip().removesuffix(".").rpartition(". ")
    assert len(reason) > 10
    assert remedy[:1].isupper()
    assert done.err.endswith(".\n")


@pytest.mark.parametrize("case", BAD_SCANS)
def test_a_bad_scan(kaf, model, case):
    make, words, more = BAD_SCANS[case]
    name = make()
    before = files_here()
    done = kaf("segment", name, "--model", model, "--output", "a.seg.nrrd", *HERE, *more)
    one_paragraph(done, words, "" if more and "frame" not in more[0] else name)
    assert files_here() == before


def test_frames_and_label_maps_are_fine(kaf, model):
    image("scan.nii.gz", np.stack([SMALL[0].voxels] * 2), isVector=False)
    assert kaf("segment", "scan.nii.gz", "--frame", "1", "--model", model, "--output", "a.mha", *HERE).code == 0
    assert read_labels("a.mha").shape == SMALL[0].shape
    write_labels("truth.seg.nrrd", SMALL[1], LABELS)
    assert kaf("segment", "truth.seg.nrrd", "--model", model, "--output", "b.mha", *HERE).code == 0


def changed(model: Path, change) -> None:
    """m.safetensors: the model with its header as a dict and its tensors' bytes changed."""
    raw = model.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8:8 + length]), bytearray(raw[8 + length:])
    change(header, data)
    words = json.dumps(header).encode()
    text("m.safetensors", len(words).to_bytes(8, "little") + words + bytes(data))


def other_card(header: dict, data: bytearray) -> None:
    header["__metadata__"][CARD_KEY] = header["__metadata__"][CARD_KEY].replace("LV cavity", "LV lumen")


def flip_a_bit(header: dict, data: bytearray) -> None:
    data[len(data) // 2] ^= 1


BAD_MODELS = {
    "missing": (lambda model: None, "there is no such file"),
    "cut short": (lambda model: text("m.safetensors", model.read_bytes()[:5000]), "is damaged"),
    "end missing": (lambda model: text("m.safetensors", model.read_bytes()[:-5000]), "its header states"),
    "text": (lambda model: text("m.safetensors", "weights" * 9), "is not a model file, or is damaged"),
    "one bit": (lambda model: changed(model, flip_a_bit), "its header states"),
    "another card": (lambda model: changed(model, other_card), "The card was changed"),
    "no card": (lambda model: changed(model, lambda header, _: header["__metadata__"].pop(CARD_KEY)), "no KAF"),
    "no digest": (lambda model: changed(model, lambda header, _: header["__metadata__"].pop(DIGEST_KEY)), "none"),
    "torch file": (lambda model: torch.save({"a": torch.zeros(2)}, "m.safetensors"), "this is a pickle"),
    "pickle": (lambda model: text("m.safetensors", pickle.dumps({"a": [1.5] * 99})), "this is a pickle"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_bad_model(kaf, model, case):
    make, words = BAD_MODELS[case]
    make(model)
    write_map("scan.nii.gz", SMALL[0])
    before = files_here()
    done = kaf("segment", "scan.nii.gz", "--model", "m.safetensors", "--output", "a.seg.nrrd", *HERE)
    one_paragraph(done, words, "m.safetensors")
    assert files_here() == before
    if case != "missing":
        one_paragraph(kaf("models", "add", "m.safetensors"), "", "m.safetensors")


@pytest.mark.parametrize(("output", "more"), [
    ("a.seg.nrrd", []), ("a.nii.gz", []), ("a.mha", []), ("a.seg.nrrd", ["--attention"]),
    ("a.seg.nrrd", ["--picture"]), ("explain", []), ("export", []),
], ids=["seg.nrrd", "nii.gz", "mha", "attention", "picture", "explain", "export"])
def test_a_full_disk(kaf, model, output, more):
    """Files may not grow beyond a limit: smaller than any result, or than the one that is made last."""
    resource = pytest.importorskip("resource")
    write_map("scan.nrrd", SMALL[0])
    before, limits = files_here(), resource.getrlimit(resource.RLIMIT_FSIZE)
    commands = {"explain": ["explain", "scan.nrrd", "--model", model, "--output", "a.nrrd", *HERE],
                "export": ["models", "export", model, "a.safetensors"]}
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000 if more else 300, limits[1]))
    try:
        done = kaf(*commands.get(output, [
            "segment", "scan.nrrd", "--model", model, "--output", output, *more, *HERE]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    one_paragraph(done, "", "a-" if more else "a.")
    assert re.search(r"choose another folder|Choose a folder on another disk", done.err)
    assert files_here() == before


def test_an_error_of_the_disk_elsewhere_is_as_a_message_too(kaf, model, monkeypatch, tmp_path):
    """The user's library, say, on a disk that became read-only."""
    private_home(monkeypatch, tmp_path / "elsewhere")
    atomic_write(tmp_path / "elsewhere", "a file where the library's folder should be")
    done = kaf("models", "add", model)
    one_paragraph(done, "", "elsewhere")
