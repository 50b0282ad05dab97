"""A DICOM folder of several series, a series of several phases: which one is meant, wherever a scan is read."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
from dicom_files import along, classic, enhanced, place
from made_models import HERE, LABELS, RUN, command_line, tiny_model

from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.evaluation import pictures
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.imaging.write import write_labels, write_map
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.evaluate import EvaluateSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.evaluate import evaluate
from kaf.verbs.explain import explain
from kaf.verbs.segment import segment
from kaf.worker.client import Client

HEART, TRUTH = cardiac_phantom(3, slices=4, size=48, spacing=2.5)
WHOLE = Volume(np.rint(HEART.voxels).astype(np.int16), HEART.affine)
OTHER = Volume(WHOLE.voxels[:, ::-1].copy(), HEART.affine)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=2.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Series 4 is the heart, series 12 another picture."""
    made = tmp_path_factory.mktemp("study") / "heart"
    classic(made, WHOLE.voxels, WHOLE.affine, "1.2.3.4", 4, "cine SAX")
    return classic(made, OTHER.voxels, OTHER.affine, "1.2.3.12", 12, "T2 map")


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


LISTED = ("holds 2 DICOM series: 1.2.3.12 (number 12, T2 map, 4 files); 1.2.3.4 (number 4, cine SAX, 4 files). Choose "
          "one with `series` (`--series`): its UID, number or description")


@pytest.mark.parametrize("verb", ["segment", "explain", "adapt", "demo"])
@pytest.mark.parametrize("series", ["4", "1.2.3.4", "Cine sax"])
def test_on_the_command_line(kaf, model, folder, verb, series):
    write_labels("drawn.seg.nrrd", Volume(TRUTH.voxels, TRUTH.affine), LABELS)
    arguments = {"segment": [verb, folder, "--output", "a.seg.nrrd", *HERE],
                 "explain": [verb, folder, "--output", "a.nrrd", *HERE],
                 "adapt": [verb, folder, "drawn.seg.nrrd", "--seconds", "1", "--output", "a.seg.nrrd", *HERE],
                 "demo": [verb, "--input", folder]}[verb]
    done = kaf(*arguments, "--model", model)
    assert (done.code, done.out) == (1, "")
    assert LISTED in done.err
    done = kaf(*arguments, "--model", model, "--series", series)
    assert done.code == 0, done.err
    if verb == "segment":
        expected = segment(WHOLE, SegmentSettings(model=model, **RUN))
        np.testing.assert_array_equal(read_labels("a.seg.nrrd").voxels, expected.labels.voxels)
        done = kaf(*arguments, "--model", model, "--series", "3", "--overwrite")
        assert "has no series '3'" in done.err


def test_in_a_file_of_settings_a_number_will_do(kaf, model, folder, tmp_path):
    (tmp_path / "here" / "s.json").write_text(json.dumps({"model": model, "series": 12, **RUN}))
    assert kaf("segment", folder, "--settings", "s.json", "--output", "a.seg.nrrd").code == 0
    expected = segment(OTHER, SegmentSettings(model=model, **RUN))
    np.testing.assert_array_equal(read_labels("a.seg.nrrd").voxels, expected.labels.voxels)
    report = json.loads((tmp_path / "here" / "a-seg.json").read_text())
    assert report["settings"]["series"] == "12"


def test_in_python(model, folder):
    expected = segment(WHOLE, SegmentSettings(model=model, **RUN)).labels.voxels
    found = segment(folder, SegmentSettings(model=model, series="cine SAX", **RUN))
    np.testing.assert_array_equal(found.labels.voxels, expected)
    with pytest.raises(InputError, match="holds 2 DICOM series"):
        segment(folder, SegmentSettings(model=model, **RUN))
    explained = explain(folder, ExplainSettings(model=model, series="4", **RUN))
    np.testing.assert_array_equal(explained.maps, explain(WHOLE, ExplainSettings(model=model, **RUN)).maps)


def test_adapt_takes_paths_too(model, folder, tmp_path):
    write_labels(tmp_path / "drawn.seg.nrrd", Volume(TRUTH.voxels, TRUTH.affine), LABELS)
    settings = AdaptSettings(model=model, series="4", seconds=1, slices=(1,), **RUN)
    result = adapt(folder, tmp_path / "drawn.seg.nrrd", settings)
    np.testing.assert_array_equal(result.segmentation.labels.voxels[1], TRUTH.voxels[1])


