"""The overlays: what is asked, what is drawn, and that the user's views come back as they were."""

import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from segmentation_panel import add_scan, overlay, run, settle

import host
from kaf.imaging.volume import Volume
from kaf.settings.explain import ExplainSettings
from kaf.verbs.explain import explain

VIEWS = {"saliency": "Attention of the whole scan", "from": "Attention from a keypoint",
         "to": "Attention to a keypoint", "uncertainty": "Uncertainty of the result", "off": "Nothing"}


@pytest.fixture
def attention(panel, scan):
    """The panel with a scan and its attention section unfolded."""
    panel.ui.attentionSection.collapsed = False
    host.pump()
    return panel


def look(panel, view):
    """Chooses a view and waits for it."""
    host.choose(panel.ui.viewComboBox, VIEWS[view])
    settle(panel)


def drawn(panel):
    """Positions of the keypoints that are drawn, and of the chosen one, in RAS mm of the world."""
    nodes = panel.widget.segmentation.attention.keypoints._nodes
    arrays = [slicer.util.arrayFromMarkupsControlPoints(node, world=True) for node in nodes]
    return np.concatenate([array.reshape(-1, 3) for array in arrays[:-1]]), arrays[-1].reshape(-1, 3)


def expected(heart, library, **settings):
    values = {"model": str(library / "tiny.safetensors"), "threads": 1, **settings}
    return explain(Volume(heart.voxels, heart.affine), ExplainSettings(**values))


def foregrounds():
    return {node.GetID(): (node.GetForegroundVolumeID(), node.GetForegroundOpacity())
            for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}


def red_pixels():
    host.pump(30)
    return host.pixels(slicer.app.layoutManager().sliceWidget("Red")).astype(int)


def test_saliency_is_the_backends_and_is_seen(attention, heart, library, pictures):
    before = red_pixels()
    look(attention, "saliency")
    found = expected(heart, library)
    shown = slicer.util.arrayFromVolume(overlay(attention)._node)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, found.attention.voxels, atol=0.05)
    after = red_pixels()
    changed = np.abs(after - before).sum(2) > 60
    assert changed.mean() > 0.01
    hot = after[changed]
    assert hot[:, 0].mean() > hot[:, 2].mean()  # the warm colours of the scale
    window = host.main_window(attention)
    pictures(window, "attention-saliency")
    window.hide()


def test_the_strongest_keypoints_of_each_slice_are_drawn_and_locked(attention, heart, library):
    attention.ui.keypointSlider.value = 5
    look(attention, "saliency")
    found = expected(heart, library)
    points, chosen = drawn(attention)
    assert not len(chosen)
    wanted = []
    for index in np.unique(found.slices):
        members = np.flatnonzero(found.slices == index)
        wanted += list(members[np.argsort(-found.weights[members], kind="stable")[:5]])
    assert len(points) == len(wanted)
    heaviest = found.positions[wanted]
    nearest = np.linalg.norm(points[:, None] - heaviest[None], axis=2).min(1)
    assert np.median(nearest) < 1e-3
    for node in attention.widget.segmentation.attention.keypoints._nodes:
        assert node.GetLocked()
        assert not node.GetSaveWithScene()
    attention.ui.keypointSlider.value = 0
    assert not len(drawn(attention)[0])


def test_a_click_asks_the_nearest_keypoint(attention, heart, library, pictures):
    look(attention, "from")
    assert not overlay(attention).isShown()  # only the keypoints that can be clicked
    assert len(drawn(attention)[0])
    assert "Click in a slice" in attention.ui.hintLabel.text
    red = slicer.app.layoutManager().sliceWidget("Red")
    everything = expected(heart, library)
    offset = red.sliceLogic().GetSliceOffset()
    plane = np.abs(everything.positions[:, 2] - offset)
    target = everything.positions[np.flatnonzero(plane == plane.min())[3]]
    click = np.array([target[0] + 1.0, target[1] - 0.5, offset])
    host.click_view(red, click)
    settle(attention)
    point = attention.widget.segmentation.attention._asked.point
    np.testing.assert_allclose(point, click, atol=1.5)
    found = expected(heart, library, point=point, direction="from")
    chosen = drawn(attention)[1]
    np.testing.assert_allclose(chosen, [found.positions[found.chosen]], atol=1e-3)
    assert overlay(attention).isShown()
    sheet = found.sheet()
    np.testing.assert_allclose(slicer.util.arrayFromVolume(overlay(attention)._node), sheet.voxels, atol=0.05)
    window = host.main_window(attention)
    pictures(window, "attention-from")
    look(attention, "to")
    other = expected(heart, library, point=point, direction="to")
    np.testing.assert_allclose(slicer.util.arrayFromVolume(overlay(attention)._node), other.sheet().voxels, atol=0.05)
    pictures(window, "attention-to")
    window.hide()


