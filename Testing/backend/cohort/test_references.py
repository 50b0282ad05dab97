"""Evaluation reads references in every layout that training reads, and leaves out what nobody has drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import save_volume

from kaf.cohort.references import evaluation_pairs
from kaf.imaging.labels import plain_label
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_labels
from kaf.runtime.errors import InputError
from kaf.settings.evaluate import EvaluateSettings
from kaf.verbs.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("small_pictures")

SHAPE = (4, 20, 24)
SPACING = (1.5, 1.25, 8.0)
ONE = (slice(1, 3), slice(2, 8), slice(2, 8))
TWO = (slice(1, 3), slice(10, 16), slice(10, 16))


def drawn(one: int = 1, two: int = 2, dtype: type = np.uint8) -> np.ndarray:
    voxels = np.zeros(SHAPE, dtype)
    voxels[ONE], voxels[TWO] = one, two
    return voxels


def scan() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)


def predictions(root: Path, *names: str, voxels: np.ndarray | None = None) -> Path:
    for name in names:
        save_volume(root / f"{name}.nii.gz", drawn() if voxels is None else voxels)
    return root


def nnunet(root: Path) -> None:
    for part, name in (("Tr", "a"), ("Tr", "b"), ("Ts", "c")):
        save_volume(root / f"images{part}" / f"{name}_0000.nii.gz", scan())
        save_volume(root / f"labels{part}" / f"{name}.nii.gz", drawn())
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "wall": 1, "cavity": 2},
                                                   "channel_names": {"0": "MR"}, "file_ending": ".nii.gz"}))


def decathlon(root: Path) -> None:
    for name in "abc":
        save_volume(root / "imagesTr" / f"{name}.nii.gz", scan())
        save_volume(root / "labelsTr" / f"{name}.nii.gz", drawn())
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "wall", "2": "cavity"}}))


def total_segmentator(root: Path) -> None:
    for name in "abc":
        save_volume(root / name / "ct.nii.gz", scan())
        for structure, voxels in (("wall", drawn(1, 0)), ("cavity", drawn(0, 1))):
            save_volume(root / name / "segmentations" / f"{structure}.nii.gz", voxels)
    (root / "dataset.json").write_text(json.dumps({"labels": {"wall": 1, "cavity": 2}}))


def beside(root: Path) -> None:
    for name in "abc":
        save_volume(root / name / f"{name}.nii.gz", scan())
        save_volume(root / name / f"{name}_gt.nii.gz", drawn(205, 420, np.int16))
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "205": "wall", "420": "cavity"}}))


@pytest.mark.parametrize("make", [nnunet, decathlon, total_segmentator, beside])
def test_every_layout_is_scored(tmp_path, make):
    make(tmp_path / "data")
    result = evaluate(EvaluateSettings(
        prediction=str(predictions(tmp_path / "made", "a", "b", "c")), reference=str(tmp_path / "data"),
        output=str(tmp_path / "out")))
    assert [case.pair.name for case in result.cases] == ["a", "b", "c"]
    assert [(summary.label.name, summary.pooled_dice) for summary in result.labels] == [("wall", 1.0), ("cavity", 1.0)]
    assert all(case.pair.image is not None for case in result.cases)
    assert result.not_scored == ()


def test_test_cases_alone_are_not_missed_elsewhere(tmp_path):
    nnunet(tmp_path / "data")
    settings = EvaluateSettings(prediction=str(predictions(tmp_path / "made", "c")), reference=str(tmp_path / "data"),
                                output=str(tmp_path / "out"), strict=True)
    pairs, alone = evaluation_pairs(settings)
    assert ([pair.name for pair in pairs], alone) == (["c"], [])


def test_a_folder_of_label_maps_takes_the_names_beside_it(tmp_path):
    nnunet(tmp_path / "data")
    result = evaluate(EvaluateSettings(
        prediction=str(predictions(tmp_path / "made", "c")), reference=str(tmp_path / "data" / "labelsTs"),
        output=str(tmp_path / "out")))
    assert [summary.label.name for summary in result.labels] == ["wall", "cavity"]


def test_a_segmentation_that_names_nothing_contradicts_no_name(tmp_path):
    nnunet(tmp_path / "data")
    (tmp_path / "made").mkdir()
    affine = np.diag([-1.5, -1.25, 8.0, 1.0])
    write_labels(tmp_path / "made" / "c.seg.nrrd", Volume(drawn(), affine), [plain_label(1), plain_label(2, "lumen")])
    result = evaluate(EvaluateSettings(prediction=str(tmp_path / "made"), reference=str(tmp_path / "data"),
                                       output=str(tmp_path / "out")))
    assert [summary.label.name for summary in result.labels] == ["wall", "cavity"]
    (remark,) = result.remarks
    assert "'cavity'" in remark
    assert "'lumen'" in remark


def test_voxels_that_nobody_has_labelled_do_not_count(tmp_path):
    decathlon(tmp_path / "data")
    reference = drawn()
    reference[0] = 3
    save_volume(tmp_path / "data" / "labelsTr" / "a.nii.gz", reference)
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": {"wall": 1, "cavity": 2, "ignore": 3}}))
    spilt = drawn()
    spilt[0, :9, :9] = 1
    result = evaluate(EvaluateSettings(
        prediction=str(predictions(tmp_path / "made", "a", voxels=spilt)), reference=str(tmp_path / "data"),
        output=str(tmp_path / "out")))
    assert [summary.pooled_dice for summary in result.labels] == [1.0, 1.0]


@pytest.mark.parametrize(("partial", "counted"), [("none", 3), ("missing", 2), ("table", 1)])
def test_structures_that_were_not_drawn_do_not_count(tmp_path, partial, counted):
    decathlon(tmp_path / "data")
    save_volume(tmp_path / "data" / "labelsTr" / "a.nii.gz", drawn(1, 0))
    if partial == "table":
        partial = str(tmp_path / "drawn.csv")
        Path(partial).write_text("case,structures\na,wall\nb,1\n")
    result = evaluate(EvaluateSettings(
        prediction=str(predictions(tmp_path / "made", "a", "b", "c")), reference=str(tmp_path / "data"),
        output=str(tmp_path / "out"), partial=partial))
    wall, cavity = result.labels
    assert wall.statistics["dice"].n == 3
    assert cavity.statistics["dice"].n == counted
    assert cavity.counts["not contoured"] == 3 - counted
    assert cavity.pooled_dice == (1.0 if counted < 3 else pytest.approx(0.8))
    if counted == 1:  # what the table does not speak of is no case with nothing drawn
        (row,) = [case for case in result.cases if case.pair.name == "b"]
        assert row.metrics[1].dice != row.metrics[1].dice


def test_a_folder_without_references_is_refused(tmp_path):
    save_volume(tmp_path / "data" / "a" / "ct.nii.gz", scan())
    save_volume(tmp_path / "data" / "b" / "ct.nii.gz", scan())
    with pytest.raises(InputError, match="holds no reference"):
        evaluation_pairs(EvaluateSettings(prediction=str(predictions(tmp_path / "made", "a")),
                                          reference=str(tmp_path / "data"), output=str(tmp_path / "out")))


def test_label_maps_for_testing_without_scans(tmp_path):
    """labelsTs without imagesTs: nothing to train on, but references all the same."""
    decathlon(tmp_path / "data")
    save_volume(tmp_path / "data" / "labelsTs" / "d.nii.gz", drawn())
    result = evaluate(EvaluateSettings(
        prediction=str(predictions(tmp_path / "made", "d")), reference=str(tmp_path / "data" / "labelsTs"),
        output=str(tmp_path / "out")))
    assert [case.pair.name for case in result.cases] == ["d"]


@pytest.mark.parametrize("make", [nnunet, total_segmentator])
def test_only_the_cases_that_were_named(tmp_path, make):
    make(tmp_path / "data")
    settings = EvaluateSettings(prediction=str(predictions(tmp_path / "made", "a", "b", "c")),
                                reference=str(tmp_path / "data"), output=str(tmp_path / "out"), cases=("a", "c"))
    pairs, _ = evaluation_pairs(settings)
    assert [pair.name for pair in pairs] == ["a", "c"]
    plain = settings.model_copy(update={"reference": str(predictions(tmp_path / "drawn", "a", "b", "c"))})
    pairs, alone = evaluation_pairs(plain)
    assert ([pair.name for pair in pairs], alone) == (["a", "c"], [])
    with pytest.raises(InputError, match="holds none of the cases zoe"):
        evaluation_pairs(plain.model_copy(update={"cases": ("zoe",)}))
