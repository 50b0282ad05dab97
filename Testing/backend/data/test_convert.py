"""Folders to nnU-Net's layout and back: the same cases, voxels, names, test scans and splits."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import dicom, save_volume

from kaf.cli.entry import main
from kaf.data.annotation import scan_labelled
from kaf.data.convert import convert
from kaf.data.labels import read_case_labels, read_drawn
from kaf.data.splits import fold_of
from kaf.imaging.volume import read_volume, read_whole_numbers
from kaf.runtime.errors import InputError, OutputError

SHAPE = (4, 20, 24)
RNG = np.random.default_rng(0)


def scan() -> np.ndarray:
    return RNG.integers(0, 900, SHAPE).astype(np.int16)


def labels(*values: int, dtype: type = np.uint8) -> np.ndarray:
    flat = np.zeros(int(np.prod(SHAPE)), dtype)
    for number, value in enumerate(values):
        flat[10 * number: 10 * number + 10] = value
    return flat.reshape(SHAPE)


def kaf_folder(root: Path, *values: int, dtype: type = np.uint8, extension: str = ".nii.gz") -> Path:
    """Three labelled patients, one of them scanned twice, a scan without labels, and one for testing."""
    for name in ("p1_ED", "p1_ES", "p2", "p3"):
        save_volume(root / "images" / f"{name}{extension}", scan())
        save_volume(root / "labels" / f"{name}{extension}", labels(*values, dtype=dtype))
    save_volume(root / "images" / f"p4{extension}", scan())
    save_volume(root / "test" / "images" / f"p5{extension}", scan())
    save_volume(root / "test" / "labels" / f"p5{extension}", labels(values[0], dtype=dtype))
    (root / "dataset.json").write_text(json.dumps({"labels": {f"part {value}": value for value in values}}))
    (root / "split.json").write_text(json.dumps({"train": ["p1", "p2"], "validation": ["p3"]}))
    return root


def content(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None, dict[str, int]]]:
    """Case -> voxels of scan and label map, and how often each name occurs."""
    dataset = scan_labelled(root)
    assert dataset.problems == ()
    found = {}
    for case in dataset.every:
        drawn = read_case_labels(case).voxels if case.label else None
        named = {dataset.label_names[v]: int((drawn == v).sum()) for v in np.unique(drawn) if v} if case.label else {}
        found[case.name] = (read_volume(case.image).voxels, drawn, named)
    return found


def same(one: Path, other: Path, values: bool = True) -> None:
    first, second = content(one), content(other)
    assert first.keys() == second.keys()
    for name, (image, drawn, named) in first.items():
        assert np.array_equal(image, second[name][0])
        assert image.dtype == second[name][0].dtype
        assert named == second[name][2]
        if values and drawn is not None:
            assert np.array_equal(drawn, second[name][1])


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd"])
@pytest.mark.parametrize("values", [(1, 2), (2, 7)])
def test_there_and_back(tmp_path, extension, values):
    source = kaf_folder(tmp_path / "source", *values, extension=extension)
    there = convert(source, "nnunet", tmp_path / "there")
    assert (there.labelled, there.unlabelled, there.test) == (4, 1, 1)
    assert sorted(path.name for path in (tmp_path / "there" / "imagesTr").iterdir()) == [
        f"{name}_0000.nii.gz" for name in ("p1_ED", "p1_ES", "p2", "p3")]
    said = json.loads((tmp_path / "there" / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, f"part {values[0]}": 1, f"part {values[1]}": 2}
    assert (said["channel_names"], said["numTraining"], said["file_ending"]) == ({"0": "MR"}, 4, ".nii.gz")
    for path in (tmp_path / "there" / "labelsTr").iterdir():
        assert set(np.unique(read_whole_numbers(path).voxels)) == {0, 1, 2}
    same(source, tmp_path / "there", values=values == (1, 2))
    assert json.loads((tmp_path / "there" / "splits_final.json").read_text()) == [
        {"train": ["p1_ED", "p1_ES", "p2"], "val": ["p3"]}]

    back = convert(tmp_path / "there", "kaf", tmp_path / "back")
    assert (back.labelled, back.unlabelled, back.test) == (4, 1, 1)
    same(source, tmp_path / "back")
    cases = {case.name: case.patient for case in scan_labelled(tmp_path / "back").labelled}
    assert fold_of(tmp_path / "back" / "splits.json", 0, cases) == (["p1", "p2"], ["p3"])


def test_values_above_255_come_back(tmp_path):
    source = kaf_folder(tmp_path / "source", 205, 420, dtype=np.int16)
    convert(source, "nnunet", tmp_path / "there")
    convert(tmp_path / "there", "kaf", tmp_path / "back")
    for name in ("p2", "p3"):
        first, last = (read_whole_numbers(root / "labels" / f"{name}.nii.gz").voxels
                       for root in (source, tmp_path / "back"))
        assert np.array_equal(first, last)


def test_files_are_copied_byte_for_byte_where_nothing_changes(tmp_path):
    source = kaf_folder(tmp_path / "source", 1, 2)
    convert(source, "nnunet", tmp_path / "there")
    for part, end in (("images", "_0000"), ("labels", "")):
        assert (source / part / "p2.nii.gz").read_bytes() == (
            tmp_path / "there" / f"{part}Tr" / f"p2{end}.nii.gz").read_bytes()
    plain = kaf_folder(tmp_path / "plain", 1, 2, extension=".nii")
    convert(plain, "kaf", tmp_path / "packed")
    assert gzip.decompress((tmp_path / "packed" / "images" / "p2.nii.gz").read_bytes()) == (
        plain / "images" / "p2.nii").read_bytes()


def test_masks_dicom_and_the_value_to_ignore(tmp_path):
    for name in ("s1", "s2"):
        dicom(tmp_path / "source" / name / "ct", slices=1, patient=name, modality="CT")
        volume = read_volume(tmp_path / "source" / name / "ct")
        for structure, column in (("aorta", 0), ("liver", 3)):
            voxels = np.zeros(volume.shape, np.uint8)
            voxels[..., column] = 255
            save_volume(tmp_path / "source" / name / "segmentations" / f"{structure}.nii.gz", voxels,
                        (1.0, 1.0, volume.spacing[2]))
    there = convert(tmp_path / "source", "nnunet", tmp_path / "there")
    assert there.label_names == {1: "aorta", 2: "liver"}
    assert json.loads((tmp_path / "there" / "dataset.json").read_text())["channel_names"] == {"0": "CT"}
    same(tmp_path / "source", tmp_path / "there")

    root = kaf_folder(tmp_path / "partly", 1, 2, 5)
    (root / "dataset.json").write_text(json.dumps(
        {"labels": {"wall": 1, "cavity": 5, "ignore": 2}, "kaf_partial": {"p2": ["wall"]}}))
    convert(root, "nnunet", tmp_path / "partly-there")
    said = json.loads((tmp_path / "partly-there" / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "wall": 1, "cavity": 2, "ignore": 3}
    assert said["kaf_partial"] == {"p2": ["wall"]}
    for folder in (root, tmp_path / "partly-there"):
        case = next(case for case in scan_labelled(folder).cases if case.name == "p2")
        assert case.annotated == {1}
        assert read_drawn(case).ignored.sum() == 10


def test_nothing_is_overwritten_and_nothing_half_made_is_left(tmp_path):
    source = kaf_folder(tmp_path / "source", 1, 2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not an empty folder"):
        convert(source, "nnunet", tmp_path / "full")
    with pytest.raises(OutputError, match="lies inside the folder"):
        convert(source, "nnunet", source / "there")
    save_volume(source / "labels" / "p3.nii.gz", labels(1), origin=(30.0, 0.0, 0.0))
    with pytest.raises(InputError, match="does not lie on the voxels of its scan") as refused:
        convert(source, "nnunet", tmp_path / "there")
    assert refused.value.subject.endswith("p3.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "source"]


def test_the_command(tmp_path, capsys):
    source = kaf_folder(tmp_path / "source", 1, 2)
    assert main(["data", "convert", str(source), "--to", "nnunet", "--output", str(tmp_path / "there")]) == 0
    told = capsys.readouterr().out
    assert "labelled cases: 4, scans without labels: 1, test cases: 1" in told
    assert "nnUNet_raw" in told
    assert main(["data", "convert", str(source), "--to", "nnunet", "--output", str(tmp_path / "there")]) == 1
