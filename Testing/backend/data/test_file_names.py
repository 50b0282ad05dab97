"""What a label map may be called is one list, for folders that are trained on and for files that are evaluated."""

import pytest
from made_folders import folder, pairs

from kaf.data.folder import scan_folder
from kaf.evaluation.pairing import find_pairs
from kaf.imaging.file_names import LABEL_WORDS, is_segmentation, result_name, split_extension, without_image_word

NAMES = [f"case01{end}{word}" for word in LABEL_WORDS for end in "_-. "]
NAMES += [f"{word}_case01" for word in LABEL_WORDS] + ["case01_GT", "case01_Segmentation", "Label_case01"]


@pytest.mark.parametrize("name", NAMES)
def test_a_label_map_that_can_be_trained_on_can_be_evaluated(tmp_path, name):
    data = folder(tmp_path / "data", "case01.nii.gz", f"{name}.nii.gz")
    assert pairs(scan_folder(data)) == {"case01": ("case01.nii.gz", f"{name}.nii.gz")}
    prediction = folder(tmp_path / "predictions", "case01-seg.seg.nrrd")
    found, unmatched = find_pairs(prediction, data, data)  # the reference and not the scan that lies beside it
    assert not unmatched
    assert [(pair.name, pair.reference.name, pair.image.name) for pair in found] == [
        ("case01", f"{name}.nii.gz", "case01.nii.gz")]


@pytest.mark.parametrize("end", ["pred", "prediction", "Predictions"])
def test_a_prediction_can_be_evaluated_and_is_no_reference_to_train_on(tmp_path, end):
    assert find_pairs(folder(tmp_path / "a", f"case01_{end}.mha"), folder(tmp_path / "b", "case01_gt.mha"))[0]
    data = folder(tmp_path / "data", "case01.mha", f"case01_{end}.mha")
    assert pairs(scan_folder(data)) == {"case01": ("case01.mha", None), f"case01_{end}": (f"case01_{end}.mha", None)}


def test_words_inside_a_name_say_nothing():
    assert not is_segmentation("segal_weight.nrrd")
    assert result_name("maskell.nii.gz") == "maskell"
    assert result_name("/scans/labels/c1.1_seg_gt.seg.nrrd") == "c1.1"
    assert without_image_word("ct_image") == "ct"
    assert without_image_word("image") == "image"
    assert split_extension("A.SEG.NRRD") == ("A", ".seg.nrrd")