def test_a_click_leaves_the_points_alone_until_the_answer(attention, heart):
    """Else every view would be drawn twice for a click, which takes longer than the answer."""
    look(attention, "from")
    part = attention.widget.segmentation.attention
    changes = []
    for node in part.keypoints._nodes:
        node.AddObserver("AnyEvent", lambda caller, name: changes.append(name))
    part.ask((heart.affine @ [20, 30, 1, 1])[:3])
    assert part._ticket is not None
    assert changes == []
    settle(attention)
    assert changes
    assert len(drawn(attention)[1]) == 1


def test_a_drag_is_no_click(attention):
    look(attention, "from")
    asked = attention.widget.segmentation.attention._asked
    clicks = attention.widget.segmentation.attention.clicks
    interactor = slicer.app.layoutManager().sliceWidget("Red").sliceView().interactor()
    interactor.SetEventInformation(100, 100, 0, 0)
    clicks._onPress(interactor, None)
    interactor.SetEventInformation(140, 100, 0, 0)
    clicks._onRelease(interactor, None)
    assert attention.widget.segmentation.attention._asked == asked


def test_it_lands_on_the_anatomy_under_a_transform(attention, scan, heart, library):
    shift = np.eye(4)
    shift[:3, 3] = 30, -20, 10
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    look(attention, "saliency")
    assert overlay(attention)._node.GetTransformNodeID() == transform.GetID()
    look(attention, "from")
    point = (heart.affine @ [30, 30, 1, 1])[:3]
    attention.widget.segmentation.attention.ask(point + shift[:3, 3])
    settle(attention)
    found = expected(heart, library, point=tuple(point), direction="from")
    np.testing.assert_allclose(drawn(attention)[1], [found.positions[found.chosen] + shift[:3, 3]], atol=1e-3)


def test_the_users_own_foreground_comes_back(attention, heart):
    pet = add_scan(heart, "PET")
    slicer.util.setSliceViewerLayers(background=attention.ui.inputSelector.currentNode(), foreground=pet,
                                     foregroundOpacity=0.3)
    before, pixels = foregrounds(), red_pixels()
    look(attention, "saliency")
    assert foregrounds() != before
    look(attention, "off")
    assert foregrounds() == before
    assert np.abs(red_pixels() - pixels).max() <= 2
    look(attention, "saliency")
    attention.leave()  # another module: the views are the user's again
    assert foregrounds() == before
    attention.show()
    settle(attention)
    assert foregrounds() != before
    attention.panel.self().cleanup()  # the end of Slicer
    assert foregrounds() == before


def test_a_saved_scene_has_the_users_views_and_no_leftovers(attention, scan, tmp_path):
    before = foregrounds()
    look(attention, "saliency")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    assert overlay(attention).isShown()  # it is only out of the way while the scene is written
    with zipfile.ZipFile(path) as bundle:
        (name,) = [name for name in bundle.namelist() if name.endswith(".mrml")]
        text = bundle.read(name).decode()
    assert "KAF attention" not in text
    assert "KAF keypoints" not in text
    saved = {item.get("id"): item.get("foregroundVolumeID", "") for item in ElementTree.fromstring(text)
             if item.tag == "SliceComposite"}
    assert saved == {key: node or "" for key, (node, _) in before.items()}


def test_the_colors_of_a_kept_map_go_with_its_scene(attention, heart, tmp_path):
    def saved(name):
        assert slicer.util.saveScene(str(tmp_path / name))
        with zipfile.ZipFile(tmp_path / name) as bundle:
            return next(bundle.read(each).decode() for each in bundle.namelist() if each.endswith(".mrml"))

    look(attention, "saliency")
    host.click(attention.ui.exportButton)
    assert "KAF attention colors" in saved("kept.mrb")
    host.close_scene()
    add_scan(heart)
    host.pump()
    look(attention, "saliency")
    assert "KAF attention colors" not in saved("next.mrb")


def test_opacity_threshold_and_legend(attention, pictures):
    attention.ui.keypointSlider.value = 0
    look(attention, "off")
    bare = red_pixels()
    attention.ui.legendCheckBox.checked = False
    attention.ui.hideSlider.value = 0
    look(attention, "saliency")
    attention.ui.opacitySlider.value = 0
    assert np.abs(red_pixels() - bare).max() <= 2
    attention.ui.opacitySlider.value = 1
    full = (np.abs(red_pixels() - bare).sum(2) > 20).mean()
    attention.ui.hideSlider.value = 0.5
    half = (np.abs(red_pixels() - bare).sum(2) > 20).mean()
    assert 0 < half < full
    without = red_pixels()
    attention.ui.legendCheckBox.checked = True
    assert (np.abs(red_pixels() - without).sum(2) > 20).sum() > 300


