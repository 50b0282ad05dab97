"""The tab Data: folders in several layouts and bad ones, the split, a case that is opened."""

import json

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from pretrain_panel import LAYOUTS, choose_folder, cpu_time, heart, scan_folder, settle, write_hearts, write_volume
from reworded import said
from segmentation_panel import ReadySetup

import host
from kaf.imaging.volume import Volume


def cells(table, column):
    """The texts of a column of a table, by its title."""
    titles = [table.horizontalHeaderItem(n).text() for n in range(table.columnCount)]
    return [table.item(row, titles.index(column)).text() for row in range(table.rowCount)]


def test_the_empty_panel_says_where_to_begin(pretrain, pictures):
    ui = pretrain.ui
    assert ui.understoodLabel.text == "Choose a folder of scans to begin."
    assert not ui.scanButton.isEnabled()
    pictures(pretrain, "pretrain-empty-0")
    for index, button in ((1, ui.pretrainStartButton), (2, ui.finetuneStartButton), (3, ui.evaluateButton)):
        ui.tabs.setCurrentIndex(index)
        host.pump(20)
        assert not button.isEnabled()
        pictures(pretrain, f"pretrain-empty-{index}")
    assert "Data tab" in ui.pretrainForecastLabel.text
    assert "Data tab" in ui.finetuneForecastLabel.text
    assert "Data tab" in ui.evaluateHintLabel.text
    ui.tabs.setCurrentIndex(4)
    host.pump(20)
    pictures(pretrain, "pretrain-empty-4")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_scanned_in_every_common_layout(pretrain, tmp_path, layout):
    scan_folder(pretrain, write_hearts(tmp_path / "scans", layout, cases=4, labelled=3))
    ui = pretrain.ui
    assert "Scans: 4. Patients: 4." in ui.understoodLabel.text
    assert "Labelled scans: 3." in ui.understoodLabel.text
    assert cells(ui.caseTable, "Case") == ["p00", "p01", "p02", "p03"] or layout == LAYOUTS[2]
    assert cells(ui.caseTable, "Labels") == ["1, 2, 3"] * 3 + [""]
    assert cells(ui.caseTable, "Size")[0] == "48 × 48 × 4"
    assert sorted(set(cells(ui.caseTable, "Part"))) == ["test", "training", "validation"]
    table = ui.caseTable
    titles = [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]
    assert "Problem" not in titles
    assert ("Patient" in titles) == (cells(table, "Case") != ["p00", "p01", "p02", "p03"])
    widths = sum(table.columnWidth(column) for column in range(table.columnCount))
    assert widths <= table.viewport().width, "the table has to be scrolled sideways"


def test_a_tab_is_as_high_as_what_it_shows(pretrain, hearts):
    """Not as high as the highest of all tabs, which leaves the others empty."""
    ui = pretrain.ui
    heights = []
    for index in (2, 3):
        ui.tabs.setCurrentIndex(index)
        host.pump(20)
        heights.append(ui.tabs.sizeHint.height())
    assert heights[0] > heights[1] + 100
    ui.tabs.setCurrentIndex(0)
    before = ui.tabs.sizeHint.height()
    scan_folder(pretrain, hearts)
    table = ui.caseTable
    assert ui.tabs.sizeHint.height() > before
    assert table.height < 12 * table.rowHeight(0)  # six rows, titles, a scroll bar


def test_the_panel_answers_while_it_looks(pretrain, hearts, pictures):
    ui, part = pretrain.ui, pretrain.widget.pretraining.data
    choose_folder(pretrain, hearts)
    host.click(ui.scanButton)
    assert part.isScanning  # the click is over, the look is not
    assert ui.scanButton.text == "Stop"
    pictures(pretrain, "pretrain-data-running")
    host.click(ui.scanButton)
    host.wait_until(lambda: not part.isScanning, progress=cpu_time)
    assert ui.messageLabel.text == "Scanning was stopped."
    assert part.inspection is None


def test_the_split_is_drawn_saved_and_taken_again(pretrain, hearts, tmp_path, pictures):
    scan_folder(pretrain, hearts)
    ui, part = pretrain.ui, pretrain.widget.pretraining.data
    first = part.split
    pictures(pretrain, "pretrain-data")
    host.dialogs().answer(str(tmp_path / "split.json"))
    host.click(ui.saveSplitButton)
    assert json.loads((tmp_path / "split.json").read_text())["test"] == list(first.test)
    ui.splitSeedSpinBox.value = 4
    host.pump(50)
    assert part.split != first
    assert ui.splitLabel.toolTip.count("\n") == 2
    host.dialogs().answer(str(tmp_path / "split.json"))
    host.click(ui.loadSplitButton)
    assert part.split == first


