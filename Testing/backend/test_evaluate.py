"""``evaluate`` as its user meets it: which files are compared, what is written, what is said."""

import base64
import csv
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from kaf.card import Label
from kaf.errors import InputError, OutputError
from kaf.evaluate import evaluate
from kaf.evaluation_pictures import square_grid
from kaf.events import Message, Progress, to_json
from kaf.pairs import case_name, find_pairs, named_labels, require_same_grid
from kaf.report import amount, number, page, spread
from kaf.report_chart import Strip, strip_chart
from kaf.settings import EvaluateSettings
from kaf.volume import Volume
from kaf.volume_write import write_labels, write_map

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "acdc" / "volumes"
SPACING = (1.5, 1.5, 8.0)  # mm along (i, j, k)
VOXEL_ML = 1.5 * 1.5 * 8.0 / 1000
VENTRICLES = (Label(1, "Right ventricle", (0, 151, 206)), Label(2, "Left ventricle", (216, 101, 79)))


def volume(voxels, shift=0.0):
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = [40.0 + shift, 30.0, -12.0]
    return Volume(voxels, affine)


def boxes(second=True, moved=0):
    """Label 1 is a box of 4 x 10 x 10 voxels, label 2 one of 4 x 5 x 5; ``moved`` columns to the right."""
    voxels = np.zeros((6, 40, 44), np.uint8)
    voxels[1:5, 5:15, 5 + moved: 15 + moved] = 1
    if second:
        voxels[1:5, 25:30, 20:25] = 2
    return voxels


@pytest.fixture
def folders(tmp_path):
    """Two cases: a perfect one and one with label 1 moved by 3 columns and label 2 missed."""
    prediction, reference = tmp_path / "predicted", tmp_path / "drawn"
    prediction.mkdir()
    reference.mkdir()
    for name, predicted in (("case2", boxes()), ("case10", boxes(second=False, moved=3))):
        write_labels(prediction / f"{name}.seg.nrrd", volume(predicted), VENTRICLES)
        write_labels(reference / f"{name}_gt.nii.gz", volume(boxes()), VENTRICLES)
    return prediction, reference, tmp_path / "out"


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    """A report's pictures take longer to draw than all the rest of it; most tests do not look at them."""
    monkeypatch.setattr("kaf.evaluation_pictures._SIDE", 120)


def settings(folders, **more):
    prediction, reference, output = folders
    return EvaluateSettings(prediction=str(prediction), reference=str(reference), output=str(output), **more)


def strict_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