@pytest.mark.parametrize(("scale", "head", "numbers"), [
    ("4 (coarsest)", "Head 2", {"scale": 3, "head": 1}), ("1 (finest)", "Head 1", {"scale": 0, "head": 0}),
    ("Mean of all", "Head 1", {"head": 0}), ("1 (finest)", "Mean of all", {"scale": 0})])
def test_scale_and_head(attention, heart, library, scale, head, numbers):
    look(attention, "saliency")
    ui = attention.ui
    ui.attentionAdvancedGroupBox.checked = True
    host.pump()
    assert [ui.scaleComboBox.itemText(i) for i in range(ui.scaleComboBox.count)] == \
        ["Mean of all", "1 (finest)", "2", "3", "4 (coarsest)"]
    assert [ui.headComboBox.itemText(i) for i in range(ui.headComboBox.count)] == ["Mean of all", "Head 1", "Head 2"]
    host.choose(ui.scaleComboBox, scale)
    host.choose(ui.headComboBox, head)
    settle(attention)
    shown = slicer.util.arrayFromVolume(overlay(attention)._node)
    np.testing.assert_allclose(shown, expected(heart, library, **numbers).attention.voxels, atol=0.05)
    for left_out in numbers:  # where the choice made no difference, this would show nothing
        other = expected(heart, library, **{name: value for name, value in numbers.items() if name != left_out})
        assert np.abs(shown - other.attention.voxels).max() > 0.1


def test_uncertainty(attention, pictures):
    look(attention, "uncertainty")
    shown = slicer.util.arrayFromVolume(overlay(attention)._node)
    assert 0 <= shown.min() < shown.max() <= 1
    assert not len(drawn(attention)[0]) if attention.widget.segmentation.attention.keypoints._nodes else True
    assert not attention.ui.scaleComboBox.enabled
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []  # it only looks
    window = host.main_window(attention)
    pictures(window, "attention-uncertainty")
    window.hide()


def test_keep_as_volume_and_points(attention):
    assert not attention.ui.exportButton.enabled
    look(attention, "saliency")
    host.click(attention.ui.exportButton)
    volume, points = slicer.util.getNode("Heart attention"), slicer.util.getNode("Heart keypoints")
    shown = slicer.util.arrayFromVolume(overlay(attention)._node)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), shown)
    assert volume.GetSaveWithScene()
    assert not volume.GetHideFromEditors()
    assert points.GetNthControlPointLabel(0) == "K1"
    assert points.GetNthControlPointDescription(0).startswith("attention 0.")
    assert not points.GetDisplayNode().GetVisibility()
    assert attention.ui.messageLabel.text.startswith("Added 'Heart attention' and 'Heart keypoints'. Both are hidden")
    look(attention, "off")
    assert slicer.util.getNode("Heart attention") is volume


def test_a_segmentation_waits_for_the_attention_and_goes_on(attention):
    host.choose(attention.ui.viewComboBox, VIEWS["saliency"])
    run(attention)
    settle(attention)
    assert attention.ui.messageLabel.text.startswith("Done in ")
    assert overlay(attention).isShown()


def test_the_scene_is_closed_while_it_looks(attention):
    host.choose(attention.ui.viewComboBox, VIEWS["saliency"])
    host.pump(100)
    host.close_scene()
    host.pump(300)
    assert not overlay(attention).isShown()
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_a_model_without_keypoints_says_so(attention, library):
    from made_models import tiny_model

    path = tiny_model(library / "plain.safetensors", network={"fusion": "none"})
    try:
        attention.leave()
        attention.show()
        look(attention, "saliency")
        host.choose(attention.ui.modelComboBox, "plain")
        assert attention.ui.hintLabel.text == "This model has no keypoint attention."
        assert attention.ui.viewComboBox.currentText == "Nothing"
        assert not overlay(attention).isShown()
        for view in ("saliency", "from", "to"):
            with pytest.raises(host.NotClickable):
                host.choose(attention.ui.viewComboBox, VIEWS[view])
        look(attention, "uncertainty")
        assert overlay(attention).isShown()
        host.choose(attention.ui.modelComboBox, "tiny")
        look(attention, "saliency")
        assert overlay(attention).isShown()
    finally:
        path.unlink()
