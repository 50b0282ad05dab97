"""Values that KAF cannot use as they are, names of structures, the value to ignore, and partial labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import folder, save_volume

from kaf.data.annotation import scan_labelled, settle
from kaf.data.cache import SliceSettings, load_case
from kaf.data.case import case_of
from kaf.data.description import read_description
from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.data.labels import read_case_labels, read_drawn
from kaf.runtime.errors import InputError
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

SHAPE = (4, 20, 24)
RNG = np.random.default_rng(0)


def labels(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """Ten voxels of each value."""
    flat = np.zeros(int(np.prod(SHAPE)), dtype)
    for number, value in enumerate(values):
        flat[10 * number: 10 * number + 10] = value
    return flat.reshape(SHAPE)


def data(root: Path, *maps: np.ndarray, words: object = None) -> Path:
    """images/ and labels/ of cases a, b, c ..."""
    for name, voxels in zip("abcdefghij", maps, strict=False):
        save_volume(root / "images" / f"{name}.nii.gz", RNG.integers(0, 900, SHAPE).astype(np.int16))
        save_volume(root / "labels" / f"{name}.nii.gz", voxels)
    if words is not None:
        (root / "dataset.json").write_text(json.dumps(words))
    return root


def used(dataset) -> list[set[int]]:
    return [set(np.unique(read_case_labels(case).voxels).tolist()) - {0} for case in dataset.labelled]


# ---------------------------------------------------------------- values


def test_masks_of_0_and_255(tmp_path):
    dataset = scan_labelled(data(tmp_path, labels(255), labels(255)))
    assert used(dataset) == [{1}, {1}]
    assert dataset.problems == ("label values are used under other numbers: 255 as 1",)
    assert dataset.label_names == {}


@pytest.mark.parametrize("maps", [(labels(1, 255), labels(255)), (labels(255), labels(3))])
def test_255_beside_other_values_stays(tmp_path, maps):
    dataset = scan_labelled(data(tmp_path, *maps))
    assert 255 in set.union(*used(dataset))
    assert dataset.problems == ()


def test_255_that_dataset_json_names_stays(tmp_path):
    dataset = scan_labelled(data(tmp_path, labels(255), words={"labels": {"background": 0, "wall": 255}}))
    assert used(dataset) == [{255}]


def test_values_above_255_get_the_same_numbers_in_all_cases(tmp_path):
    maps = labels(205, 420, 850, dtype=np.int16), labels(420, dtype=np.int16), labels(600, dtype=np.float32)
    dataset = scan_labelled(data(tmp_path, *maps))
    assert used(dataset) == [{1, 2, 4}, {2}, {3}]
    assert dataset.label_names == {1: "label 205", 2: "label 420", 3: "label 600", 4: "label 850"}
    assert dataset.problems == ("label values are used under other numbers: 205 as 1, 420 as 2, 600 as 3, 850 as 4",)
    found = inspect_dataset(dataset)
    assert found.label_cases == {1: 1, 2: 2, 3: 1, 4: 1}
    assert found.cases[0].values == {1: 10, 2: 10, 4: 10}
    assert "  2 label 420: in 2 of 3 cases, voxels: 20" in found.text().splitlines()


def test_names_of_values_above_255_count_also_where_no_map_has_them(tmp_path):
    words = {"labels": {"0": "background", "205": "wall", "420": "cavity", "500": "atrium"}}
    dataset = scan_labelled(data(tmp_path, labels(420, dtype=np.int16), words=words))
    assert used(dataset) == [{2}]
    assert dataset.label_names == {1: "wall", 2: "cavity", 3: "atrium"}


def test_more_values_than_a_label_map_holds_are_not_renumbered(tmp_path):
    voxels = (np.arange(int(np.prod(SHAPE))) % 400).reshape(SHAPE).astype(np.int16)
    dataset = scan_labelled(data(tmp_path, voxels))
    assert dataset.problems == ("the label maps have 399 different values above 0, and KAF can use 254. Keep the "
                                "structures that you need",)
    with pytest.raises(InputError, match="values run from 0 to 399"):
        read_case_labels(dataset.labelled[0])


# ---------------------------------------------------------------- dataset.json


@pytest.mark.parametrize(("said", "names", "regions"), [
    ({"0": "background", "1": "a", "2": "b"}, {1: "a", 2: "b"}, {}),
    ({"background": 0, "a": 1, "b": 2, "ignore": 3}, {1: "a", 2: "b"}, {}),
    ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
     {1: "whole without core", 2: "core without enhancing", 3: "enhancing"}, {"whole": (1, 2, 3), "core": (2, 3)}),
    ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
     {1: "whole without core", 2: "core without enhancing", 3: "enhancing"}, {"whole": (1, 2, 3), "core": (2, 3)}),
    ({"background": 0, "both": [1, 2]}, {1: "both (value 1)", 2: "both (value 2)"}, {"both": (1, 2)}),
])
def test_names_of_either_kind(tmp_path, said, names, regions):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": said}))
    found = read_description(tmp_path)
    assert found.names == names
    assert found.regions == regions
    assert found.ignore == said.get("ignore")
    assert bool(found.problems) == bool(regions)


@pytest.mark.parametrize(("text", "problem"), [
    ("{", "dataset.json cannot be read"), ("[1]", "is not a JSON object"), ('{"labels": [1]}', "labels is no mapping"),
    ('{"labels": {"a": 1.5}}', "1 label that cannot be understood: a"),
    ('{"labels": {"a": 1}, "kaf_partial": 3}', "kaf_partial is neither"),
])
def test_a_dataset_json_that_cannot_be_used_is_named(tmp_path, text, problem):
    folder(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    (tmp_path / "dataset.json").write_text(text)
    (words,) = scan_folder(tmp_path).problems
    assert problem in words


def test_files_that_dataset_json_names_and_nobody_has(tmp_path):
    folder(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b_0000.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [
        {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
        {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}], "test": ["./imagesTs/c.nii.gz"]}))
    assert ("dataset.json names 2 files of 5 that are not in the folder: labelsTr/b.nii.gz, imagesTs/c.nii.gz. Add "
            "what is missing, or correct dataset.json") in scan_folder(tmp_path).problems


def test_values_that_dataset_json_does_not_name_and_names_without_a_voxel(tmp_path):
    root = data(tmp_path, labels(1, 7), labels(1), words={"labels": {"background": 0, "wall": 1, "cavity": 2}})
    found = inspect_dataset(scan_labelled(root))
    assert "label value 7 is not named in dataset.json. Correct one of the two" in found.problems
    assert "dataset.json names 2 (cavity), which no label map holds" in found.problems


def test_a_structure_in_one_case_only_is_named(tmp_path):
    maps = [labels(1, 2)] + [labels(1)] * 5
    found = inspect_dataset(scan_labelled(data(tmp_path, *maps, words={"labels": {"wall": 1, "cyst": 2}})))
    assert any("2 (cyst) in 1 of 6 label maps" in problem and "--partial missing" in problem
               for problem in found.problems)


# ---------------------------------------------------------------- what nobody has labelled


def test_the_value_to_ignore_is_no_structure(tmp_path):
    root = data(tmp_path, labels(1, 2, 3), words={"labels": {"background": 0, "wall": 1, "cavity": 2, "ignore": 3}})
    (case,) = scan_labelled(root).labelled
    drawn = read_drawn(case)
    assert set(np.unique(drawn.labels.voxels)) == {0, 1, 2}
    assert np.array_equal(drawn.ignored, labels(0, 0, 3) == 3)
    settings = SliceSettings(None, "largest-spacing", NormalisationSettings(), KeypointSettings())
    cache = tmp_path / "cache"
    cache.mkdir()
    for _ in range(2):  # prepared, then from the cache
        prepared = load_case(case, settings, cache)
        assert prepared.ignored.sum() == 10
        assert set(np.unique(prepared.labels)) == {0, 1, 2}


PARTIAL = (labels(1, 2), labels(1), labels(2))


@pytest.mark.parametrize(("partial", "words", "table", "expected"), [
    ("auto", None, None, [None, None, None]),
    ("missing", None, None, [{1, 2}, {1}, {2}]),
    ("auto", {"kaf_partial": True}, None, [{1, 2}, {1}, {2}]),
    ("none", {"kaf_partial": True}, None, [None, None, None]),
    ("auto", {"labels": {"wall": 1, "cyst": 2}, "kaf_partial": {"b": ["wall"], "c": ["Cyst", "1"]}}, None,
     [None, {1}, {1, 2}]),
    ("auto", {"labels": {"wall": 1, "cyst": 2}}, "case,structures\nb,wall\nc,wall; cyst\n", [None, {1}, {1, 2}]),
    ("auto", None, "structures,case\n1,b\n2,c\n1,c\n,a\n", [set(), {1}, {1, 2}]),
    ("none", None, "case,structures\nb,1\n", [None, None, None]),
])
def test_who_says_what_was_drawn(tmp_path, partial, words, table, expected):
    root = data(tmp_path, *PARTIAL, words=words)
    if table is not None:
        (root / "labelled.csv").write_text(table)
    dataset = scan_labelled(root, partial)
    assert [case.annotated for case in dataset.cases] == expected
    if table is not None and partial == "auto":
        again = settle(scan_folder(root), str(root / "labelled.csv"))
        assert [case.annotated for case in again.cases] == expected


def test_a_table_that_names_somebody_else_is_told(tmp_path):
    root = data(tmp_path, *PARTIAL)
    (root / "labelled.csv").write_text("case,structures\nb,1\nzoe,1\n")
    assert scan_labelled(root).problems == (
        "labelled.csv names 1 case that is not in the folder: zoe. Correct the names, see `kaf data scan`",)


@pytest.mark.parametrize(("text", "words"), [
    ("case,structures\nb,liver\n", "names the structure 'liver', which is not known"),
    ("case;structures\nb;1\n", "is no table of the columns case and structures"),
    ("", "is no table of the columns case and structures"),
    ("case,structures\nb,999\n", "'999'"),
])
def test_tables_that_cannot_be_used(tmp_path, text, words):
    root = data(tmp_path, *PARTIAL)
    (root / "labelled.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        scan_labelled(root)
    with pytest.raises(InputError, match="cannot be read"):
        scan_labelled(root, str(tmp_path / "nowhere.csv"))


def test_masks_that_a_case_lacks_were_not_drawn_there(tmp_path):
    for name, files in (("s1", ("aorta", "liver")), ("s2", ("liver",))):
        save_volume(tmp_path / name / "ct.nii.gz", RNG.integers(0, 900, SHAPE).astype(np.int16))
        for file in files:
            save_volume(tmp_path / name / "segmentations" / f"{file}.nii.gz", labels(1))
    assert [case.annotated for case in scan_labelled(tmp_path, "missing").cases] == [{1, 2}, {2}]


def test_what_is_drawn_contrary_to_what_is_said(tmp_path):
    root = data(tmp_path, *PARTIAL, words={"labels": {"wall": 1, "cyst": 2}})
    (root / "labelled.csv").write_text("case,structures\na,wall\nb,wall\n")
    found = inspect_dataset(scan_labelled(root))
    assert [case.annotated for case in found.cases] == [(1,), (1,), None]
    assert found.cases[0].problems == ("the label map holds 2, which is said not to be drawn in this case, and is not "
                                       "used. Correct what is said of the case",)
    assert found.cases[1].problems == ()
    assert "Partial labels: 2 of 3 cases say what was drawn in them; other structures are neither learned nor scored " \
           "there" in found.text().splitlines()


@pytest.mark.parametrize("maps", [PARTIAL, (labels(205, 420, dtype=np.int16),), (labels(1, 3),)])
def test_how_labels_are_read_travels_as_json(tmp_path, maps):
    words = {"labels": {"wall": 1, "ignore": 3}} if maps[0].max() == 3 else None
    dataset = scan_labelled(data(tmp_path, *maps, words=words))
    for case in dataset.labelled:
        drawing = json.loads(json.dumps(case.drawing()))
        assert bool(drawing) == (maps is not PARTIAL)
        again = case_of(case.name, str(case.image), str(case.label), drawing)
        assert np.array_equal(read_case_labels(again).voxels, read_case_labels(case).voxels)


def test_label_maps_for_testing_without_scans(tmp_path):
    root = folder(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "labelsTs/b.nii.gz")
    dataset = scan_folder(root)
    assert dataset.problems == ("1 label map without a scan: labelsTs/b.nii.gz. Name each like its scan",)
    assert dataset.test == ()
