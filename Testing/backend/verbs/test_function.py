"""``kaf function``: from a cine to figures, tables, segmentations and a page; what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from evaluation_toys import Outline
from made_models import HERE, RUN, tiny_model

from kaf.cli.entry import main
from kaf.imaging.cine import as_cine
from kaf.imaging.volume import read_labels
from kaf.imaging.write import write_map
from kaf.phantom.beating import beat
from kaf.runtime.errors import InputError
from kaf.settings.function import FunctionSettings
from kaf.verbs.function import function

FILES = {"ED.seg.nrrd", "ES.seg.nrrd", "volumes.csv", "function.csv", "report.html", "function.json"}


@pytest.fixture(scope="module")
def heart():
    return beat(2, phases=3, slices=4, size=48, spacing=4.2, slice_spacing=20, dense=1)


@pytest.fixture(scope="module")
def cine(heart, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cine")
    for phase, image in enumerate(heart.images):
        write_map(folder / f"phase{phase}.nii.gz", image)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "m.safetensors", spacing=4.2, slice_spacing=20.0)


@pytest.fixture
def exact(monkeypatch, heart):
    """A model that finds exactly the truth, so that the figures can be checked."""
    from kaf.inference import segmentation
    from kaf.verbs import function as verb

    real = segmentation.segment_volume
    frames = iter(heart.labels)

    def found(volume, model, settings, *more):
        from dataclasses import replace

        return replace(real(volume, model, settings, *more), labels=next(frames))

    monkeypatch.setattr(verb, "segment_volume", found)


def test_the_command_writes_figures_tables_segmentations_and_a_page(tmp_path, cine, model, heart, exact, capsys):
    output = tmp_path / "out"
    assert main(["function", str(cine), "--model", str(model), "--output", str(output), "--height", "170", "--weight",
                 "70", *HERE]) == 0
    assert {path.name for path in output.iterdir()} == FILES
    out = capsys.readouterr().out
    assert "LV EF" in out
    report = json.loads((output / "function.json").read_text())
    figures = {one["name"]: one for one in report["figures"]}
    voxel = float(np.prod(heart.labels[0].spacing)) / 1000
    sizes = [np.count_nonzero(one.voxels == 3) * voxel for one in heart.labels]
    assert figures["LV EDV"]["value"] == pytest.approx(max(sizes), abs=0.01)
    assert figures["LV EF"]["value"] == pytest.approx(100 * (1 - min(sizes) / max(sizes)), abs=0.01)
    assert figures["LV EDV / BSA"]["value"] == pytest.approx(max(sizes) / np.sqrt(170 * 70 / 3600), abs=0.01)
    muscle = np.count_nonzero(heart.labels[report["phases"]["ed"]].voxels == 2) * voxel
    assert figures["LV mass at ED"]["value"] == pytest.approx(1.05 * muscle, abs=0.01)
    assert "research use only" in report["note"].lower()
    assert len(report["predicted_quality"]) == 3
    assert np.array_equal(read_labels(output / "ES.seg.nrrd").voxels, heart.labels[report["phases"]["es"]].voxels)
    rows = list(csv.DictReader((output / "volumes.csv").open(newline="")))
    assert [float(row["lv_ml"]) for row in rows] == pytest.approx(sizes, abs=0.01)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "For research use only" in page
    assert page.count("<img") == 6
    Outline(page)


def test_results_are_not_replaced_unasked_and_nothing_is_left_of_a_refusal(tmp_path, cine, model, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "report.html").write_text("mine")
    assert main(["function", str(cine), "--model", str(model), "--output", str(output), *HERE]) == 1
    assert (output / "report.html").read_text() == "mine"
    assert [path.name for path in output.iterdir()] == ["report.html"]
    fresh = tmp_path / "fresh"
    assert main(["function", str(cine / "phase0.nii.gz"), "--model", str(model), "--output", str(fresh), *HERE]) == 1
    assert not fresh.exists()
    assert "single volume" in capsys.readouterr().err


def test_end_diastole_and_end_systole_may_be_two_files_and_may_be_named(tmp_path, cine, model, heart, exact):
    output = tmp_path / "out"
    assert main(["function", str(cine / "phase0.nii.gz"), "--es-file", str(cine / "phase1.nii.gz"), "--model",
                 str(model), "--output", str(output), "--ed", "1", "--es", "0", "--every-phase", *HERE]) == 0
    report = json.loads((output / "function.json").read_text())
    assert (report["phases"]["ed"], report["phases"]["es"], report["phases"]["count"]) == (1, 0, 2)
    assert {path.name for path in output.iterdir()} == FILES | {"phase-00.seg.nrrd", "phase-01.seg.nrrd"}


def test_what_cannot_be_measured_is_refused(heart, model, tmp_path):
    cine = as_cine(heart.images)
    with pytest.raises(InputError, match="phases 0 to 2"):
        function(cine, FunctionSettings(model=str(model), es=3, **RUN))
    with pytest.raises(InputError, match="no label 7"):
        function(cine, FunctionSettings(model=str(model), rv=7, **RUN))
    from kaf.imaging.labels import Label

    other = tiny_model(tmp_path / "h.safetensors", labels=(Label(1, "hippocampus", (1, 2, 3)),))
    with pytest.raises(InputError, match="no left ventricular cavity"):
        function(cine, FunctionSettings(model=str(other), **RUN))


def test_the_worker_takes_frames_and_gives_labels_of_each(heart, model):
    from kaf.worker.requests import Request
    from kaf.worker.verbs import function as serve

    volumes = {f"frame{index}": frame for index, frame in enumerate(heart.images)}
    found = serve(Request("function", {"model": str(model), **RUN}, {"times_ms": [0, 300, 600]}, volumes),
                  lambda _: None)
    assert found["arrays"].keys() == {"labels0", "labels1", "labels2"}
    assert found["report"]["phases"]["times_ms"] == [0, 300, 600]
    del volumes["frame1"]
    with pytest.raises(InputError, match="no `frame1`"):
        serve(Request("function", {"model": str(model), **RUN}, {}, volumes), lambda _: None)