class Outline(HTMLParser):
    """Checks that tags nest, and keeps attributes and words."""

    VOID = frozenset({"meta", "img", "line", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


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


def test_the_report_needs_nothing_but_itself(folders):
    evaluate(settings(folders))
    text = (folders[2] / "report.html").read_text(encoding="utf-8")
    outline = Outline(text)
    loads = [value for name, value in outline.attributes if name in ("src", "href", "srcset", "data")]
    assert len(loads) == 2  # one picture per case
    assert all(value.startswith("data:image/png;base64,") for value in loads)
    assert not re.search(r"https?:|url\(|@import", text)
    (policy,) = [value for name, value in outline.attributes if name == "content" and "default-src" in value]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    words = " ".join(outline.words)
    assert "missed: Left ventricle" in words
    rows = words[words.index("Worst first"):]
    assert rows.index("case10") < rows.index("case2")
    assert "HD95 (mm)" in words
    assert "NSD at 2 mm" in words


def test_pictures_show_the_slice_and_the_scan(folders, tmp_path):
    import cv2

    scans = tmp_path / "scans"
    scans.mkdir()
    ramp = np.tile(np.linspace(0, 900, 44, dtype=np.float32), (6, 40, 1))
    write_map(scans / "case10_0000.nii.gz", volume(ramp))
    write_map(scans / "case2_0000.nii.gz", volume(ramp, shift=5.0))  # lies elsewhere
    events = []
    evaluate(settings(folders, images=str(scans)), events.append)
    text = (folders[2] / "report.html").read_text(encoding="utf-8")
    pictures = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
                for data in re.findall(r"base64,([A-Za-z0-9+/=]+)\"", text)]
    with_scan, without = pictures
    assert with_scan.shape == without.shape == (3 * 40, 3 * 44, 3)
    # The affine runs to the left, so the ramp's bright end does too; grey only, away from the outlines.
    grey = np.sort(with_scan[2], axis=-1)
    assert np.all(np.ptp(grey, axis=-1) <= 2)
    assert grey.max() > 100
    assert without[2].max() <= 2
    assert np.ptp(with_scan.reshape(-1, 3), axis=-1).max() > 60  # coloured outlines
    warnings = [event.text for event in events if isinstance(event, Message)]
    assert any("case2" in words and "another grid" in words for words in warnings)


@pytest.mark.parametrize("upside_down", [False, True])
def test_the_picture_is_of_the_slice_with_most_disagreement(tmp_path, upside_down):
    truth, predicted = boxes(second=False), boxes(second=False)
    predicted[3, 5:8, 5:15] = 0
    predicted[1, 20:38, 20:38] = 2  # more voxels, but of a structure that the reference may just lack
    place = volume(truth).affine
    place[2, 2] *= -1 if upside_down else 1
    files = tmp_path / "predicted.nii.gz", tmp_path / "drawn.nii.gz"
    for file, voxels in zip(files, (predicted, truth), strict=True):
        write_labels(file, Volume(voxels, place), ())
    for ignore_missing, expected in ((True, "slice 4 of 6"), (False, "slice 2 of 6")):
        output = tmp_path / str(ignore_missing)
        evaluate(settings((*files, output), ignore_missing=ignore_missing))
        words = Outline((output / "report.html").read_text(encoding="utf-8")).words
        assert any(expected in word for word in words)


def test_pictures_are_cut_across_the_thick_axis_and_else_axial():
    thick = Volume(np.zeros((6, 9, 11), np.uint8), np.diag([1.0, 2.0, 5.0, 1.0]))
    assert square_grid(thick).canonical_shape == (6, 18, 11)
    coronal = Volume(thick.voxels, np.diag([1.0, 5.0, 2.0, 1.0]))
    assert square_grid(coronal).canonical_shape == (9, 12, 11)
    fine = Volume(thick.voxels, np.diag([1.0, 1.9, 1.0, 1.0]))
    assert square_grid(fine).canonical_shape == (6, 17, 11)


def test_file_names_are_text_and_never_markup(folders):
    prediction, reference, _ = folders
    for folder, ending in ((prediction, ".seg.nrrd"), (reference, "_gt.nii.gz")):
        for file in folder.iterdir():
            file.rename(folder / ("<b>&x" + case_name(file) + ending))
    evaluate(settings(folders))
    text = (folders[2] / "report.html").read_text(encoding="utf-8")
    assert "<b>&x" not in text
    assert any("<b>&xcase10" in words for words in Outline(text).words)


@pytest.mark.parametrize(("file", "name"), [
    ("patient001_frame01_gt.nii.gz", "patient001_frame01"), ("A.seg.nrrd", "A"), ("A-seg.nrrd", "A"),
    ("A_label.nii", "A"), ("A_labels.mha", "A"), ("A_pred_seg.nii.gz", "A"), ("A.b_GT.nii.gz", "A.b"),
    ("gt.nii.gz", "gt"), ("seg_12.nii.gz", "seg_12"), ("weight.nrrd", "weight"), ("A_dseg.nii.gz", "A"),
])
def test_case_names(file, name):
    assert case_name(file) == name


def test_scans_and_labels_in_one_folder_are_told_apart(folders):
    prediction, reference, _ = folders
    for file in list(reference.iterdir()):
        write_map(reference / f"{case_name(file)}.nii.gz", volume(boxes().astype(np.float32) * 3.5))
    pairs, unmatched = find_pairs(prediction, reference, reference)
    assert not unmatched
    assert [pair.name for pair in pairs] == ["case2", "case10"]
    assert [pair.reference.name for pair in pairs] == ["case2_gt.nii.gz", "case10_gt.nii.gz"]
    assert [pair.image.name for pair in pairs] == ["case2.nii.gz", "case10.nii.gz"]
    write_labels(reference / "case2_seg.nii.gz", volume(boxes()), VENTRICLES)
    with pytest.raises(InputError, match=r"case2_gt\.nii\.gz, case2_seg\.nii\.gz"):
        find_pairs(prediction, reference)


def test_two_files_are_a_pair_whatever_their_names(folders, tmp_path):
    prediction, reference, output = folders
    found = evaluate(EvaluateSettings(prediction=str(prediction / "case10.seg.nrrd"),
                                      reference=str(reference / "case2_gt.nii.gz"), output=str(output)))
    assert [case.pair.name for case in found.cases] == ["case2"]
    assert found.cases[0].metrics[0].dice == pytest.approx(0.7)
    with pytest.raises(InputError, match="does not exist"):
        evaluate(settings((tmp_path / "none", reference, tmp_path / "other")))


def test_a_case_without_partner_is_named_and_fatal_only_when_strict(folders):
    prediction, _, output = folders
    (prediction / "case2.seg.nrrd").rename(prediction / "case3.seg.nrrd")
    words = r"case3\.seg\.nrrd has no reference.*case2_gt\.nii\.gz has no prediction"
    with pytest.raises(InputError, match=words):
        evaluate(settings(folders, strict=True))
    assert not list(output.iterdir())
    events = []
    found = evaluate(settings(folders), events.append)
    assert [case.pair.name for case in found.cases] == ["case10"]
    said = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    assert said == list(found.not_scored)
    assert len(said) == 2
    assert ".." not in "".join(said)
    report = (output / "report.html").read_text(encoding="utf-8")
    assert "2 files left out" in report
    assert "case3.seg.nrrd" in report


def test_nothing_in_common_is_an_error_that_shows_both_sides(folders):
    for file in list(folders[0].iterdir()):
        file.rename(file.with_name("other-" + file.name))
    with pytest.raises(InputError, match=r"other-case2.*against case2, case10"):
        evaluate(settings(folders))


def test_another_grid_is_refused_with_both_names_and_the_distance(folders):
    prediction, _, output = folders
    write_labels(prediction / "case2.seg.nrrd", volume(boxes(), shift=0.75), VENTRICLES, overwrite=True)
    with pytest.raises(InputError, match=r"case2\.seg\.nrrd.*another grid.*case2_gt\.nii\.gz.*0\.75 mm"):
        evaluate(settings(folders, strict=True))
    found = evaluate(settings(folders))
    assert [case.pair.name for case in found.cases] == ["case10"]
    assert "0.75 mm" in found.not_scored[0]
    write_labels(prediction / "case10.seg.nrrd", volume(boxes()[:, :, :-1]), VENTRICLES, overwrite=True)
    with pytest.raises(InputError, match=r"43 x 40 x 6 voxels where .*44 x 40 x 6"):
        evaluate(settings(folders, overwrite=True))
    assert (output / "report.html").exists()  # the earlier one


def test_grids_that_differ_by_rounding_pass():
    first, second = volume(boxes()), volume(boxes(), shift=0.004)
    require_same_grid(first, second)
    turned = first.affine.copy()
    turned[:3, :3] @= np.array([[1, 1e-3, 0], [-1e-3, 1, 0], [0, 0, 1]])  # 0.06 mm at the far corner
    with pytest.raises(InputError, match="another grid"):
        require_same_grid(first, Volume(boxes(), turned))


def test_a_damaged_file_is_left_out_by_name_or_fatal_when_strict(folders):
    prediction, _, _ = folders
    file = prediction / "case2.seg.nrrd"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"case2\.seg\.nrrd"):
        evaluate(settings(folders, strict=True))
    write_labels(prediction / "case1.seg.nrrd", volume(boxes()), VENTRICLES)
    found = evaluate(settings(folders))
    assert len(found.cases) == 1
    assert "case2.seg.nrrd" in found.not_scored[0]  # before the one that only lacks a partner
    assert "case1.seg.nrrd" in found.not_scored[1]


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
        write_labels(file.with_name(case_name(file) + ".nii.gz"), volume(boxes()), VENTRICLES)
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


