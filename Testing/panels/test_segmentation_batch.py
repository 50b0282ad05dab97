"""The batch example: a folder in, segmentations and a table out, exit codes right, in Slicer and in its Python."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import SimpleITK as sitk

TESTING = Path(__file__).resolve().parents[1]
SCRIPT = TESTING.parent / "KAFSegmentation" / "Resources" / "batch" / "segment_folder.py"
# What `Slicer --no-main-window --python-script` does: the application without a window, then the script.
SLICER = f"""
import runpy, sys
sys.path.insert(0, {str(TESTING)!r})
import host
host.start(mainWindow=False)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scans, one of them turned, and a text that calls itself a scan."""
    from kaf.phantom.heart import cardiac_phantom

    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("anna", 1), ("ben", 2)):
        volume, _ = cardiac_phantom(seed, slices=3, size=48, spacing=3.0)
        image = sitk.GetImageFromArray(volume.voxels)
        image.SetSpacing(volume.spacing)
        if seed == 2:
            image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


def run(kind, *arguments):
    command = [sys.executable, "-c", SLICER, str(SCRIPT)] if kind == "Slicer" else [sys.executable, str(SCRIPT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("DISPLAY", None)
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False,
                          env=environment)


@pytest.fixture(scope="module")
def results(library, scans, tmp_path_factory):
    """Both ways, with one file that is no scan among the others."""
    (scans / "broken.nrrd").write_text("not a scan")
    made = {}
    for kind in ("Slicer", "PythonSlicer"):
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = run(kind, scans, folder, "--model", "tiny"), folder
    return made


@pytest.mark.parametrize("kind", ["Slicer", "PythonSlicer"])
def test_the_good_ones_are_done_and_the_bad_one_is_reported(results, kind):
    done, folder = results[kind]
    assert done.returncode == 1, done.stderr
    assert "2 of 3 scans segmented" in done.stdout
    assert "broken.nrrd" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["anna.seg.nrrd", "ben.seg.nrrd", "volumes.csv"]
    with (folder / "volumes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["scan"] for row in rows] == ["anna.nii.gz"] * 3 + ["ben.nii.gz"] * 3 + ["broken.nrrd"]
    assert [row["structure"] for row in rows[:3]] == ["RV cavity", "myocardium", "LV cavity"]
    assert rows[-1]["problem"]
    assert sum(float(row["volume_ml"]) for row in rows[:3]) > 0


def test_both_ways_give_the_same(results):
    tables = [(folder / "volumes.csv").read_text(encoding="utf-8").splitlines()[:-1] for _, folder in results.values()]
    assert tables[0] == tables[1]
    for name in ("anna", "ben"):
        images = [sitk.ReadImage(str(folder / f"{name}.seg.nrrd")) for _, folder in results.values()]
        names = [{image.GetMetaData(f"Segment{i}_Name") for i in range(3)} for image in images]
        assert names[0] == names[1] == {"RV cavity", "myocardium", "LV cavity"}


def test_slicers_file_has_the_voxels_where_they_belong(results, scans):
    slicerFolder, plainFolder = results["Slicer"][1], results["PythonSlicer"][1]
    for name in ("anna", "ben"):
        scan = sitk.ReadImage(str(scans / f"{name}.nii.gz"))
        found = []
        for folder in (slicerFolder, plainFolder):
            image = sitk.ReadImage(str(folder / f"{name}.seg.nrrd"))
            values = {image.GetMetaData(f"Segment{i}_Name"): int(image.GetMetaData(f"Segment{i}_LabelValue"))
                      for i in range(3)}
            whole = sitk.Resample(image, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
            array = sitk.GetArrayFromImage(whole)
            found.append({name: array == value for name, value in values.items()})
        for structure in found[0]:
            np.testing.assert_array_equal(found[0][structure], found[1][structure])


def test_all_good_is_zero_and_settings_come_from_a_file(library, scans, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text('{"model": "tiny", "threads": 1, "batch": 2}')
    one = tmp_path / "one"
    one.mkdir()
    (one / "anna.nii.gz").write_bytes((scans / "anna.nii.gz").read_bytes())
    done = run("PythonSlicer", one, tmp_path / "out", "--settings", settings)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "anna.seg.nrrd").is_file()


def test_wrong_arguments_and_an_empty_folder(tmp_path):
    assert run("PythonSlicer", tmp_path / "nothing", tmp_path / "out", "--model", "tiny").returncode == 2
    assert run("PythonSlicer", tmp_path, tmp_path / "out").returncode == 2
    done = run("PythonSlicer", tmp_path, tmp_path / "out", "--model", "tiny")
    assert done.returncode == 1
    assert "there is no scan in it" in done.stderr


def test_nothing_that_is_there_is_written_over(library, scans, tmp_path):
    """The scans of another patient may have the same names, and so may two scans of one folder."""
    one, out = tmp_path / "one", tmp_path / "out"
    one.mkdir()
    (one / "anna.nii.gz").write_bytes((scans / "anna.nii.gz").read_bytes())
    out.mkdir()
    (out / "anna.seg.nrrd").write_text("of another Anna")
    done = run("PythonSlicer", one, out, "--model", "tiny")
    assert done.returncode == 2
    assert "anna.seg.nrrd is there already: choose another folder, or pass --overwrite to replace it." in done.stderr
    assert [path.name for path in out.iterdir()] == ["anna.seg.nrrd"]
    assert (out / "anna.seg.nrrd").read_text() == "of another Anna"
    assert run("PythonSlicer", one, out, "--model", "tiny", "--overwrite").returncode == 0
    assert sitk.ReadImage(str(out / "anna.seg.nrrd")).GetSize()[2] <= 3
    (out / "anna.seg.nrrd").unlink()
    assert run("PythonSlicer", one, out, "--model", "tiny").returncode == 2  # the table of the other run is there
    sitk.WriteImage(sitk.ReadImage(str(one / "anna.nii.gz")), str(one / "anna.nrrd"))
    done = run("PythonSlicer", one, tmp_path / "new", "--model", "tiny")
    assert done.returncode == 2
    assert "anna.nii.gz and anna.nrrd would both become anna.seg.nrrd: rename one of them." in done.stderr
    assert not (tmp_path / "new").exists()