def test_a_split_with_one_patient_in_training_and_test_is_refused(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    before = pretrain.widget.pretraining.data.split
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"train": ["p00", "p01"], "test": ["p01"]}))
    host.dialogs().answer(str(bad))
    host.click(pretrain.ui.loadSplitButton)
    assert "p01 is in train and in test" in pretrain.ui.messageLabel.text
    assert "Keep each patient in one part only" in pretrain.ui.messageLabel.text
    assert pretrain.widget.pretraining.data.split == before


def test_shares_that_leave_nobody_say_so(pretrain, hearts):
    scan_folder(pretrain, hearts)
    pretrain.ui.testShareSpinBox.value = 80
    pretrain.ui.validationShareSpinBox.value = 80
    host.pump(50)
    assert pretrain.widget.pretraining.data.split is None
    assert "no labelled patient is left for training" in pretrain.ui.messageLabel.text
    assert "Change the shares in the Data tab" in pretrain.ui.pretrainForecastLabel.text


def test_a_folder_that_is_not_there(pretrain, tmp_path):
    choose_folder(pretrain, tmp_path / "gone")
    assert "Check the path" in pretrain.ui.understoodLabel.text
    assert not pretrain.ui.scanButton.isEnabled()
    (tmp_path / "scan.nii").touch()
    choose_folder(pretrain, tmp_path / "scan.nii")
    assert "is a file. Choose the folder that contains it." in pretrain.ui.understoodLabel.text
    assert not pretrain.ui.scanButton.isEnabled()


@pytest.mark.parametrize(("files", "words"), [
    ((), "it is empty"), (("a.docx", "b.pdf"), "holds no scan"), (("scans.zip",), "Unpack the archive first"),
    (("labels/a.nii.gz",), "Put the scans beside the label maps")], ids=["empty", "documents", "archive", "labels"])
def test_a_folder_without_scans(pretrain, tmp_path, files, words):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    scan_folder(pretrain, folder)
    assert said(words) in pretrain.ui.messageLabel.text
    assert pretrain.widget.pretraining.data.inspection is None


def test_labels_that_do_not_match_and_files_that_are_damaged_are_reported_in_the_table(pretrain, tmp_path, pictures):
    folder = write_hearts(tmp_path / "scans", cases=4, labelled=3)
    labels = heart(0)[1]
    smaller = Volume(np.ascontiguousarray(labels.voxels[:, :40]), labels.affine)
    (folder / "labels" / "p00.nii.gz").unlink()
    write_volume(smaller, folder / "labels" / "p00.nii.gz")
    (folder / "images" / "p03.nii.gz").write_bytes(b"no scan at all")
    scan_folder(pretrain, folder)
    problems = cells(pretrain.ui.caseTable, "Problem")
    assert "the label map has 48 x 40 x 4 voxels, the scan 48 x 48 x 4" in problems[0]
    assert "the scan cannot be used" in problems[1]
    assert problems[2:] == ["", ""]
    assert cells(pretrain.ui.caseTable, "Case") == ["p00", "p03", "p01", "p02"]  # what is wrong stands first
    reported = pretrain.ui.problemsLabel.text
    assert "p00: the label map has 48 x 40 x 4 voxels, the scan 48 x 48 x 4. Resample it onto the voxels" in reported
    assert "p03: the scan cannot be used" in reported
    assert "their labels do not match the scan: 2. Fix them, then scan the folder again." in reported
    assert "Labelled scans: 2." in pretrain.ui.understoodLabel.text  # p00's cannot be used
    pictures(pretrain, "pretrain-data-problems")


