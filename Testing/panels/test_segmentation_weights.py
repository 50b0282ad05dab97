"""Pretrained weights know no structure: they are not offered for segmentation, but for what they can do."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from made_models import tiny_model
from segmentation_panel import segment_array, segments

import host
from kaf.runtime.errors import KafError

LISTED = "bim (pretrained weights)"
REGIONS = "Unsupervised clusters"


@pytest.fixture
def weights(library):
    """Weights without labels but with clusters; their name comes before that of the model."""
    path = tiny_model(library / "bim.safetensors", labels=(), network={"clusters": 4}, name="bim")
    yield path
    path.unlink()


@pytest.fixture
def opened(weights, panel, scan):
    """The panel with a scan and these weights chosen."""
    host.choose(panel.ui.modelComboBox, LISTED)
    return panel


def test_a_model_that_segments_is_chosen_before_them(weights, panel, scan):
    combo = panel.ui.modelComboBox
    assert [combo.itemText(row) for row in range(combo.count)] == ["tiny", LISTED]
    panel.leave()
    panel.logic.getParameterNode().modelName = ""
    panel.show()
    assert combo.currentText == "tiny"
    assert panel.ui.applyButton.enabled


def test_apply_says_why_it_cannot_be_pressed(opened, pictures):
    ui = opened.ui
    assert not ui.applyButton.enabled
    assert ui.forecastLabel.text == (
        "'bim': these are pretrained weights, which cannot segment yet. Choose another model to segment, or teach them "
        "a new structure under Correct and adapt.")
    assert ui.applyButton.toolTip == ui.forecastLabel.text
    assert not ui.messageFrame.visible  # nothing is wrong
    assert ui.modelLineLabel.text.startswith("Pretrained weights: they cannot segment")
    pictures(opened, "weights-chosen")
    host.choose(ui.modelComboBox, "tiny")
    assert ui.applyButton.enabled
    assert ui.forecastLabel.text.startswith("Will take")


def test_they_show_their_regions_but_no_uncertainty(opened):
    ui = opened.ui
    ui.attentionSection.collapsed = False
    host.pump()
    with pytest.raises(host.NotClickable):
        host.choose(ui.viewComboBox, "Uncertainty of the result")
    host.choose(ui.viewComboBox, REGIONS)
    part = opened.widget.segmentation.attention
    host.wait_until(lambda: part._ticket is None, "the answer of the worker")
    assert part.overlay.isShown()
    assert len(np.unique(slicer.util.arrayFromVolume(part.overlay._node))) > 1
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_they_learn_a_structure_from_nothing(opened, scan):
    ui = opened.ui
    ui.adaptSection.collapsed = False
    ui.trainGroupBox.collapsed = False
    ui.adaptSecondsSlider.value = 1
    host.pump()
    assert ui.adaptForecastLabel.text == \
        "Pretrained weights: press Add structure and draw it on about three slices."
    assert not ui.adaptButton.enabled
    host.click(ui.nextSliceButton)
    assert "draw the structure here if it is visible" in ui.adaptMessageLabel.text
    host.click(ui.newStructureButton)
    node = ui.outputSelector.currentNode()
    (key,) = segments(node).values()
    drawn = np.zeros((4, 64, 64), np.uint8)
    drawn[1:3, 20:40, 20:40] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, key, scan)
    assert ui.adaptButton.enabled
    host.click(ui.adaptButton)
    host.wait_until(lambda: ui.adaptButton.text == "Train", "the end of learning")
    assert ui.adaptMessageLabel.text.startswith("Learned from 2 slices"), ui.adaptMessageLabel.text
    found = segment_array(node, "New structure", scan)
    np.testing.assert_array_equal(found[1:3], drawn[1:3] > 0)
    assert not ui.applyButton.enabled  # the weights themselves are as they were


def test_their_own_structures_cannot_be_corrected(opened, scan):
    """Another model's segmentation is there, but these weights know none of its structures."""
    ui = opened.ui
    node = opened.logic.process(scan, {"model": "tiny", "device": "cpu"}).segmentationNode
    ui.adaptSection.collapsed = False
    host.choose(ui.outputSelector, node.GetName())
    assert not ui.adaptButton.enabled
    assert "Pretrained weights" in ui.adaptButton.toolTip
    with pytest.raises(KafError, match="these are pretrained weights, which cannot segment yet"):
        opened.logic.adapt(scan, node, {"model": "bim", "slices": [1]})


def test_scripts_are_recognised_by_the_backend(opened, scan):
    with pytest.raises(KafError, match="holds pretrained weights only, which cannot segment yet"):
        opened.logic.process(scan, {"model": "bim", "device": "cpu"})
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
