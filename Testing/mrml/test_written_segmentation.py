"""A segmentation file of KAF's as Slicer itself reads it."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="the test host is not installed")

import slicer
from scan_files import scan

from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_labels

LABELS = (Label(1, "Aorta", (200, 30, 41)), Label(3, "Liver", (0, 128, 255)), Label(7, "Tumour: left", (255, 255, 0)))


def test_segments_of_any_values_have_their_names_colours_and_voxels(tmp_path):
    voxels = np.array([0, 1, 3, 7], np.uint8)[scan() % 4]
    affine = np.array([[-0.5, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
    write_labels(tmp_path / "a.seg.nrrd", Volume(voxels, affine), LABELS)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "a.seg.nrrd"))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(LABELS)
    for number, label in enumerate(LABELS):
        segment = segmentation.GetNthSegment(number)
        assert segmentation.GetNthSegmentID(number) == f"Segment_{label.value}"
        assert segment.GetName() == label.name
        assert segment.GetLabelValue() == label.value
        np.testing.assert_allclose(segment.GetColor(), np.array(label.colour) / 255, atol=1e-6)
        shared = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, f"Segment_{label.value}")
        np.testing.assert_array_equal(shared == segment.GetLabelValue(), voxels == label.value)
