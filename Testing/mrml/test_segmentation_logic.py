"""Segmentation through the worker gives what the backend gives, on every grid; and undo, regions, time points."""

import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
import slicer
from made_models import LABELS, RUN, moved, stored, turned
from mrml_nodes import segment_array, segments, transform_node, volume_node

from kaf.imaging.volume import Volume
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.events import Progress
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment

SETTINGS = {"model": "tiny", **RUN}


@pytest.fixture(scope="module")
def heart():
    return cardiac_phantom(3, slices=4, size=64, spacing=3.0)[0]


def grids(heart):
    return {
        "as scanned": heart,
        "flipped": stored(heart, (0, 1, 2), (True, False, True)),
        "permuted": stored(heart, (2, 0, 1), (False, True, False)),
        "oblique": Volume(heart.voxels, turned() @ heart.affine),
        "anisotropic": Volume(heart.voxels, heart.affine @ np.diag([1.0, 1.4, 1.0, 1.0])),
    }


@pytest.mark.parametrize("name", ["as scanned", "flipped", "permuted", "oblique", "anisotropic"])
def test_same_labels_as_the_backend(logic, heart, library, name):
    scan = grids(heart)[name]
    node = volume_node(scan.voxels, scan.affine)
    node.SetAndObserveTransformNodeID(transform_node(turned(35)).GetID())
    model = str(library / "kaf" / "models" / "tiny.safetensors")
    expected = segment(Volume(scan.voxels, scan.affine), SegmentSettings(**{**SETTINGS, "model": model}))
    result = logic.process(node, SETTINGS)
    assert result.segmentationNode.GetTransformNodeID() == node.GetTransformNodeID()
    assert sum((expected.labels.voxels == label.value).any() for label in LABELS) >= 2
    for label in LABELS:
        found = segment_array(result.segmentationNode, label.name, node)
        np.testing.assert_array_equal(found, expected.labels.voxels == label.value)
        assert result.volumes[label.name] == pytest.approx(expected.volumes_ml[label.value])
    assert set(result.seconds) >= {"load", "prepare", "network"}


def test_a_region_is_meant_where_it_is_seen(logic, heart, scene):
    """A region drawn in the world on a volume under a transform limits the labels to that place."""
    node = volume_node(heart.voxels, heart.affine)
    whole = logic.process(node, SETTINGS).segmentationNode
    shift = np.eye(4)
    shift[:3, 3] = 100, -50, 30
    node.SetAndObserveTransformNodeID(transform_node(shift).GetID())
    corners = (heart.affine @ [[0, 32], [0, 64], [-1, 4], [1, 1]])[:3]
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    roi.SetCenter(*(corners.mean(1) + shift[:3, 3]))
    roi.SetSize(*np.abs(corners[:, 1] - corners[:, 0]))
    part = logic.process(node, SETTINGS, roiNode=roi).segmentationNode
    node.SetAndObserveTransformNodeID(None)
    part.SetAndObserveTransformNodeID(None)
    for label in LABELS:
        expected = segment_array(whole, label.name, node)
        expected[:, :, 33:] = False
        np.testing.assert_array_equal(segment_array(part, label.name, node), expected)


def test_progress_and_maps(logic, heart):
    node, seen = volume_node(heart.voxels, heart.affine), []
    result = logic.process(node, {**SETTINGS, "uncertainty": True, "batch": 1}, onEvent=seen.append)
    steps = [event for event in seen if isinstance(event, Progress)]
    assert (steps[-1].done, steps[-1].total) == (4, 4)
    found = result.maps["uncertainty"]
    assert found.GetName() == "Heart uncertainty"
    voxels = slicer.util.arrayFromVolume(found)
    assert voxels.dtype == np.float32
    assert voxels.shape == heart.voxels.shape
    assert 0 <= voxels.min() < voxels.max() <= 1