def test_the_worker_reads_a_path_that_it_is_given(model, folder, tmp_path):
    expected = segment(WHOLE, SegmentSettings(model=model, **RUN)).labels.voxels
    with Client(threads=1, start_timeout=600, log=tmp_path / "worker.log") as client:
        there = client.request("segment", {"model": model, "series": "4", **RUN}, options={"image": str(folder)})
        np.testing.assert_array_equal(there["arrays"]["labels"][0], expected)
        with pytest.raises(InputError, match="holds 2 DICOM series"):
            client.request("segment", {"model": model, **RUN}, options={"image": str(folder)})
        with pytest.raises(InputError, match="got no volume `image`"):
            client.request("segment", {"model": model, **RUN})


def test_a_phase_is_chosen_by_frame(kaf, model, tmp_path):
    study = tmp_path / "phases"
    for phase, volume in enumerate((WHOLE, OTHER)):
        classic(study, volume.voxels, volume.affine, f"1.2.{phase}", TriggerTime=str(400 * phase))
    for file in study.iterdir():
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = "1.2.9"
        header.save_as(file)
    done = kaf("segment", study, "--model", model, "--output", "a.seg.nrrd", *HERE)
    assert "2 volumes in one series: 0: trigger time 0 ms (4 slices); 1: trigger time 400 ms (4 slices). " in done.err
    assert "Choose one with `frame` (`--frame`), 0 to 1." in done.err
    assert kaf("segment", study, "--model", model, "--frame", "1", "--output", "a.seg.nrrd", *HERE).code == 0
    expected = segment(OTHER, SegmentSettings(model=model, **RUN)).labels.voxels
    np.testing.assert_array_equal(read_labels("a.seg.nrrd").voxels, expected)
    np.testing.assert_array_equal(segment(study, SegmentSettings(model=model, frame=1, **RUN)).labels.voxels, expected)


def test_a_folder_of_scans_takes_the_series_of_this_name_of_each(kaf, model, folder, tmp_path):
    write_map(tmp_path / "here" / "scans.nrrd", HEART)
    scans = tmp_path / "here" / "scans"
    for name in ("p1", "p2"):
        for file in folder.iterdir():
            (scans / name).mkdir(parents=True, exist_ok=True)
            (scans / name / file.name).write_bytes(file.read_bytes())
    write_map(scans / "p3.nrrd", WHOLE)
    done = kaf("segment", scans, "--model", model, "--output", "out", "--series", "cine SAX", *HERE)
    assert done.code == 0, done.err
    expected = segment(WHOLE, SegmentSettings(model=model, **RUN)).labels.voxels
    for name in ("p1", "p2", "p3"):
        np.testing.assert_array_equal(read_labels(tmp_path / "here" / "out" / f"{name}.seg.nrrd").voxels, expected)


def test_data_for_training_with_such_a_folder_is_reported_with_the_remedy(folder):
    (report,) = inspect_dataset(scan_folder(folder.parent)).cases
    assert not report.usable
    assert "holds 2 DICOM series" in report.problems[0]
    assert "or put each into a folder of its own" in report.problems[0]


def test_the_pictures_of_an_evaluation(folder, small_pictures, tmp_path, monkeypatch):
    """The scan of a single case may be a DICOM folder, those of many in a folder each."""
    seen: list[tuple[str, str]] = []

    def read(path, **more):
        seen.append((path.name, more["series"]))
        return read_volume(path, **more)

    monkeypatch.setattr(pictures, "read_volume", read)
    labels = str(tmp_path / "heart.seg.nrrd")
    write_labels(labels, Volume(TRUTH.voxels, TRUTH.affine), LABELS)
    for images, output in ((folder, "one"), (folder.parent, "many")):
        events = []
        evaluate(EvaluateSettings(prediction=labels, reference=labels, output=str(tmp_path / output),
                                  images=str(images), series="4"), events.append)
        assert not [event for event in events if "No scan in the picture" in str(event)]
    assert seen == [("heart", "4")] * 2


def test_a_stack_of_an_enhanced_object(model, tmp_path):
    groups = [{**place(position), "FrameContentSequence": {"StackID": name}} for name in "12"
              for position in along((1, 0, 0, 0, 1, 0), (0, 8, 16, 24))]
    enhanced(tmp_path / "a.dcm", groups, np.concatenate([WHOLE.voxels, OTHER.voxels]))
    with pytest.raises(InputError, match="0: stack 1"):
        segment(tmp_path / "a.dcm", SegmentSettings(model=model, **RUN))
    assert segment(tmp_path / "a.dcm", SegmentSettings(model=model, frame=1, **RUN)).labels.voxels.shape == (4, 48, 48)
