"""The report of ``evaluate``: one page that needs nothing else, its pictures, its charts, its numbers."""

import base64
import hashlib
import math
import re

import numpy as np
import pytest
from evaluation_toys import Outline, boxes, settings, volume

from kaf.evaluation.pictures import square_grid
from kaf.imaging.file_names import result_name
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_labels, write_map
from kaf.report.chart import Strip, strip_chart
from kaf.report.parts import amount, number, page, spread
from kaf.runtime.events import Message
from kaf.verbs.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("small_pictures")


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
            file.rename(folder / ("<b>&x" + result_name(file) + ending))
    evaluate(settings(folders))
    text = (folders[2] / "report.html").read_text(encoding="utf-8")
    assert "<b>&x" not in text
    assert any("<b>&xcase10" in words for words in Outline(text).words)


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