def test_an_output_folder_that_is_a_file_is_refused(folders):
    folders[2].write_text("taken")
    with pytest.raises(OutputError, match="cannot be made"):
        evaluate(settings(folders))


def test_maps_without_any_label_are_an_error(folders):
    for folder in folders[:2]:
        for file in folder.iterdir():
            write_labels(file, volume(np.zeros_like(boxes())), VENTRICLES, overwrite=True)
    with pytest.raises(InputError, match="no label"):
        evaluate(settings(folders))


def test_many_labels_of_one_missed_case_still_make_a_report(folders):
    prediction, reference, _ = folders
    (reference / "case2_gt.nii.gz").unlink()
    many = np.arange(6 * 40 * 44).reshape(6, 40, 44) // 400 % 20
    write_labels(reference / "case10_gt.nii.gz", volume(many.astype(np.uint8)), (), overwrite=True)
    write_labels(prediction / "case10.seg.nrrd", volume(np.zeros_like(boxes())), (), overwrite=True)
    found = evaluate(settings(folders))
    assert len(found.labels) == 19
    assert math.isnan(found.mean("hd95"))
    words = Outline((folders[2] / "report.html").read_text(encoding="utf-8")).words
    assert "19 of 19" in words
    assert "label 1 0.00" in words  # the column of the lowest stands for one column per label


