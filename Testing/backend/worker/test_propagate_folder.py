"""The batch example for finished slices: two folders in, segmentations and a table out, least certain scan first."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_models import LABELS, RUN, tiny_model

from kaf.imaging.volume import Volume, read_labels
from kaf.imaging.write import write_labels, write_map
from kaf.phantom.heart import cardiac_phantom

SCRIPT = Path(__file__).resolve().parents[3] / "KAFSegmentation/Resources/batch/propagate_folder.py"


def run(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Scans of anna and ben with finished slices, a third that nobody has drawn in, and the settings."""
    top = tmp_path_factory.mktemp("batch")
    for name in ("scans", "drawn"):
        (top / name).mkdir()
    for name, seed, ending in (("anna", 1, ".nii.gz"), ("ben", 2, ".seg.nrrd"), ("carl", 3, "")):
        scan, truth = cardiac_phantom(seed, slices=5, size=48, spacing=3.0)
        write_map(top / "scans" / f"{name}.nii.gz", scan)
        drawn = np.where(np.isin(np.arange(5), (1, 3))[:, None, None], truth.voxels, 0).astype(np.uint8)
        if ending:
            write_labels(top / "drawn" / f"{name}{ending}", Volume(drawn, truth.affine), LABELS)
    model = tiny_model(top / "tiny.safetensors", spacing=3.0)
    (top / "settings.json").write_text(json.dumps({"model": str(model), **RUN}), encoding="utf-8")
    return top


def test_every_scan_with_finished_slices_is_labelled_and_told_of(folders, tmp_path):
    given = (folders / "scans", folders / "drawn", tmp_path / "out", "--settings", folders / "settings.json")
    done = run(*given)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"anna.seg.nrrd", "ben.seg.nrrd", "propagated.csv"}
    for name, ending in (("anna", ".nii.gz"), ("ben", ".seg.nrrd")):
        made = read_labels(tmp_path / "out" / f"{name}.seg.nrrd").voxels
        drawn = read_labels(folders / "drawn" / f"{name}{ending}").voxels
        assert np.array_equal(made[[1, 3]], drawn[[1, 3]])
        assert made[2].any()
    with (tmp_path / "out" / "propagated.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["confidence"]) for row in rows] == sorted(float(row["confidence"]) for row in rows)
    assert {row["next slice"] for row in rows} <= {"0", "2", "4"}
    again = run(*given)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_wrong_folders_are_told_before_any_work(folders, tmp_path):
    done = run(folders / "scans", tmp_path, tmp_path / "out")
    assert (done.returncode, "no scan in it has a label map" in done.stderr) == (1, True)
    done = run(folders / "scans", folders / "drawn", folders / "drawn")
    assert (done.returncode, "need a folder of their own" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
