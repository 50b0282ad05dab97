"""Labels become segments where they belong, beside what is there."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
import slicer
import vtk
from made_models import turned
from mrml_nodes import segment_array, segments, transform_node, volume_node

from kaf.runtime.errors import InputError
from KAFSegmentationLib import SegmentationWriter

LABELS = [
    {"value": 2, "name": "LV cavity", "colour": (241, 214, 145),
     "terminology": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
                    "~SCT^87878005^Left ventricle~^^~Anatomic codes - DICOM master list~^^~^^"},
    {"value": 7, "name": "myocardium", "colour": (230, 103, 91), "terminology": ""},
]


def some_labels(shape=(5, 12, 10)):
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 2:6, 1:5] = 2
    labels[1:3, 6:11, 2:9] = 7
    return labels


GRIDS = {
    "plain": np.eye(4),
    "flipped": np.diag([-1.0, -1.0, 8.0, 1.0]),
    "anisotropic": np.diag([0.7, 2.5, 8.0, 1.0]),
    "oblique": turned() @ np.diag([1.5, 1.5, 8.0, 1.0]),
    "permuted and left-handed": np.array([[0, 0, 3.0, 5], [1.5, 0, 0, -7], [0, 1.2, 0, 2], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "under a transform"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_labels_are_the_same_voxels_and_share_the_transform(grid, moved):
    volume, labels = volume_node(np.zeros((5, 12, 10), np.float32), grid), some_labels()
    if moved:
        volume.SetAndObserveTransformNodeID(transform_node(turned(50)).GetID())
    node = SegmentationWriter(volume, "heart", LABELS).write(labels)
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    for label in LABELS:
        np.testing.assert_array_equal(segment_array(node, label["name"], volume), labels == label["value"])
    # Slicer's own idea of where it is, before and after the parent transform.
    centre = node.GetSegmentCenter(segments(node)["LV cavity"])
    kji = np.argwhere(labels == 2)
    middle = grid @ [*(kji.min(0) + kji.max(0))[::-1] / 2, 1]
    np.testing.assert_allclose(centre, middle[:3], atol=0.6 * np.linalg.norm(grid[:3, :3], axis=0).max())
    world = (turned(50) if moved else np.eye(4)) @ [*centre, 1]
    np.testing.assert_allclose(node.GetSegmentCenterRAS(segments(node)["LV cavity"]), world[:3], atol=1e-6)


def test_names_colours_and_terminology_come_from_the_card():
    node = SegmentationWriter(volume_node(np.zeros((5, 12, 10))), "heart", LABELS).write(some_labels())
    segment = node.GetSegmentation().GetSegment(segments(node)["LV cavity"])
    np.testing.assert_allclose(np.array(segment.GetColor()) * 255, LABELS[0]["colour"])
    tag = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), tag)
    assert "SCT^87878005^Left ventricle" in str(tag)


def test_reference_grid_place_in_the_study_and_a_free_name(scene):
    volume = volume_node(np.zeros((5, 12, 10)), GRIDS["oblique"])
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "Patient")
    study = tree.CreateStudyItem(patient, "Study")
    tree.SetItemParent(tree.GetItemByDataNode(volume), study)
    first = SegmentationWriter(volume, "heart", LABELS).write(some_labels())
    second = SegmentationWriter(volume, "heart", LABELS).write(some_labels())
    assert (first.GetName(), second.GetName()) == ("Heart segmentation", "Heart segmentation_1")
    for node in (first, second):
        assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study
        assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0


def test_other_segments_stay_and_own_ones_are_replaced():
    volume = volume_node(np.zeros((5, 12, 10)))
    node = SegmentationWriter(volume, "heart", LABELS).newNode()
    node.GetSegmentation().AddEmptySegment("mine", "LV cavity", (0.1, 0.2, 0.3))
    drawn = np.zeros((5, 12, 10), np.uint8)
    drawn[0:2, 0:5, 0:5] = 1  # overlaps what the model will find
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "mine", volume)
    SegmentationWriter(volume, "heart", LABELS).write(some_labels(), node)
    assert sorted(segments(node)) == ["LV cavity", "LV cavity 2", "myocardium"]
    again = np.roll(some_labels(), 1, axis=0)
    SegmentationWriter(volume, "heart", LABELS).write(again, node)
    assert sorted(segments(node)) == ["LV cavity", "LV cavity 2", "myocardium"]
    np.testing.assert_array_equal(segment_array(node, "LV cavity", volume), drawn.astype(bool))
    np.testing.assert_array_equal(segment_array(node, "LV cavity 2", volume), again == 2)
    np.testing.assert_array_equal(segment_array(node, "myocardium", volume), again == 7)
    SegmentationWriter(volume, "another", LABELS[:1]).write(again, node)
    assert sorted(segments(node)) == ["LV cavity", "LV cavity 2", "LV cavity 3", "myocardium"]


def test_into_a_segmentation_with_content_that_does_not_move_with_the_volume():
    volume = volume_node(np.zeros((5, 12, 10)))
    node = SegmentationWriter(volume, "heart", LABELS).write(some_labels())
    shift = np.eye(4)
    shift[:3, 3] = 2, 1, 1
    other = volume_node(np.zeros((5, 12, 10)), name="Moved heart")
    other.SetAndObserveTransformNodeID(transform_node(shift).GetID())
    SegmentationWriter(other, "another", LABELS[:1]).write(some_labels(), node)
    assert node.GetTransformNodeID() is None
    kji = np.argwhere(some_labels() == 2) + np.array([1, 1, 2])
    expected = np.zeros((9, 16, 16), bool)
    expected[tuple(kji.T)] = True
    world = volume_node(np.zeros((9, 16, 16)), name="World")
    np.testing.assert_array_equal(segment_array(node, "LV cavity 2", world), expected)


def test_a_segmentation_under_another_non_linear_transform_is_refused(scene):
    volume = volume_node(np.zeros((5, 12, 10)))
    node = SegmentationWriter(volume, "heart", LABELS).write(some_labels())
    warp = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp")
    warp.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(InputError, match="non-linear transform 'Warp'"):
        SegmentationWriter(volume, "another", LABELS).write(some_labels(), node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0


def test_a_shown_surface_is_made_again_and_none_is_made_unasked():
    volume = volume_node(np.zeros((5, 12, 10)))
    writer = SegmentationWriter(volume, "heart", LABELS)
    node = writer.write(some_labels())
    segmentation = node.GetSegmentation()
    assert not segmentation.ContainsRepresentation("Closed surface")
    node.CreateClosedSurfaceRepresentation()
    writer.write(np.roll(some_labels(), 1, axis=0), node)
    assert segmentation.ContainsRepresentation("Closed surface")
    surface = vtk.vtkPolyData()
    assert node.GetClosedSurfaceRepresentation(segments(node)["LV cavity"], surface)
    assert surface.GetCenter()[2] == pytest.approx(3, abs=0.1)  # of the new labels, slices 2 to 4


def test_a_structure_that_was_not_found_is_an_empty_segment():
    volume = volume_node(np.zeros((5, 12, 10)))
    node = SegmentationWriter(volume, "heart", LABELS).write(np.zeros((5, 12, 10), np.uint8))
    assert sorted(segments(node)) == ["LV cavity", "myocardium"]
    assert not segment_array(node, "myocardium", volume).any()