def _three_numbers_per_voxel(folder):
    import SimpleITK

    write_hearts(folder, cases=2, labelled=2)
    picture = SimpleITK.GetImageFromArray(np.zeros((4, 8, 8, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(picture, str(folder / "images" / "colours.nrrd"))
    return folder


def _only_the_images(folder):
    return write_hearts(folder, cases=2, labelled=2) / "images"


def _no_partner(folder):
    write_hearts(folder, cases=2, labelled=2)
    (folder / "labels" / "p01.nii.gz").rename(folder / "labels" / "q07.nii.gz")
    return folder


def _label_map_among_images(folder):
    write_hearts(folder, cases=2, labelled=2)
    write_volume(heart(1)[1], folder / "images" / "p01_seg.nii.gz")
    return folder


def _file_per_structure(folder):
    for name in ("s1", "s2"):
        write_volume(heart(ord(name[1]))[0], folder / name / "mr.nii.gz")
        for structure in ("aorta", "liver"):
            write_volume(heart(1)[1], folder / name / "segmentations" / f"{structure}.nii.gz")
    return folder


def _one_scan_as_two_patients(folder):
    write_hearts(folder, cases=2, labelled=2)
    (folder / "images" / "p01.nii.gz").write_bytes((folder / "images" / "p00.nii.gz").read_bytes())
    return folder


def _two_modalities(folder):
    write_hearts(folder, cases=2, labelled=2)
    body = np.full((4, 48, 48), -1000, np.int16)
    body[:, 8:-8, 8:-8] = np.random.default_rng(0).integers(-50, 90, (4, 32, 32))
    write_volume(Volume(body, heart(0)[0].affine), folder / "images" / "ct.nii.gz")
    return folder


@pytest.mark.parametrize(("make", "problem", "way_out"), [
    (_three_numbers_per_voxel, "colours: the scan cannot be used", "Fix them, then scan the folder again"),
    (_only_the_images, "a folder labels lies beside this one", "to use it"),
    (_no_partner, "1 label map without a scan: labels/q07.nii.gz", "Name each like its scan"),
    (_label_map_among_images, "1 label map among the images", "Put label maps into the folder labels"),
    (_file_per_structure, "is one of several masks of its scan", "Keep one label map per scan"),
    (_one_scan_as_two_patients, "a leak from training to test: p00, p01", "Keep one of them"),
    (_two_modalities, "mixed modalities", "Put each kind into a folder of its own")])
def test_a_folder_that_was_not_meant_so_is_reported_with_the_way_out(pretrain, tmp_path, make, problem, way_out):
    scan_folder(pretrain, make(tmp_path / "scans"))
    reported = pretrain.ui.problemsLabel.text
    assert pretrain.ui.problemsLabel.isVisible(), pretrain.ui.messageLabel.text
    assert problem in reported
    assert way_out in reported


def test_a_case_is_opened_by_a_double_click_and_replaces_the_one_before(pretrain, hearts):
    scan_folder(pretrain, hearts)
    mine = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5)), name="mine")
    open_ = pretrain.widget.pretraining.data._onOpen
    open_(0, 0)
    open_(1, 0)
    names = sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    assert names == ["mine", "p01"]
    segmentation = slicer.util.getNode("p01 reference")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert mine.GetScene() is not None
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID()).GetName() == "p01"


def test_masks_of_structures_are_shown_as_one_reference(pretrain, tmp_path):
    """A case whose structures are drawn each in a file of its own opens with a segment for each."""
    for name in ("s1", "s2"):
        scan, labels = heart(1 if name == "s1" else 2)
        write_volume(scan, tmp_path / "scans" / name / "ct.nii.gz")
        for structure, value in (("cavity", 3), ("wall", 2)):
            mask = Volume((labels.voxels == value).astype(np.uint8), labels.affine)
            write_volume(mask, tmp_path / "scans" / name / "segmentations" / f"{structure}.nii.gz")
    scan_folder(pretrain, tmp_path / "scans")
    inspection = pretrain.widget.pretraining.data.inspection
    assert inspection.labelNames == {"1": "cavity", "2": "wall"}
    assert [sorted(case.values) for case in inspection.labelled] == [["1", "2"]] * 2
    pretrain.widget.pretraining.data._onOpen(1, 0)
    segmentation = slicer.util.getNode("s2 reference")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2



