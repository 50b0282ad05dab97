"""What a look into the files finds: numbers to the voxel, and every kind of trouble by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import save_volume as save

from kaf.data.folder import scan_folder
from kaf.data.inspect import Inspection, inspect_dataset, label_names
from kaf.runtime.events import Progress

RNG = np.random.default_rng(0)


def mr(shape=(4, 20, 24)) -> np.ndarray:
    return RNG.integers(0, 900, shape).astype(np.int16)


def ct(shape=(4, 20, 24)) -> np.ndarray:
    """Air around a body of soft tissue, in Hounsfield units."""
    voxels = np.full(shape, -1000, np.int16)
    voxels[:, 4:-4, 4:-4] = RNG.integers(-50, 90, voxels[:, 4:-4, 4:-4].shape)
    return voxels


def labels(shape=(4, 20, 24), **counts: int) -> np.ndarray:
    """``labels(v1=30, v2=5)``: thirty voxels of 1, five of 2."""
    flat = np.zeros(np.prod(shape), np.uint8)
    start = 0
    for name, number in counts.items():
        flat[start : start + number] = int(name[1:])
        start += number
    return flat.reshape(shape)


def case(root: Path, name: str, scan=None, label=None, **kwargs) -> None:
    """A scan in images/ and its label map in labels/."""
    save(root / "images" / f"{name}.nii.gz", mr() if scan is None else scan, **kwargs)
    save(root / "labels" / f"{name}.nii.gz", labels(v1=9) if label is None else label, **kwargs)


def look(root: Path) -> Inspection:
    return inspect_dataset(scan_folder(root))


def test_every_number_of_a_sound_dataset(tmp_path):
    case(tmp_path, "p_1", mr((4, 20, 24)), labels((4, 20, 24), v1=30, v2=5))
    case(tmp_path, "p_2", mr((6, 18, 22)), labels((6, 18, 22), v2=7), spacing=(1.0, 1.0, 6.0))
    save(tmp_path / "images" / "p_3.nii.gz", mr().astype(np.float32))
    found = look(tmp_path)
    first, second, third = found.cases
    assert (first.name, first.patient, first.shape, first.dtype, first.modality) == (
        "p_1", "p_1", (4, 20, 24), "int16", "MR")
    assert first.spacing == (1.5, 1.25, 8.0)
    assert first.values == {1: 30, 2: 5}
    assert second.values == {2: 7}
    assert second.shape == (6, 18, 22)
    assert third.values is None
    assert third.dtype == "float32"
    assert found.label_cases == {1: 1, 2: 2}
    assert found.all_problems == ("1 scan without a label map: p_3",)


def test_the_page_says_what_was_understood(tmp_path):
    case(tmp_path, "p_1_ED", mr((4, 20, 24)), labels((4, 20, 24), v1=30, v2=5))
    case(tmp_path, "p_1_ES", mr((4, 20, 24)), labels((4, 20, 24), v1=20))
    save(tmp_path / "images" / "p_2.nii.gz", mr((6, 20, 30)), (1.5, 1.25, 6.0))
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "1": "cavity", "2": "wall"}}')
    lines = look(tmp_path).text().splitlines()
    assert lines == [
        str(tmp_path),
        "Layout: images and labels",
        "Cases: 3 scans of 2 patients; 2 with a label map (1 patient)",
        "Modality: MR (3)",
        "Numbers: int16",
        "Size (columns x rows x slices): median 24 x 20 x 4, range 24-30 x 20 x 4-6",
        "Spacing (mm, likewise): median 1.5 x 1.25 x 8, range 1.5 x 1.25 x 6-8",
        "Label values:",
        "  1 cavity: in 2 of 2 cases, voxels: 50",
        "  2 wall: in 1 of 2 cases, voxels: 5",
        "Problems (1):",
        "  - 1 scan without a label map: p_2",
    ]


def test_json_and_progress(tmp_path):
    case(tmp_path, "a", label=labels(v3=4))
    case(tmp_path, "b")
    events = []
    found = inspect_dataset(scan_folder(tmp_path), events.append)
    values = found.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["cases"][0]["values"] == {"3": 4}
    assert values["label_cases"] == {"1": 1, "3": 1}
    assert values["cases"][0]["shape"] == [4, 20, 24]
    assert all(isinstance(event, Progress) for event in events)
    assert (events[-1].done, events[-1].total) == (2, 2)


def problems(root: Path, name: str) -> str:
    (report,) = [case for case in look(root).cases if case.name == name]
    return "\n".join(report.problems)


def test_label_maps_that_do_not_fit(tmp_path):
    for name in ("size", "shifted", "empty", "fractions", "big", "sound"):
        case(tmp_path, name)
    save(tmp_path / "labels" / "size.nii.gz", labels((3, 20, 24), v1=4))
    save(tmp_path / "labels" / "shifted.nii.gz", labels(v1=4), origin=(3.0, 4.0, 0.0))
    save(tmp_path / "labels" / "empty.nii.gz", labels())
    save(tmp_path / "labels" / "fractions.nii.gz", labels(v1=4) * np.float32(0.5))
    save(tmp_path / "labels" / "big.nii.gz", labels(v1=4) * np.int16(300))
    assert "24 x 20 x 3 voxels, the scan 24 x 20 x 4. Resample it onto" in problems(tmp_path, "size")
    assert "5.00 mm away" in problems(tmp_path, "shifted")
    assert "empty" in problems(tmp_path, "empty")
    assert "not whole numbers" in problems(tmp_path, "fractions")
    assert "300" in problems(tmp_path, "big")
    assert problems(tmp_path, "sound") == ""
    values = {report.name: report.values for report in look(tmp_path).cases}
    assert values["fractions"] is values["big"] is None
    assert values["empty"] == {}
    usable = {report.name for report in look(tmp_path).cases if report.usable}
    assert usable == {"empty", "sound"}  # an empty label map says that nothing is there


def test_unreadable_files_do_not_stop_the_look(tmp_path):
    for name in ("broken", "sound"):
        case(tmp_path, name)
    for path in ("images/broken.nii.gz", "labels/broken.nii.gz"):
        (tmp_path / path).write_bytes(b"not an image")
    found = look(tmp_path)
    broken, sound = found.cases
    assert len(broken.problems) == 2
    assert all("cannot be used" in problem for problem in broken.problems)
    assert (broken.shape, broken.values) == ((), None)
    assert sound.problems == ()
    assert (broken.usable, sound.usable) == (False, True)
    assert "broken: the scan cannot be used" in found.text()


def test_the_same_scan_under_two_names(tmp_path):
    twin = mr()
    save(tmp_path / "p1_ED.nii.gz", twin)
    save(tmp_path / "p1_ES.nrrd", twin)
    (words,) = look(tmp_path).problems
    assert words == "the same voxels under 2 names: p1_ED, p1_ES. Keep one of them"
    save(tmp_path / "p2_ED.mha", twin.astype(np.float32))
    (words,) = look(tmp_path).problems
    assert "2 patients" in words
    assert "leak" in words
    assert "p1_ED, p1_ES, p2_ED" in words


def test_one_voxel_makes_another_scan(tmp_path):
    twin = mr()
    save(tmp_path / "p1.nii.gz", twin)
    twin[2, 3, 4] += 1
    save(tmp_path / "p2.nii.gz", twin)
    assert look(tmp_path).problems == ()


def test_modalities_spacings_and_rare_labels_of_the_whole(tmp_path):
    for number in range(30):
        case(tmp_path, f"p_{number}", label=labels(v1=9, v7=2) if number == 3 else None,
             scan=ct() if number == 5 else None, spacing=(5.0, 5.0, 8.0) if number == 7 else (1.5, 1.5, 8.0))
    found = look(tmp_path)
    assert found.problems == (
        "mixed modalities: CT in 1 case (p_5); MR in 29 cases (p_0, p_1, p_10 and 26 more). Put each kind "
        "into a folder of its own",
        "1 scan with a spacing far from the median of 1.5 x 1.5 x 8 mm: p_7 (5 x 5 x 8). Look at it; all are "
        "resampled to one spacing",
        "label value 7 is in 1 of 30 label maps only: p_3. See whether it is meant",
    )
    assert all(not report.problems for report in found.cases)


def test_a_label_map_among_the_scans_is_suspected(tmp_path):
    disc = (np.hypot(*np.mgrid[-10:10, -12:12]) < 8).astype(np.uint8)
    save(tmp_path / "a.nii.gz", np.stack([disc] * 4))
    save(tmp_path / "b.nii.gz", mr().astype(np.uint8))
    assert "may be a label map" in problems(tmp_path, "a")
    assert problems(tmp_path, "b") == ""


@pytest.mark.parametrize(("text", "names"), [
    ('{"labels": {"0": "background", "1": "Anterior", "2": "Posterior"}}', {1: "Anterior", 2: "Posterior"}),
    ('{"labels": {"background": 0, "Anterior": 1, "Posterior": 2}}', {1: "Anterior", 2: "Posterior"}),
    ('{"labels": {"background": 0, "whole": [1, 2], "core": 2}}', {1: "whole without core", 2: "core"}),
    ('{"name": "x"}', {}), ("[1]", {}), ("{", {}),
])
def test_label_names_of_dataset_json(tmp_path, text, names):
    assert label_names(tmp_path) == {}
    (tmp_path / "dataset.json").write_text(text)
    assert label_names(tmp_path) == names


@pytest.mark.data
def test_real_hippocampi(shared_data):
    dataset = scan_folder(shared_data / "msd_hippocampus")
    found = inspect_dataset(type(dataset)(dataset.root, dataset.layout, dataset.cases[:20]))
    assert found.all_problems == ()
    assert found.label_cases == {1: 20, 2: 20}
    assert {report.spacing for report in found.cases} == {(1.0, 1.0, 1.0)}


def test_test_scans_are_looked_at_apart(tmp_path):
    for part, name in (("Tr", "a"), ("Tr", "b"), ("Ts", "c")):
        save(tmp_path / f"images{part}" / f"{name}.nii.gz", mr())
        save(tmp_path / f"labels{part}" / f"{name}.nii.gz", labels(v1=9) if name != "c" else labels(v7=3))
    save(tmp_path / "imagesTs" / "d.nii.gz", mr((4, 20, 30)))
    found = look(tmp_path)
    assert [case.name for case in found.cases] == ["a", "b"]
    assert [(case.name, case.values) for case in found.test] == [("c", {7: 3}), ("d", None)]
    assert found.label_cases == {1: 2}
    assert found.all_problems == ()
    assert "Test: 2 scans in imagesTs, never used for training; 1 with a label map" in found.text().splitlines()
    values = found.to_dict()
    assert [case["name"] for case in values["cases"]] == ["a", "b"]
    assert values["test"][0]["values"] == {"7": 3}


def test_a_test_scan_with_the_voxels_of_a_training_scan_is_a_leak(tmp_path):
    scan = mr()
    for part, name in (("Tr", "a"), ("Ts", "b")):
        save(tmp_path / f"images{part}" / f"{name}.nii.gz", scan)
        save(tmp_path / f"labels{part}" / f"{name}.nii.gz", labels(v1=9))
    assert any("a leak from training to test" in problem for problem in look(tmp_path).problems)