def test_undo_puts_the_segments_back(logic, heart):
    node = volume_node(heart.voxels, heart.affine)
    assert not logic.canUndo()
    first = logic.process(node, SETTINGS).segmentationNode
    before = {name: segment_array(first, name, node) for name in segments(first)}
    asked = []
    logic.beforeWrite.append(asked.append)
    other = volume_node(heart.voxels[:, ::-1], heart.affine, "Other")
    logic.process(other, SETTINGS, first, otherScan=True)
    logic.beforeWrite.clear()
    assert asked == [first]
    changed = {name: segment_array(first, name, node) for name in segments(first)}
    assert any((changed[name] != before[name]).any() for name in before)
    assert logic.canUndo()
    logic.undo()
    for name in before:
        np.testing.assert_array_equal(segment_array(first, name, node), before[name])
    assert not logic.canUndo()


def test_a_missing_model_and_a_bad_input_are_reported(logic, heart):
    with pytest.raises(ModelError, match="model 'nothing': is not in the library"):
        logic.process(volume_node(heart.voxels, heart.affine), {**SETTINGS, "model": "nothing"})
    with pytest.raises(InputError, match="Scan: none is selected"):
        logic.process(None, SETTINGS)


@pytest.fixture
def cine(scene, heart):
    """Three time points, the second one mirrored, the third as the first; and their browser."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    for time, voxels in enumerate((heart.voxels, moved(heart.voxels, (0, 1, 2), (False, True, False)),
                                   heart.voxels)):
        frame = volume_node(voxels, heart.affine, f"frame {time}")
        sequence.SetDataNodeAtValue(frame, str(40 * time))
        scene.RemoveNode(frame)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Cine browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser, browser.GetProxyNode(sequence)


def test_every_time_point_gets_its_own_segments(logic, cine):
    browser, volume = cine
    seen = []
    result = logic.process(volume, SETTINGS, allFrames=True, onEvent=seen.append)
    shown = {}
    for index in range(3):
        browser.SetSelectedItemNumber(index)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        shown[index] = np.stack([segment_array(result.segmentationNode, label.name, volume) for label in LABELS])
    assert shown[0].any()
    np.testing.assert_array_equal(shown[0], shown[2])
    assert (shown[0] != shown[1]).any()
    kept = browser.GetSequenceNode(result.segmentationNode)
    assert [kept.GetNthIndexValue(index) for index in range(3)] == ["0", "40", "80"]
    steps = [event for event in seen if isinstance(event, Progress)]
    assert steps[-1].stage == "time point 3 of 3"
    assert steps[-1].done == pytest.approx(3)


def test_without_asking_only_the_shown_time_point(logic, cine):
    browser, volume = cine
    result = logic.process(volume, SETTINGS)
    assert browser.GetSequenceNode(result.segmentationNode) is None


def test_a_time_point_lands_where_it_was_taken(logic, cine, heart):
    """The second time point lies 20 mm off, as after a breath; the first is shown while it is segmented."""
    browser, volume = cine
    shift = np.eye(4)
    shift[2, 3] = 20
    frame = browser.GetSequenceNode(volume).GetNthDataNode(1)
    frame.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(shift @ heart.affine))
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    result = logic.process(volume, SETTINGS, allFrames=True)
    expected = logic.process(volume_node(slicer.util.arrayFromVolume(frame), shift @ heart.affine, "Alone"), SETTINGS)
    browser.SetSelectedItemNumber(1)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    for label in LABELS:
        found = segment_array(result.segmentationNode, label.name, volume)
        assert found.any()
        np.testing.assert_array_equal(found, segment_array(expected.segmentationNode, label.name, volume))


def test_a_result_that_cannot_be_written_leaves_no_empty_one(logic, heart, monkeypatch):
    node = volume_node(heart.voxels, heart.affine)
    library = type(logic).__module__.partition(".")[0]
    writer = sys.modules[f"{library}.scene.SegmentationWriter"].SegmentationWriter

    def full(*_):
        raise RuntimeError("no memory")

    monkeypatch.setattr(writer, "_import", full)
    with pytest.raises(RuntimeError, match="no memory"):
        logic.process(node, SETTINGS)
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
