"""Fixtures for the tests on Slicer's real MRML: a scene, a tiny model in a private library, made-up volumes."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

TESTING = Path(__file__).resolve().parents[1]
for folder in (TESTING, TESTING / "backend", TESTING.parent / "KAFSegmentation"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import host  # noqa: E402

host.start()

import slicer  # noqa: E402
from made_models import tiny_model  # noqa: E402


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A user's data folder with the model ``tiny`` in its library."""
    home = tmp_path_factory.mktemp("home")
    (home / "kaf" / "models").mkdir(parents=True)
    tiny_model(home / "kaf" / "models" / "tiny.safetensors")
    return home


@pytest.fixture(scope="module")
def logic(library):
    """The logic with one warm worker for the tests of a file."""
    from KAFSegmentationLib import PlainSetup, SegmentationLogic

    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(library)
    made = SegmentationLogic(PlainSetup(sys.executable))
    yield made
    made.close()
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(autouse=True)
def scene():
    host.close_scene()
    host.take_errors()
    yield slicer.mrmlScene
    host.check_errors()
    host.close_scene()


def volume_node(voxels, affine=None, name="Heart"):
    """A scalar volume in the scene."""
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4) if affine is None else affine))
    return node


def transform_node(matrix, name="Moved"):
    """A linear transform in the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
    return node


def segments(node):
    """Segment id by name."""
    segmentation = node.GetSegmentation()
    return {segmentation.GetSegment(key).GetName(): key for key in segmentation.GetSegmentIDs()}


def segment_array(node, name, volume):
    """A segment on the grid of a volume, bool (slice, row, column)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segments(node)[name], volume).astype(bool)
