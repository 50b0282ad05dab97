"""The synthetic hearts of Sample Data: offered as Slicer wants it, drawn in another Python, on the right voxels."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "KAFSegmentation"))

import host

host.start()

import SampleData  # noqa: E402
import slicer  # noqa: E402

from kaf.phantom.heart import cardiac_phantom  # noqa: E402
from kaf.runtime.errors import ResourceError  # noqa: E402
from KAFSegmentationLib.scene.SampleDataSources import SampleDataSources, registerSampleData  # noqa: E402


@pytest.fixture(autouse=True)
def freshScene():
    host.close_scene()
    host.take_errors()
    host.dialogs().clear()
    slicer.modules.sampleDataSources = {}
    yield
    slicer.modules.sampleDataSources = {}
    host.close_scene()


def sources(ready=True, **more):
    return SampleDataSources(SimpleNamespace(isReady=lambda: ready, python=lambda: sys.executable), **more)


def test_they_are_registered_as_slicer_wants_samples_without_an_address(monkeypatch):
    seen = []
    monkeypatch.setattr(SampleData.SampleDataLogic, "registerCustomSampleDataSource",
                        staticmethod(lambda **arguments: seen.append(arguments)))
    registerSampleData()
    assert [arguments["sampleName"] for arguments in seen] == ["KAFHeart", "KAFHeartWithTruth"]
    for arguments in seen:
        # SampleDataSource takes len() of each of them, and they must agree; None has no length.
        assert [arguments[name] for name in ("uris", "fileNames", "nodeNames", "loadFiles")] == [[], [], [], []]
        assert Path(arguments["thumbnailFileName"]).is_file()
        assert callable(arguments["customDownloader"])


def test_its_button_draws_it_and_its_name_alone_does_not():
    """Slicer's downloadSample goes by addresses, and these have none; a script calls `load`."""
    sources().register()
    volume, segmentation = host.press_sample("KAFHeartWithTruth")
    assert segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is volume
    with pytest.raises(IndexError):
        SampleData.downloadSample("KAFHeartWithTruth")


def test_a_heart_lies_in_the_scene_as_it_was_drawn():
    (volume,) = sources().load("KAFHeart")
    heart, _ = cardiac_phantom(0)
    assert np.array_equal(slicer.util.arrayFromVolume(volume), heart.voxels)
    assert np.array_equal(ijkToRas(volume), heart.affine)
    assert volume.GetName() == "KAFHeart"


def ijkToRas(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_the_true_structures_come_as_segments_on_the_same_voxels():
    volume, segmentation = sources().load("KAFHeartWithTruth")
    _, truth = cardiac_phantom(4)
    found = segmentation.GetSegmentation()
    names = [found.GetNthSegment(n).GetName() for n in range(found.GetNumberOfSegments())]
    assert names == ["right ventricular cavity", "left ventricular myocardium", "left ventricular cavity"]
    for value in (1, 2, 3):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, found.GetNthSegmentID(value - 1), volume)
        assert np.array_equal(mask > 0, truth.voxels == value)


def test_a_second_one_gets_a_name_of_its_own():
    names = [sources().load("KAFHeart")[0].GetName() for _ in range(2)]
    assert len(set(names)) == 2


def test_before_set_up_the_button_says_what_to_do_and_nothing_is_added():
    assert sources(ready=False).onClicked(SimpleNamespace(sampleName="KAFHeart")) == []
    assert "press Set up" in host.dialogs().texts()[-1]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    host.take_errors()


def test_a_python_that_fails_is_reported():
    broken = sources(interpreter=lambda path: SimpleNamespace(run=lambda *_: "crashed (SIGILL)"))
    with pytest.raises(ResourceError, match=r"could not be created \(crashed \(SIGILL\)\)"):
        broken.load("KAFHeart")
