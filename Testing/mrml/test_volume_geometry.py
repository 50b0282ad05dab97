"""What may be segmented, and where it lies."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
import slicer
from made_models import turned
from mrml_nodes import transform_node, volume_node

from kaf.runtime.errors import InputError
from KAFSegmentationLib import VolumeGeometry


def refusal(node):
    with pytest.raises(InputError) as caught:
        VolumeGeometry(node).check()
    return str(caught.value)


def test_a_plain_scan_is_taken():
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = turned() @ np.diag([1.0, -2.0, 8.0, 1.0])
    geometry = VolumeGeometry(volume_node(voxels, affine))
    geometry.check()
    assert geometry.shape() == (2, 3, 4)
    np.testing.assert_array_equal(geometry.voxels(), voxels)
    np.testing.assert_allclose(geometry.affine(), affine, atol=1e-12)


def test_nothing_and_an_empty_volume_are_refused(scene):
    assert "Scan: none is selected" in refusal(None)
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    assert refusal(empty) == "Empty: this scan has no voxels. Load the scan again."


def test_a_label_map_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4), np.uint8))
    assert "Labels: this is a label map, not a scan" in refusal(node)


def test_a_colour_picture_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4, 3), np.uint8))
    assert "3 values per voxel" in refusal(node)
    assert "Vector to Scalar Volume" in refusal(node)


def test_one_slice_is_refused():
    assert "single 2-D image" in refusal(volume_node(np.zeros((1, 8, 8), np.float32)))


def test_a_non_linear_parent_is_refused_with_the_remedy(scene):
    node = volume_node(np.zeros((4, 8, 8), np.float32))
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Breathing")
    import vtk

    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for index in range(5):
        source.InsertNextPoint(index, index * index, -index)
        target.InsertNextPoint(index, index * index + 0.5, index)
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    warp.SetAndObserveTransformToParent(spline)
    outer = transform_node(np.eye(4))
    warp.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(warp.GetID())
    words = refusal(node)
    assert "non-linear transform 'Breathing'" in words
    assert "Harden transform" in words


def test_values_that_are_not_numbers_become_the_smallest():
    voxels = np.full((2, 3, 4), 5, np.float32)
    voxels[0, 0, 0], voxels[1, 1, 1], voxels[1, 2, 3] = np.nan, -3, np.inf
    node = volume_node(voxels)
    geometry = VolumeGeometry(node)
    fixed = geometry.voxels()
    assert fixed[0, 0, 0] == fixed[1, 2, 3] == -3
    assert geometry.warnings[0].startswith("2 voxels of the scan are NaN or infinite")
    assert np.isnan(slicer.util.arrayFromVolume(node)[0, 0, 0])  # the user's own scan stays as it is
    slicer.util.updateVolumeFromArray(node, np.full((2, 3, 4), np.nan, np.float32))
    with pytest.raises(InputError, match="every voxel of this scan is NaN or infinite"):
        geometry.voxels()


def test_the_key_changes_with_the_voxels_and_with_their_place():
    node = volume_node(np.zeros((2, 3, 4), np.float32))
    geometry = VolumeGeometry(node)
    keys = [geometry.key()]
    assert geometry.key() == keys[0]
    slicer.util.arrayFromVolume(node)[0] = 1
    slicer.util.arrayFromVolumeModified(node)
    keys.append(geometry.key())
    node.SetSpacing(2, 1, 1)
    keys.append(geometry.key())
    assert len(set(keys)) == 3


def test_points_and_regions_are_reported_in_the_frame_of_the_volume(scene):
    move = np.eye(4)
    move[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # a quarter turn
    move[:3, 3] = 10, 20, 30
    node = volume_node(np.zeros((4, 8, 8), np.float32))
    node.SetAndObserveTransformNodeID(transform_node(move).GetID())
    geometry = VolumeGeometry(node)
    np.testing.assert_allclose(geometry.toWorld((1, 2, 3)), (8, 21, 33))
    np.testing.assert_allclose(geometry.toLocal((8, 21, 33)), (1, 2, 3), atol=1e-12)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    with pytest.raises(InputError, match="has not been placed yet"):
        geometry.box(roi)
    roi.SetCenter(8, 21, 33)
    roi.SetSize(2, 4, 6)
    np.testing.assert_allclose(geometry.box(roi), (-1, 1, 0, 3, 3, 6), atol=1e-9)
