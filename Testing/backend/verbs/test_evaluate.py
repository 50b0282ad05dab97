"""``evaluate`` as its user meets it: what is counted, what is written, what is said."""

import csv
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import VENTRICLES, VOXEL_ML, boxes, settings, strict_json, volume

from kaf.evaluation.pairing import named_labels
from kaf.imaging.file_names import result_name
from kaf.imaging.labels import Label
from kaf.imaging.write import write_labels
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import Progress, to_json
from kaf.settings.evaluate import EvaluateSettings
from kaf.verbs.evaluate import evaluate

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "acdc" / "volumes"

pytestmark = pytest.mark.usefixtures("small_pictures")


def test_the_table_and_the_numbers_are_those_on_paper(folders):
    found = evaluate(settings(folders, tolerance=3.0))
    with (folders[2] / "evaluation.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["case"], row["name"]): row for row in csv.DictReader(file)}
    assert list(rows) == [(case, label.name) for case in ("case2", "case10") for label in VENTRICLES]
    moved = rows["case10", "Right ventricle"]
    assert float(moved["dice"]) == pytest.approx(0.7)  # 7 of 10 columns in common
    assert float(moved["hd95_mm"]) == pytest.approx(4.5)  # 3 columns of 1.5 mm
    assert float(moved["reference_ml"]) == pytest.approx(400 * VOXEL_ML)
    assert (moved["status"], moved["difference_ml"], moved["intersection_voxels"]) == ("scored", "0.0", "280")
    missed = rows["case10", "Left ventricle"]
    assert [missed[key] for key in ("status", "dice", "hd95_mm", "nsd")] == ["missed", "0.0", "", "0.0"]
    assert float(missed["relative_difference"]) == -1.0

    numbers = strict_json(folders[2] / "evaluation.json")
    right, left = numbers["labels"]
    assert right["label"]["name"] == "Right ventricle"
    assert right["statistics"]["dice"]["mean"] == pytest.approx(0.85)
    assert right["statistics"]["dice"]["sd"] == pytest.approx(np.std([1.0, 0.7], ddof=1))
    assert right["pooled_dice"] == pytest.approx(2 * (400 + 280) / 1600)
    assert left["counts"] == {"scored": 1, "missed": 1, "spurious": 0, "absent": 0, "not contoured": 0}
    assert left["statistics"]["hd95"]["n"] == 1
    assert left["statistics"]["hd95"]["sd"] is None
    assert left["pooled_dice"] == pytest.approx(2 * 100 / 300)
    assert numbers["mean_over_labels"]["dice"] == pytest.approx((0.85 + 0.5) / 2)
    assert numbers["mean_over_labels"]["pooled_dice"] == pytest.approx((0.85 + 2 / 3) / 2)
    assert numbers["settings"]["tolerance"] == 3.0
    assert numbers["kaf_version"]
    assert found.overview()["dice"] == pytest.approx(0.675)
    assert found.mean("dice") == numbers["mean_over_labels"]["dice"]


def test_missing_means_not_contoured_only_when_asked(folders):
    _, reference, _ = folders
    write_labels(reference / "case2_gt.nii.gz", volume(boxes(second=False)), VENTRICLES, overwrite=True)
    counted = evaluate(settings(folders)).labels[1]
    assert (counted.counts["spurious"], counted.counts["missed"]) == (1, 1)
    assert counted.statistics["dice"].mean == 0.0
    skipped = evaluate(settings(folders, ignore_missing=True, overwrite=True)).labels[1]
    assert (skipped.counts["not contoured"], skipped.counts["spurious"]) == (1, 0)
    assert skipped.statistics["dice"].n == 1
    assert skipped.statistics["nsd"].n == skipped.statistics["difference_ml"].n == 1
    assert skipped.pooled_dice == 0.0  # of the case that was contoured, and missed
    assert "not contoured" in (folders[2] / "report.html").read_text(encoding="utf-8")


def test_a_label_in_no_map_of_a_case_stays_out_of_the_means(folders):
    for folder, ending in zip(folders[:2], (".seg.nrrd", "_gt.nii.gz"), strict=True):
        write_labels(folder / f"case7{ending}", volume(boxes(second=False)), VENTRICLES)
    found = evaluate(settings(folders))
    assert [case.pair.name for case in found.cases] == ["case2", "case7", "case10"]
    left = found.labels[1]
    assert (left.counts["absent"], left.statistics["dice"].n, left.statistics["dice"].mean) == (1, 2, 0.5)
    assert left.statistics["difference_ml"].n == 2
    assert found.cases[1].metrics[1].status == "absent"


def test_names_come_from_slicer_files_and_settings_win(folders):
    prediction, _, _ = folders
    assert {value: label.name for value, label in named_labels(prediction / "case2.seg.nrrd").items()} == {
        1: "Right ventricle", 2: "Left ventricle"}
    found = evaluate(settings(folders))
    assert [summary.label.colour for summary in found.labels] == [label.colour for label in VENTRICLES]
    renamed = evaluate(settings(folders, labels={2: "LV cavity"}, overwrite=True))
    assert [summary.label.name for summary in renamed.labels] == ["LV cavity"]
    assert renamed.remarks == ("Left out, as they are not among the labels asked for: values 1.",)
    for file in prediction.iterdir():
        write_labels(file.with_name(result_name(file) + ".nii.gz"), volume(boxes()), VENTRICLES)
        file.unlink()
    plain = evaluate(settings(folders, overwrite=True))
    assert [summary.label.name for summary in plain.labels] == ["label 1", "label 2"]


def test_swapped_numbering_is_noticed(folders):
    prediction, reference, _ = folders
    (reference / "case2_gt.nii.gz").unlink()
    swapped = (Label(1, "Left ventricle", (1, 2, 3)), Label(2, "Right ventricle", (4, 5, 6)))
    write_labels(reference / "case2.seg.nrrd", volume(boxes()), swapped)
    (remark,) = evaluate(settings(folders)).remarks[:1]
    assert "'Left ventricle'" in remark
    assert "'Right ventricle'" in remark

    renumbered = volume(np.where(boxes() == 2, 5, boxes()))
    write_labels(prediction / "case2.seg.nrrd", renumbered, VENTRICLES, overwrite=True)
    assert any("No reference has the label 5" in words
               for words in evaluate(settings(folders, overwrite=True)).remarks)


def test_progress_counts_cases_and_events_are_json(folders):
    events = []
    evaluate(settings(folders), events.append)
    steps = [event for event in events if isinstance(event, Progress)]
    assert (steps[0].done, steps[0].total, steps[0].seconds_left) == (0, 2, None)
    assert (steps[-1].done, steps[-1].seconds_left) == (2, 0.0)
    assert all("NaN" not in to_json(event) for event in events)


def test_an_evaluation_is_replaced_only_on_request(folders):
    evaluate(settings(folders))
    before = (folders[2] / "evaluation.json").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        evaluate(settings(folders, tolerance=5.0))
    assert (folders[2] / "evaluation.json").read_bytes() == before
    evaluate(settings(folders, tolerance=5.0, overwrite=True))
    assert strict_json(folders[2] / "evaluation.json")["settings"]["tolerance"] == 5.0
    written = sorted(file.name for file in folders[2].iterdir())
    assert written == ["evaluation.csv", "evaluation.json", "report.html"]


def test_an_evaluation_that_is_not_finished_does_not_lie_beside_the_one_before(folders, monkeypatch):
    """The new table and numbers beside the old report would be taken for one evaluation."""
    evaluate(settings(folders))
    before = {file.name: file.read_bytes() for file in folders[2].iterdir()}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kaf.evaluation.page.evaluation_page", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings(folders, tolerance=5.0, overwrite=True))
    assert {file.name: file.read_bytes() for file in folders[2].iterdir() if file.is_file()} == before


@pytest.mark.parametrize("name", ["evaluation.csv", "evaluation.json", "report.html"])
def test_a_file_that_is_no_evaluation_is_not_replaced(folders, name):
    evaluate(settings(folders))
    (folders[2] / name).write_text("case;mine\n")
    before = {file.name: file.read_bytes() for file in folders[2].iterdir()}
    with pytest.raises(OutputError, match=rf"{name}: was not written by KAF and is not replaced\. Move it"):
        evaluate(settings(folders, tolerance=5.0, overwrite=True))
    assert {file.name: file.read_bytes() for file in folders[2].iterdir()} == before


def test_an_output_folder_that_is_a_file_is_refused(folders):
    folders[2].write_text("taken")
    with pytest.raises(OutputError, match="cannot be created"):
        evaluate(settings(folders))


def test_maps_without_any_label_are_an_error(folders):
    for folder in folders[:2]:
        for file in folder.iterdir():
            write_labels(file, volume(np.zeros_like(boxes())), VENTRICLES, overwrite=True)
    with pytest.raises(InputError, match="no label"):
        evaluate(settings(folders))
    assert not folders[2].exists()


def test_labels_that_nobody_has_leave_nothing_behind(folders):
    """The scores of the cases stayed in a hidden folder, and were of no use to the next try."""
    with pytest.raises(InputError, match=r"none of the labels asked for occurs in any map: 9 \(x\)"):
        evaluate(settings(folders, labels={9: "x"}))
    assert not folders[2].exists()
    folders[2].mkdir()
    with pytest.raises(InputError, match="none of the labels"):
        evaluate(settings(folders, labels={9: "x"}))
    assert list(folders[2].iterdir()) == []


@pytest.mark.data
def test_real_cardiac_labels_against_shifted_copies(tmp_path):
    if not DATA.is_dir():
        pytest.skip(f"needs the ACDC volumes in {DATA}")
    import SimpleITK as sitk

    predicted = tmp_path / "predicted"
    predicted.mkdir()
    expected = {}
    for file in sorted(DATA.glob("*_gt.nii.gz"))[:3]:
        image = sitk.ReadImage(str(file))
        truth = sitk.GetArrayFromImage(image)
        moved = np.roll(truth, 2, axis=2)
        copy = sitk.GetImageFromArray(moved)
        copy.CopyInformation(image)
        sitk.WriteImage(copy, str(predicted / file.name.replace("_gt", "")))
        masks = [(moved == value, truth == value) for value in (1, 2, 3)]
        expected[result_name(file)] = [2 * (m & t).sum() / (m.sum() + t.sum()) for m, t in masks]
        expected[result_name(file)].append(2 * image.GetSpacing()[0])
    found = evaluate(EvaluateSettings(
        prediction=str(predicted), reference=str(DATA), output=str(tmp_path / "out"), images=str(DATA),
        labels={1: "RV", 2: "Myo", 3: "LV"}))
    assert {case.pair.name for case in found.cases} == expected.keys()
    for case in found.cases:
        *dice, shift = expected[case.pair.name]
        assert [metrics.dice for metrics in case.metrics] == pytest.approx(dice)
        assert all(metrics.hd95 <= shift + 1e-4 for metrics in case.metrics)
        assert all(metrics.difference_ml == 0 for metrics in case.metrics)
