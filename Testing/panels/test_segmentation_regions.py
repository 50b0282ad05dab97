"""The unsupervised clusters of a model: the backend's numbers in colours far from each other."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
import vtk
from made_models import tiny_model
from segmentation_panel import overlay, settle

import host
from kaf.imaging.volume import Volume
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment
from KAFSegmentationLib.scene.MapColors import lab, regionColors

REGIONS = "Unsupervised clusters"
COUNT = 5
GREY = 20  # how far the colours of a pixel of the scan may be apart


@pytest.fixture
def regions(panel, scan, library):
    """The panel with a scan, its attention section unfolded, and a model with clusters chosen."""
    path = tiny_model(library / "clustered.safetensors", network={"clusters": COUNT})
    panel.leave()
    panel.show()
    panel.ui.attentionSection.collapsed = False
    host.pump()
    host.choose(panel.ui.modelComboBox, "clustered")
    yield panel
    path.unlink()


def look(panel, view=REGIONS):
    host.choose(panel.ui.viewComboBox, view)
    settle(panel)


def shown(panel):
    return slicer.util.arrayFromVolume(overlay(panel)._node)


def expected(heart, library):
    settings = SegmentSettings(model=str(library / "clustered.safetensors"), clusters=True, threads=1, device="cpu")
    return segment(Volume(heart.voxels, heart.affine), settings).clusters.voxels


def red_pixels():
    host.pump(30)
    return host.pixels(slicer.app.layoutManager().sliceWidget("Red")).astype(int)


def red_index(array):
    """The slice of the scan that the red view shows."""
    offset = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceOffset()
    node, matrix = slicer.util.getNode("Heart"), vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    index = round(matrix.MultiplyPoint([0, 0, offset, 1])[2])
    assert 0 <= index < len(array)
    return index


def colored(pixels):
    return pixels.max(2) - pixels.min(2) > GREY


def test_the_backends_regions_are_seen_in_their_colors(regions, heart, library, pictures):
    ui = regions.ui
    before = red_pixels()
    look(regions)
    found = expected(heart, library)
    assert len(np.unique(found)) > 1
    assert shown(regions).dtype == np.uint8
    assert (shown(regions) == found).mean() > 0.999  # the worker may take another number of threads
    ui.opacitySlider.value = 1
    pixels = red_pixels()
    colors = {number: np.round(255 * np.array(color)).astype(int)
              for number, color in enumerate(regionColors(COUNT), start=1)}
    seen = {number: (np.abs(pixels - color).max(2) <= 2).sum() for number, color in colors.items()}
    inSlice = found[red_index(found)]
    for number, count in seen.items():
        assert (count > 0) == (number in inSlice), (number, count)
    area = colored(pixels) & ~colored(before)
    assert sum(seen.values()) > 0.95 * area.sum()  # no mixture of two colours: numbers are not interpolated
    assert area.mean() > 0.1
    ui.opacitySlider.value = 0.5
    window = host.main_window(regions)
    pictures(window, "attention-regions")
    window.hide()


def test_opacity_but_neither_threshold_nor_legend(regions):
    ui = regions.ui
    bare = red_pixels()
    ui.hideSlider.value = 0.9
    ui.legendCheckBox.checked = True
    look(regions)
    ui.opacitySlider.value = 0
    assert np.abs(red_pixels() - bare).max() <= 2  # no legend either
    ui.opacitySlider.value = 0.4
    faint = np.abs(red_pixels() - bare).sum()
    ui.opacitySlider.value = 1
    full = red_pixels()
    assert 0 < 2 * faint < np.abs(full - bare).sum()
    assert not ui.hideSlider.enabled
    assert not ui.legendCheckBox.enabled
    assert not ui.scaleComboBox.enabled
    assert not ui.keypointSlider.enabled
    points = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert not any(node.GetNumberOfControlPoints() for node in points)
    look(regions, "Uncertainty of the result")
    assert ui.hideSlider.enabled
    assert shown(regions).dtype == np.float32
    display = overlay(regions)._node.GetDisplayNode()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == pytest.approx((0.9, 1.0))
    assert display.GetInterpolate()
    assert (np.abs(red_pixels() - bare).sum(2) > 20).sum() > 300  # its legend


def test_the_users_own_foreground_comes_back(regions, heart):
    own = slicer.util.addVolumeFromArray(np.ascontiguousarray(heart.voxels[:, ::-1]), name="mine")
    slicer.util.setSliceViewerLayers(foreground=own, foregroundOpacity=0.3)
    before = red_pixels()
    look(regions)
    assert np.abs(red_pixels() - before).max() > 50
    look(regions, "Nothing")
    np.testing.assert_array_equal(red_pixels(), before)
    look(regions)
    regions.leave()
    np.testing.assert_array_equal(red_pixels(), before)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert (node.GetForegroundVolumeID(), node.GetForegroundOpacity()) == (own.GetID(), 0.3)
    regions.show()


def test_they_are_kept_as_a_label_map_that_looks_the_same_in_the_saved_scene(regions, tmp_path):
    look(regions)
    array = shown(regions).copy()
    host.click(regions.ui.exportButton)
    assert regions.ui.messageLabel.text.startswith("Added 'Heart clusters'. It is hidden")
    look(regions, "Nothing")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    host.close_scene()
    slicer.util.loadScene(str(path))
    kept = slicer.util.getNode("Heart clusters")
    assert kept.IsA("vtkMRMLLabelMapVolumeNode")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(kept), array)
    table = kept.GetDisplayNode().GetColorNode()
    assert [table.GetColorName(number) for number in (0, 1, COUNT)] == ["background", "cluster 1", f"cluster {COUNT}"]
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("Heart"), label=kept, labelOpacity=1)
    pixels = red_pixels()
    wanted = [255 * np.array(color) for color in regionColors(COUNT)]
    assert any((np.abs(pixels - color).max(2) <= 2).sum() > 20 for color in wanted)
    regions.leave()
    regions.show()


def test_a_model_without_them_says_why_not(regions):
    ui = regions.ui
    look(regions)
    host.choose(ui.modelComboBox, "tiny")
    assert ui.viewComboBox.currentText == "Nothing"
    assert not overlay(regions).isShown()
    assert ui.hintLabel.text.startswith("This model has no unsupervised clusters")
    row = ui.viewComboBox.findText(REGIONS)
    assert "pretrained with the method BIM" in ui.viewComboBox.itemData(row, qt.Qt.ToolTipRole)
    with pytest.raises(host.NotClickable):
        host.choose(ui.viewComboBox, REGIONS)
    host.choose(ui.modelComboBox, "clustered")
    look(regions)
    assert overlay(regions).isShown()
    assert "learned from unlabeled scans" in ui.viewComboBox.itemData(row, qt.Qt.ToolTipRole)


def test_scripts_get_them_too(regions, scan):
    result = regions.logic.process(scan, {"model": "clustered", "clusters": True, "device": "cpu"})
    node = result.maps["clusters"]
    assert node.GetName() == "Heart clusters"
    assert node.IsA("vtkMRMLLabelMapVolumeNode")
    assert set(np.unique(slicer.util.arrayFromVolume(node))) <= set(range(1, COUNT + 1))


@pytest.mark.parametrize(("count", "least"), [(9, 25), (20, 25), (64, 15), (255, 4)])
def test_colors_are_far_from_each_other_and_from_grey(count, least):
    colors = np.array(regionColors(count))
    assert colors.shape == (count, 3)
    places = lab(colors)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e3 * np.eye(count)
    assert distances.min() > least
    assert np.hypot(places[:, 1], places[:, 2]).min() > 20
