"""``kaf propagate``: labels, confidence map and report as one set, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_models import HERE, LABELS, tiny_model

from kaf.cli.entry import main
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.imaging.write import write_labels, write_map
from kaf.phantom.heart import cardiac_phantom


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A scan, three finished slices of it, and a model; the current folder holds them."""
    monkeypatch.chdir(tmp_path)
    scan, truth = cardiac_phantom(3, slices=7, size=48, spacing=3.0)
    drawn = np.zeros_like(truth.voxels)
    drawn[[1, 3, 5]] = truth.voxels[[1, 3, 5]]
    write_map("scan.nrrd", scan)
    write_labels("drawn.nii.gz", Volume(drawn, truth.affine), LABELS)
    tiny_model(tmp_path / "tiny.safetensors", spacing=3.0)
    return drawn


def test_labels_confidence_and_report_are_written(files, capsys):
    assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--model", "tiny.safetensors", *HERE]) == 0
    labels = read_labels("scan-propagated.seg.nrrd").voxels
    assert np.array_equal(labels[[1, 3, 5]], files[[1, 3, 5]])
    confidence = read_volume("scan-propagated-confidence.nrrd").voxels
    assert (confidence.min() >= 0, confidence[1].min()) == (True, 1)
    report = json.loads(Path("scan-propagated-report.json").read_text())
    assert report["finished"] == [1, 3, 5]
    assert report["next"] in {0, 2, 4, 6}
    assert f"slice to check next: {report['next']}" in capsys.readouterr().out


def test_slices_axis_and_clicks_are_flags(files, capsys):
    given = ["--slices", "1,5", "--axis", "axial", "--clicks", "[[0, 0, 24, 0]]", "--use", "memory", "--no-confidence",
             "--output", "made.nii.gz"]
    assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--model", "tiny.safetensors", *given, *HERE]) == 0
    report = json.loads(Path("made-report.json").read_text())
    assert (report["finished"], report["choice"]["source"]) == ([1, 5], "memory")
    assert not Path("made-confidence.nrrd").exists()


def test_nothing_is_replaced_without_being_asked(files, capsys):
    before = Path("drawn.nii.gz").read_bytes()
    for output in ("drawn.nii.gz", "scan.nrrd"):
        given = ["--output", output, "--overwrite"]
        assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--model", "tiny.safetensors", *given]) == 1
        assert "is an input of this command" in capsys.readouterr().err
    Path("there.seg.nrrd").write_text("mine")
    assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--output", "there.seg.nrrd"]) == 1
    assert Path("there.seg.nrrd").read_text() == "mine"
    assert Path("drawn.nii.gz").read_bytes() == before


def test_a_failure_leaves_no_file(files, capsys):
    assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--model", "tiny.safetensors", "--slices", "99", *HERE]) == 1
    assert "99 is not in the scan" in capsys.readouterr().err
    assert {path.name for path in Path().iterdir()} == {"scan.nrrd", "drawn.nii.gz", "tiny.safetensors"}


def test_finished_slices_are_kept_for_other_scans(files, capsys):
    given = ["--labels", "1=right,2=wall,3=left", "--save-memory", "hearts.safetensors", *HERE]
    assert main(["propagate", "scan.nrrd", "drawn.nii.gz", "--model", "tiny.safetensors", *given]) == 0
    mine = ["--model", "tiny.safetensors", *HERE]
    write_map("other.nrrd", cardiac_phantom(4, slices=4, size=48, spacing=3.0)[0])
    assert main(["propagate", "other.nrrd", "--memory", "hearts.safetensors", *mine]) == 0
    report = json.loads(Path("other-propagated-report.json").read_text())
    assert (report["finished"], report["choice"]["reason"], set(report["volumes_ml"])) == (
        [], "nothing", {"right", "wall", "left"})
    assert main(["propagate", "other.nrrd", "--model", "tiny.safetensors"]) == 2
    assert "needs DRAWN" in capsys.readouterr().err