def test_what_was_made_of_an_opened_case_stays_when_the_next_is_opened(pretrain, hearts):
    """Somebody corrects the reference, or segments the scan, before looking at the next case."""
    scan_folder(pretrain, hearts)
    open_ = pretrain.widget.pretraining.data._onOpen
    open_(0, 0)
    scan, reference = slicer.util.getNode("p00"), slicer.util.getNode("p00 reference")
    drawn = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
    drawn[1, 3:9, 3:9] = 1
    segment = reference.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, reference, segment, scan)
    open_(1, 0)
    assert reference.GetScene() is not None
    found = slicer.util.arrayFromSegmentBinaryLabelmap(reference, segment, scan)
    np.testing.assert_array_equal(found, drawn)
    assert scan.GetScene() is not None  # what the correction belongs to
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.SetReferenceImageGeometryParameterFromVolumeNode(slicer.util.getNode("p01"))
    open_(2, 0)
    open_(3, 0)
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode")}
    assert {"p00", "p00 reference", "p01", "mine", "p03", "p03 reference"} <= names
    assert not {"p01 reference", "p02", "p02 reference"} & names


def test_an_example_is_generated_where_there_are_no_scans(pretrain, tmp_path):
    host.dialogs().answer(str(tmp_path))
    host.click(pretrain.ui.exampleButton)
    part = pretrain.widget.pretraining.data
    host.wait_until(lambda: part.inspection is not None or pretrain.ui.messageLabel.text)
    host.wait_until(lambda: not part.isScanning, progress=cpu_time)
    assert "Scans: 16. Patients: 16." in pretrain.ui.understoodLabel.text
    assert "3 left ventricular cavity" in pretrain.ui.understoodLabel.text


def test_no_path_and_no_patient_goes_into_the_scene(pretrain, hearts):
    scan_folder(pretrain, hearts)
    node = pretrain.logic.getParameterNode()
    kept = [node.GetParameter(name) for name in node.GetParameterNames()]
    assert not [text for text in kept if "/" in text or "p00" in text]


def test_without_the_packages_the_panel_asks_for_the_set_up(makePretrain, hearts):
    class Missing(ReadySetup):
        ready = False

    module = makePretrain(Missing)
    assert module.ui.setUpFrame.isVisible()
    assert "PyTorch is missing" in module.ui.setUpLabel.text
    choose_folder(module, hearts)
    host.click(module.ui.scanButton)
    assert module.widget.pretraining.setup.asked == 1
    assert not module.widget.pretraining.data.isScanning


def test_a_second_scan_of_a_folder_keeps_what_it_found(pretrain, makePretrain, hearts):
    """Also on another day: the history of the path edit knows the folder, and tells of it again."""
    for module in (pretrain, pretrain):
        scan_folder(module, hearts)
        assert "Scans: 6. Patients: 6." in module.ui.understoodLabel.text
        assert module.widget.pretraining.data.split is not None
    pretrain.unload()
    again = makePretrain()
    assert again.ui.dataPath.currentPath == str(hearts)
    host.click(again.ui.scanButton)
    part = again.widget.pretraining.data
    host.wait_until(lambda: not part.isScanning, "the scan of the folder", progress=cpu_time)
    host.pump(20)
    assert "Scans: 6. Patients: 6." in again.ui.understoodLabel.text


def test_scanning_another_folder_and_back_leaves_the_right_one_in_the_settings(pretrain, hearts, tmp_path):
    """While the history is put in order the other folder stands in the field for a moment."""
    other = write_hearts(tmp_path / "other", cases=2, labelled=2)
    for folder in (hearts, other):
        scan_folder(pretrain, folder)
    pretrain.ui.dataPath.comboBox().setCurrentIndex(1)  # behind the arrow
    settle(pretrain)
    host.click(pretrain.ui.scanButton)
    part = pretrain.widget.pretraining.data
    host.wait_until(lambda: not part.isScanning, "the scan of the folder", progress=cpu_time)
    host.pump(20)
    assert "Scans: 6. Patients: 6." in pretrain.ui.understoodLabel.text
    assert part.folder == qt.QSettings().value("KAFPretrain/DataFolder") == str(hearts)


def test_an_emptied_path_takes_what_was_known_of_the_folder_away(pretrain, hearts):
    scan_folder(pretrain, hearts)
    host.type_text(pretrain.ui.dataPath.comboBox().lineEdit(), "x")
    host.press_key(pretrain.ui.dataPath.comboBox().lineEdit(), qt.Qt.Key_Backspace)
    host.wait_until(lambda: pretrain.ui.understoodLabel.text == "Choose a folder of scans to begin.")
    assert not pretrain.ui.scanButton.isEnabled()
    assert not pretrain.ui.pretrainStartButton.isEnabled()
    assert pretrain.widget.pretraining.data.inspection is None
