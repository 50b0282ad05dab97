"""The commands: what they write and say, events, what is refused before any work, the library."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_models import HERE, LABELS, command_line, files_here, tiny_model

from kaf.cli.console import Console
from kaf.imaging.volume import read_labels, read_volume
from kaf.imaging.write import write_labels, write_map
from kaf.modelfile.card import read_card
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.events import Error, Message, Metric, Progress, Result, from_json


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.0)


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    write_map(path, cardiac_phantom(3, slices=3, size=48, spacing=3.0)[0])
    return path


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


def test_segment_writes_what_it_says(kaf, scan, model):
    done = kaf("segment", scan, "--model", model, "--attention", "--uncertainty", "--picture",
               "--output", "a.seg.nrrd", *HERE)
    assert done.code == 0, done.err
    assert files_here() == {"a.seg.nrrd", "a-attention.nrrd", "a-uncertainty.nrrd", "a-overview.png",
                            "a-seg.json"}
    report = json.loads(Path("a-seg.json").read_text())
    labels, image = read_labels("a.seg.nrrd"), read_volume(scan)
    for name in ("a.seg.nrrd", "a-attention.nrrd", "a-uncertainty.nrrd"):
        assert (read_volume(name).shape, name) == (image.shape, name)
        np.testing.assert_allclose(read_volume(name).affine, image.affine, atol=1e-4)
    for label in LABELS:
        assert f"{label.name}: {report['volumes_ml'][label.name]:.1f} mL\n" in done.out
        counted = np.count_nonzero(labels.voxels == label.value) * 3 * 3 * 8 / 1000
        assert report["volumes_ml"][label.name] == pytest.approx(counted, abs=1e-3)
    assert done.out.endswith("written: a.seg.nrrd\n")
    assert (report["settings"]["attention"], report["settings"]["batch"]) == (True, 8)
    assert (report["model"], report["model_digest"]) == ("tiny", read_card(model).digest)
    assert Path(report["outputs"]["attention"]) == Path("a-attention.nrrd")


@pytest.mark.parametrize(("error", "words"), [
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
     "memory: this computer ran out of memory ("),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
     "memory: this computer ran out of memory ("),
    (cv2.error("OpenCV(4.10.0) error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
     "memory: this computer ran out of memory ("),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory: this computer ran out of memory ("),
    (MemoryError(), "memory: this computer ran out of memory. Close"),
    (RuntimeError("MPS backend out of memory (max allowed: 6.80 GB)"), "GPU: ran out of memory (MPS"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "GPU: ran out of memory (CUDA"),
], ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "")
def test_memory_that_ran_out_is_reported(kaf, scan, model, monkeypatch, error, words):
    def full(*_):
        raise error

    monkeypatch.setattr("kaf.verbs.segment.segment", full)
    done = kaf("segment", scan, "--model", model)
    assert done.code == 1
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_segment_names_its_results_after_the_scan(kaf, scan, model, suffix):
    assert kaf("segment", scan, "--model", model, *HERE).code == 0
    assert files_here() == {"scan-seg.seg.nrrd", "scan-seg.json"}
    assert kaf("segment", scan, "--model", model, "--output", f"b{suffix}", *HERE).code == 0
    np.testing.assert_array_equal(read_labels(f"b{suffix}").voxels, read_labels("scan-seg.seg.nrrd").voxels)


def test_the_licence_of_the_weights_is_said_once(kaf, scan, model, tmp_path):
    first = kaf("segment", scan, "--model", model, *HERE)
    assert "licensed under CC0-1.0. Trained on: nothing." in first.err
    assert "licensed" not in kaf("segment", scan, "--model", model, "--overwrite", *HERE).err
    (tmp_path / "home" / "state").rename(tmp_path / "elsewhere")
    (tmp_path / "home" / "state").touch()  # a home that cannot be written: said again, and no failure
    for _ in range(2):
        done = kaf("segment", scan, "--model", model, "--overwrite", *HERE)
        assert done.code == 0
        assert "licensed" in done.err


@pytest.mark.parametrize(("output", "words"), [
    ("old.nii.gz", "old.nii.gz: exists already. Choose another name, or pass --overwrite"),
    ("new.png", "new.png: its suffix is none that KAF writes"),
    ("there/new.nrrd", "the folder there does not exist"),
    ("old.nii.gz/new.nrrd", "does not exist"),
    ("fresh.nii.gz", "fresh-seg.json: exists already"),
])
def test_what_cannot_be_written_is_refused_before_any_work(kaf, output, words):
    """Before the scan and the model are even looked for: neither exists."""
    Path("sub").mkdir()
    Path("old.nii.gz").write_text("mine")
    Path("fresh-seg.json").write_text("mine")
    before = files_here()
    done = kaf("segment", "no-scan.nrrd", "--model", "no-model", "--output", output)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert files_here() == before
    assert Path("old.nii.gz").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
@pytest.mark.parametrize(("make", "words"), [
    (lambda: None, "cases: does not exist. Check the path"),
    (lambda: os.symlink("cases", "cases"), "cases: is a symbolic link that leads back to itself"),
    (lambda: os.mkfifo("cases"), "cases: is a named pipe"),
    (lambda: Path("cases").write_text("a scan?"), "out: is no file name that KAF writes, and cases is no folder of "),
], ids=["missing", "link", "pipe", "file"])
def test_what_is_no_folder_of_scans_is_reported_where_a_folder_is_to_come_out(kaf, make, words):
    """It was the suffix of the output that was complained about."""
    make()
    done = kaf("segment", "cases", "--model", "tiny", "--output", "out")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"kaf: {words}")
    assert done.err.count("\n") == 1


def test_a_scan_is_never_replaced_by_its_segmentation(kaf, scan, model):
    Path("mine.nii.gz").write_bytes(scan.read_bytes())
    done = kaf("segment", "mine.nii.gz", "--model", model, "--output", "mine.nii.gz", "--overwrite")
    assert done.err == "kaf: mine.nii.gz: is an input of this command. Choose another name for the result.\n"
    assert done.code == 1
    assert Path("mine.nii.gz").read_bytes() == scan.read_bytes()


def test_what_was_drawn_is_never_replaced_by_what_was_learnt(kaf, scan, model):
    """Nor by the adapted model; and all that is wrong with names is reported before the scan is read."""
    write_labels("drawn.nii.gz", cardiac_phantom(3, slices=3, size=48, spacing=3.0)[1], LABELS)
    before = Path("drawn.nii.gz").read_bytes()
    done = kaf("adapt", scan, "drawn.nii.gz", "--model", model, "--output", "drawn.nii.gz", "--overwrite")
    assert (done.code, "drawn.nii.gz: is an input of this command" in done.err) == (1, True)
    assert Path("drawn.nii.gz").read_bytes() == before
    for more, words in ((["--output", "a.png"], "its suffix is none"), (["--model", "nobody"], "not in the library"),
                        (["--save-model", "no/m.safetensors"], "the folder no does not exist")):
        given = more if "--model" in more else ["--model", model, *more]
        done = kaf("adapt", "no-scan.nrrd", "drawn.nii.gz", *given)
        assert (done.code, words in done.err) == (1, True)
    assert files_here() == {"drawn.nii.gz"}


def test_events_are_the_only_thing_on_stdout(kaf, scan, model):
    done = kaf("segment", scan, "--model", model, "--events", "--output", "a.mha", *HERE)
    events = [from_json(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Result)
    assert events[-1].values == json.loads(Path("a-seg.json").read_text())
    assert any(isinstance(event, Message) and "licensed" in event.text for event in events)
    done = kaf("segment", scan, "--events", "--model", model, "--output", "a.mha")
    (event,) = map(from_json, done.out.splitlines())
    assert (done.code, event.kind, f"kaf: {event.text}\n") == (1, "OutputError", done.err)
    assert isinstance(event, Error)


def test_explain_writes_a_map_and_markups(kaf, scan, model):
    done = kaf("explain", scan, "--model", model, "--markups", "k.mrk.json", "--top", "7", "--slice", "1",
               *HERE)
    assert done.code == 0, done.err
    assert files_here() == {"scan-attention.nrrd", "k.mrk.json"}
    points = json.loads(Path("k.mrk.json").read_text())["markups"][0]["controlPoints"]
    assert len(points) == 7
    left, back, up = points[0]["position"]
    assert f"R {-left:.1f}  A {-back:.1f}  S {up:.1f} mm  (slice 1): " in done.out
    assert read_volume("scan-attention.nrrd").shape == read_volume(scan).shape


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["--scale", "9"], 2, "scale"), (["--head", "2"], 2, "has 2. Choose 0 to 1"),
    (["--direction", "to"], 2, "needs a point. Give --point R A S"),
    (["--slice", "3"], 1, "the slices 0 to 2"),
    (["--point", "900", "0", "0"], 1, "outside the scan"),
    (["--output", "a.seg.nrrd"], 1, "an attention map is not one"),
    (["--output", "a.txt"], 1, "its suffix is none"),
    (["--markups", "no/k.mrk.json"], 1, "the folder no does not"),
])
def test_explain_says_what_it_cannot_do(kaf, scan, model, arguments, code, words):
    done = kaf("explain", scan, "--model", model, *arguments, *HERE)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert words in done.err
    assert files_here() == set()


def test_the_library_from_adding_to_removing(kaf, model, monkeypatch, tmp_path):
    monkeypatch.setattr("kaf.modelfile.library.bundled_folder", lambda: tmp_path / "none came with KAF")
    assert kaf("models", "list").out == "no models; add one: kaf models add FILE\n"
    assert kaf("models", "add", model, "--name", "mine").out == "added mine (CC0-1.0)\n"
    listed = kaf("models", "list", "--events").out
    assert {"name": "mine", "modality": "MR"}.items() <= from_json(listed).values["models"][-1].items()
    assert "myocardium" in kaf("models", "list").out
    shown = kaf("models", "show", "mine").out
    assert all(words in shown for words in ("3 mm", "2 myocardium", "CC0-1.0", read_card(model).digest))
    again = kaf("models", "add", model, "--name", "mine")
    assert (again.code, "in the library already" in again.err) == (1, True)
    assert kaf("models", "add", model, "--name", "mine", "--overwrite").code == 0
    assert kaf("models", "export", "mine", "copy.safetensors").code == 0
    assert Path("copy.safetensors").read_bytes() == model.read_bytes()
    assert kaf("models", "export", "mine", "copy.safetensors").code == 1
    assert "did you mean 'mine'" in kaf("segment", "s.nrrd", "--model", "mne").err.lower()
    assert kaf("models", "remove", "mine").code == 0
    gone = kaf("models", "remove", "mine")
    assert (gone.code, "is not in your library" in gone.err) == (1, True)


def test_data_scan_says_what_it_understood(kaf):
    for name in ("images", "labels"):
        Path(name).mkdir()
    for seed in (1, 2):
        volume, truth = cardiac_phantom(seed, slices=2, size=32, spacing=4)
        write_map(f"images/heart{seed}.nii.gz", volume)
        write_labels(f"labels/heart{seed}.nii.gz", truth, LABELS)
    done = kaf("data", "scan", ".")
    assert done.code == 0, done.err
    assert "2 cases" in done.out
    assert "patches of 32 x 32 pixels" in done.out
    assert "KAF network of width 16, 3 structures" in done.out
    values = from_json(kaf("data", "scan", ".", "--events").out.splitlines()[-1]).values
    assert "heart1" in json.dumps(values)
    assert kaf("data", "scan", "nowhere").code == 1


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_with_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    console = Console()
    for event in (Progress("segmenting", 0, 8), Progress("segmenting", 2, 8, 3725.0),
                  Message("careful", "warning"), Metric(10, {"loss": 0.25}),
                  Metric(20, {"validation Dice": 0.5}), Progress("segmenting", 8, 8, 0.0)):
        console(event)
    console.close()
    shown = sys.stderr.getvalue()
    assert all(words in shown for words in ("segmenting:  25 %", "1 h 2 min left", "warning: careful",
                                            "loss 0.250", "step 20: validation Dice 0.5000"))