def test_numbers_for_reading():
    assert [number(value, 2) for value in (0.125, -1.0, -0.001, math.nan, math.inf)] == [
        "0.12", "−1.00", "0.00", "–", "–"]
    assert number(0.5, 1, signed=True) == "+0.5"
    assert spread(0.9, math.nan) == "0.900"
    assert spread(0.9, 0.05) == "0.900 ± 0.050"
    pairs = ((1234.5,), (0.0123,), (-0.152, 10.2), (0.0, 0.0), (math.nan, math.nan))
    assert [amount(*values) for values in pairs] == ["+1234", "+0.0123", "−0.2 ± 10.2", "0.00 ± 0.00", "–"]


def test_chart_puts_dots_where_the_values_are():
    strip = Strip("a & b", (255, 0, 128), [("x", 0.25), ("y", 1.0), ("z", math.nan), ("w", 0.5)])
    text = strip_chart([strip], "Dice", "", limits=(0.0, 1.0))
    places = [float(x) for x in re.findall(r'circle cx="([\d.]+)"', text)]
    left, right = (float(re.findall(r'class="grid" x1="([\d.]+)"', text)[i]) for i in (0, -1))
    assert [(x - left) / (right - left) for x in places] == pytest.approx([0.25, 1.0, 0.5], abs=1e-3)
    assert "median 0.500, n = 3" in text
    assert "#ff0080" in text
    assert "a &amp; b" in text
    Outline(page("t", "k", [], [text], "f"))
    nothing = strip_chart([Strip("none", (0, 0, 0), [("x", math.nan)])], "HD95", "", "mm")
    assert "n = 0" in nothing
    assert "circle" not in nothing


def test_chart_keeps_equal_values_apart():
    text = strip_chart([Strip("a", (0, 0, 0), [(str(i), 1.0) for i in range(7)])], "Dice", "", limits=(0, 1))
    heights = re.findall(r'cy="([\d.]+)"', text)
    assert len(set(heights)) == 7


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
        expected[case_name(file)] = [2 * (m & t).sum() / (m.sum() + t.sum()) for m, t in masks]
        expected[case_name(file)].append(2 * image.GetSpacing()[0])
    found = evaluate(EvaluateSettings(
        prediction=str(predicted), reference=str(DATA), output=str(tmp_path / "out"), images=str(DATA),
        labels={1: "RV", 2: "Myo", 3: "LV"}))
    assert {case.pair.name for case in found.cases} == expected.keys()
    for case in found.cases:
        *dice, shift = expected[case.pair.name]
        assert [metrics.dice for metrics in case.metrics] == pytest.approx(dice)
        assert all(metrics.hd95 <= shift + 1e-4 for metrics in case.metrics)
        assert all(metrics.difference_ml == 0 for metrics in case.metrics)
