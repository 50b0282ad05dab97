"""Which prediction is compared with which reference, and what is said of those that are not."""

import numpy as np
import pytest
from evaluation_toys import VENTRICLES, boxes, settings, volume

from kaf.evaluation.pairing import find_pairs, require_same_grid
from kaf.imaging.file_names import result_name
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_labels, write_map
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.settings.evaluate import EvaluateSettings
from kaf.verbs.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.mark.parametrize(("file", "name"), [
    ("patient001_frame01_gt.nii.gz", "patient001_frame01"), ("A.seg.nrrd", "A"), ("A-seg.nrrd", "A"),
    ("A_label.nii", "A"), ("A_labels.mha", "A"), ("A_pred_seg.nii.gz", "A"), ("A.b_GT.nii.gz", "A.b"),
    ("gt.nii.gz", "gt"), ("seg_12.nii.gz", "seg_12"), ("weight.nrrd", "weight"), ("A_dseg.nii.gz", "A"),
])
def test_case_names(file, name):
    assert result_name(file) == name


def test_scans_and_labels_in_one_folder_are_told_apart(folders):
    prediction, reference, _ = folders
    for file in list(reference.iterdir()):
        write_map(reference / f"{result_name(file)}.nii.gz", volume(boxes().astype(np.float32) * 3.5))
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
    assert not output.exists()
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
