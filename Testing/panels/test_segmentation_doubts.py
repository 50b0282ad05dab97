"""What is doubtful about a scan and a model stands above Apply, and Apply asks."""

import csv
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from segmentation_panel import MODULE, add_scan, press, run, wait_for_run

import host
from kaf.imaging.volume import Volume

LOOKS = "This scan looks like CT, but tiny was made for MR: do not trust the result."
STATED = "This scan is CT, as its DICOM header says, but tiny was made for MR: do not trust the result."


def thorax(heart):
    """Air around soft tissue with a bone, in Hounsfield numbers."""
    voxels = np.full(heart.voxels.shape, -1000, np.int16)
    voxels[:, 12:52, 12:52] = np.random.default_rng(0).integers(-80, 90, (len(voxels), 40, 40))
    voxels[:, 20:26, 20:26] = 700
    return Volume(voxels, heart.affine)


@pytest.fixture
def ct(panel, heart):
    node = add_scan(thorax(heart), "Thorax")
    host.choose(panel.ui.inputSelector, "Thorax")
    return node


def results():
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_it_stands_there_before_apply_and_goes_with_the_scan(panel, ct, heart, pictures):
    assert panel.ui.suitabilityFrame.isVisible()
    assert panel.ui.suitabilityLabel.text == LOOKS
    assert panel.ui.applyButton.enabled
    pictures(panel, "segmentation-doubt")
    add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    assert not panel.ui.suitabilityFrame.isVisible()
    host.choose(panel.ui.inputSelector, "Thorax")
    assert panel.ui.suitabilityLabel.text == LOOKS


def test_apply_asks_once(panel, ct, pictures):
    def cancel(box):
        pictures(box, "segmentation-doubt-question")
        assert box.defaultButton().text.replace("&", "") == "Cancel"
        return press("Cancel")(box)

    host.dialogs().answer(cancel)
    host.click(panel.ui.applyButton)
    assert host.dialogs().texts() == [f"{LOOKS}\n\nSegment the scan anyway?"]
    assert panel.ui.applyButton.text == "Apply"
    assert results() == []
    host.dialogs().answer(press("Segment anyway"))
    node = run(panel)
    assert results() == [node]
    assert panel.widget.segmentation.message.level == "warning"
    assert "looks like CT" not in panel.ui.messageLabel.text  # it stands above
    run(panel)
    assert len(host.dialogs().shown) == 2


def test_another_scan_is_asked_about_anew(panel, ct, heart):
    host.dialogs().answer(press("Segment anyway"))
    run(panel)
    add_scan(thorax(heart), "Second thorax")
    host.choose(panel.ui.inputSelector, "Second thorax")
    host.dialogs().answer(press("Cancel"))
    host.click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Apply"


def test_a_scan_that_fits_is_not_asked_about(panel, scan):
    run(panel)
    assert host.dialogs().shown == []


def test_nobody_is_asked_in_tests(panel, ct):
    host.set_testing(True)
    try:
        node = run(panel)
    finally:
        host.set_testing(False)
    assert results() == [node]
    assert panel.ui.suitabilityLabel.text == LOOKS


def tell_by_tree(node):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    tree.SetItemAttribute(tree.GetItemByDataNode(node), "DICOM.Modality", "CT")


def tell_by_units(node):
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueUnits(units)


def tell_by_database(node):
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")

    class Database:
        isOpen = True

        def instanceValue(self, instance, tag):
            return {("1.2.3", "0008,0060"): "CT"}[instance, tag]

    slicer.dicomDatabase = Database()


@pytest.mark.parametrize("tell", [tell_by_tree, tell_by_units, tell_by_database])
def test_what_the_scan_is_said_to_be_counts_more_than_its_voxels(panel, heart, tell):
    node = add_scan(heart)
    try:
        tell(node)
        host.choose(panel.ui.inputSelector, "Heart")
        assert panel.ui.suitabilityLabel.text == STATED
        host.dialogs().answer(press("Segment anyway"))
        answers = []
        write, logic = panel.logic._write, panel.logic
        logic._write = lambda run, answer: (answers.append(answer), write(run, answer))
        host.click(panel.ui.applyButton)
        wait_for_run(panel)
        assert answers[0]["warnings"] == [STATED]  # the worker says the same
    finally:
        vars(slicer).pop("dicomDatabase", None)


def test_all_that_is_doubtful_is_reported(panel, heart):
    affine = heart.affine.copy()
    affine[:3, 2] *= 3
    add_scan(Volume(thorax(heart).voxels, affine), "Far")
    host.choose(panel.ui.inputSelector, "Far")
    panel.ui.flipsCheckBox.checked = True
    text = panel.ui.suitabilityLabel.text
    assert LOOKS in text
    assert "mm apart; tiny was made for about 8.0 mm." in text
    assert "tiny has not learned from mirrored scans" in text
    panel.ui.flipsCheckBox.checked = False
    assert "mirrored" not in panel.ui.suitabilityLabel.text


def test_scripts_can_ask(panel, ct, scan):
    settings = {"model": "tiny", "threads": 1}
    assert panel.logic.suitabilityWarnings(ct, settings) == (LOOKS,)
    assert panel.logic.suitabilityWarnings(scan, settings) == ()
    assert panel.logic.process(ct, settings).warnings == [LOOKS]


def test_the_batch_example_writes_it_into_the_table(library, heart, tmp_path):
    import SimpleITK as sitk

    (tmp_path / "scans").mkdir()
    image = sitk.GetImageFromArray(thorax(heart).voxels)
    image.SetSpacing([3.0, 3.0, 8.0])
    sitk.WriteImage(image, str(tmp_path / "scans" / "ct.nii.gz"))
    script = MODULE / "Resources" / "batch" / "segment_folder.py"
    folders = str(tmp_path / "scans"), str(tmp_path / "out")
    done = subprocess.run([sys.executable, str(script), *folders, "--model", "tiny"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert LOOKS in done.stderr
    with (tmp_path / "out" / "volumes.csv").open(encoding="utf-8") as file:
        assert {row["problem"] for row in csv.DictReader(file)} == {LOOKS}


def test_a_line_of_doubt_is_read_as_it_is_written(panel, ct):
    assert panel.ui.suitabilityLabel.textFormat == qt.Qt.PlainText
