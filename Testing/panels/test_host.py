"""The test host itself: a toy module is loaded, clicked and looked at, and broken copies of it must fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import host
from host.startup import checkedSources

host.start()

import qt  # noqa: E402
import slicer  # noqa: E402

TOY = Path(host.__file__).parent / "toy"


@pytest.fixture(autouse=True)
def fresh_scene():
    host.dialogs().clear()
    host.take_errors()
    host.close_scene()
    yield
    host.close_scene()


@pytest.fixture
def load(tmp_path):
    """Loads a copy of the toy module, after replacing texts in its two files."""
    loaded = []

    def make(code=(), ui=()):
        folder = shutil.copytree(TOY, tmp_path / "toy", ignore=shutil.ignore_patterns("__pycache__"))
        for path, changes in ((folder / "ToyThreshold.py", code), (ui_file(folder), ui)):
            text = path.read_text(encoding="utf-8")
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        loaded.append(host.load_module(folder / "ToyThreshold.py"))
        return loaded[-1]

    yield make
    for module in loaded:
        module.unload()


@pytest.fixture
def toy(load):
    module = load()
    module.show()
    return module


def ui_file(folder: Path) -> Path:
    return folder / "Resources" / "UI" / "ToyThreshold.ui"


def add_volume(name="Head"):
    """A bright ellipsoid of 200 in 0, and where it is."""
    z, y, x = np.mgrid[:20, :32, :32]
    inside = ((z - 10) / 7) ** 2 + ((y - 16) / 10) ** 2 + ((x - 16) / 12) ** 2 < 1
    node = slicer.util.addVolumeFromArray(np.float32(200) * inside, name=name)
    return node, inside


def labels(node, volume):
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, "bright", volume).astype(bool)


def test_the_ui_files_own_connections_deliver_the_scene(toy):
    assert toy.ui.inputSelector.mrmlScene() is slicer.mrmlScene
    assert toy.ui.outputSelector.mrmlScene() is slicer.mrmlScene
    assert toy.panel.isEntered
    assert toy.module.title == "Toy Threshold"
    host.check_errors()


def test_parameter_node_and_widgets_follow_each_other(toy):
    node, ui = toy.widget._parameterNode, toy.ui
    ui.thresholdSlider.value = 150
    ui.nameEdit.text = "tumour"
    host.choose(ui.sideCombo, "darker")
    ui.folderEdit.currentPath = "/data/logs"
    assert (node.threshold, node.segmentName, node.side) == (150, "tumour", toy.source.Side.below)
    assert node.logFolder == Path("/data/logs")
    node.threshold, node.segmentName, node.side = 75, "bone", toy.source.Side.above
    node.showSurface = True
    assert (ui.thresholdSlider.value, ui.nameEdit.text, ui.sideCombo.currentText) == (75, "bone", "brighter")
    assert ui.surfaceCheckBox.checked
    with pytest.raises(ValueError, match="501"):
        node.threshold = 501


def test_apply_is_disabled_without_a_volume(toy):
    assert not toy.ui.applyButton.enabled
    assert toy.ui.applyButton.toolTip == "Select a volume first"
    with pytest.raises(host.NotClickable):
        host.click(toy.ui.applyButton)
    volume, _ = add_volume()
    assert not toy.ui.applyButton.enabled  # "None" is allowed, so nothing selects itself
    host.choose(toy.ui.inputSelector, "Head")
    assert toy.ui.applyButton.enabled
    assert toy.widget._parameterNode.inputVolume is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert toy.ui.inputSelector.currentNode() is None
    assert not toy.ui.applyButton.enabled


def test_a_click_on_apply_segments_with_progress(toy):
    volume, inside = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    seen = []
    toy.ui.progressBar.valueChanged.connect(seen.append)
    host.click(toy.ui.applyButton)
    host.check_errors()
    assert seen == [30, 60, 100]
    assert toy.ui.progressBar.visible
    assert toy.ui.messageLabel.text == "Done."
    segmentation = toy.ui.outputSelector.currentNode()
    assert segmentation.GetClassName() == "vtkMRMLSegmentationNode"
    assert (labels(segmentation, volume) == inside).all()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(segmentation)


def test_an_error_reaches_the_person_in_words(toy):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    host.choose(toy.ui.inputSelector, "Empty")
    host.click(toy.ui.applyButton)
    (shown,) = host.dialogs().shown
    assert "Thresholding failed." in shown.text
    assert "Empty has no voxels: load it again" in shown.text
    (error,) = host.take_errors()  # tryWithErrorDisplay raises again
    assert isinstance(error, ValueError)


def test_closing_the_scene_resets_the_panel(toy):
    add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    toy.ui.thresholdSlider.value = 321
    host.close_scene()
    assert toy.ui.inputSelector.currentNode() is None
    assert not toy.ui.applyButton.enabled
    assert toy.ui.thresholdSlider.value == 100
    host.check_errors()


def test_a_saved_scene_brings_everything_back(toy, tmp_path):
    volume, inside = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    toy.ui.thresholdSlider.value = 130
    host.click(toy.ui.applyButton)
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    host.close_scene()
    slicer.util.loadScene(str(path))
    toy.panel.exit()
    toy.panel.enter()
    assert toy.ui.inputSelector.currentNode().GetName() == "Head"
    assert toy.ui.thresholdSlider.value == 130
    volume, segmentation = toy.ui.inputSelector.currentNode(), toy.ui.outputSelector.currentNode()
    assert (labels(segmentation, volume) == inside).all()
    host.check_errors()


def test_reload_makes_a_new_widget_that_works(toy):
    before = toy.widget
    toy.reload()
    assert toy.widget is not before
    assert toy.widget.parent is toy.panel
    add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    host.click(toy.ui.applyButton)
    assert toy.ui.messageLabel.text == "Done."
    host.check_errors()


def test_leaving_the_module_stops_its_observers(toy):
    volume, _ = add_volume()
    toy.leave()
    toy.logic.getParameterNode().inputVolume = volume
    assert not toy.ui.applyButton.enabled
    toy.show()
    assert toy.ui.applyButton.enabled


def test_the_modules_own_self_test_runs(toy):
    toy.module._instance.runTest(msec=1)


def test_a_worker_process_is_read_written_and_killed(toy):
    toy.ui.advancedCollapsibleButton.collapsed = False
    host.pump()
    host.click(toy.ui.workerButton)
    host.wait_until(lambda: toy.ui.logText.plainText == "ready\nhello\n", what="the worker's answer")
    toy.widget.process.kill()
    host.wait_until(lambda: toy.ui.messageLabel.text == "Stopped.", what="the worker's end")
    host.check_errors()


def test_a_folded_section_cannot_be_clicked(toy):
    with pytest.raises(host.NotClickable):
        host.click(toy.ui.workerButton)
    assert toy.ui.advancedCollapsibleButton.height < 60
    host.click(toy.ui.advancedCollapsibleButton)  # its middle is the header while it is folded
    assert toy.ui.workerButton.visible


def test_screenshots_show_panel_and_views(toy, tmp_path):
    volume, _ = add_volume()
    host.choose(toy.ui.inputSelector, "Head")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red")
    plain = host.pixels(red)
    assert plain.max() > 200
    assert plain.min() == 0
    host.click(toy.ui.applyButton)
    segmentation = toy.ui.outputSelector.currentNode()
    segmentation.GetSegmentation().GetSegment("bright").SetColor(1, 0, 0)
    segmentation.CreateClosedSurfaceRepresentation()
    coloured = host.pixels(red).astype(int)
    assert (coloured[..., 0] - coloured[..., 1] > 60).sum() > 1000
    three_d = slicer.app.layoutManager().threeDWidget(0)
    slicer.app.layoutManager().resetThreeDViews()
    surface = host.pixels(three_d).astype(int)
    assert (surface[..., 0] - surface[..., 2] > 40).sum() > 100
    for shown, name in ((toy, "panel"), (red, "red"), (three_d, "3d")):
        path = host.screenshot(shown, tmp_path / f"{name}.png")
        image = qt.QImage(str(path))
        assert len({image.pixel(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 7)}) > 10


def test_the_main_window_selects_modules(toy):
    window = host.main_window(toy, 1200, 800)
    assert slicer.util.mainWindow() is window
    assert slicer.util.selectedModule() == "ToyThreshold"
    assert toy.panel.visible
    assert host.pixels(window).shape == (800, 1200, 3)
    slicer.util.selectModule("Volumes")
    assert not toy.panel.isEntered
    slicer.util.selectModule("ToyThreshold")
    assert toy.panel.isEntered
    window.hide()
    assert not any(isinstance(getattr(host, name), type(host)) for name in host.__all__)


def test_a_removed_connection_leaves_the_selector_without_scene(load):
    connection = "<receiver>inputSelector</receiver>"
    text = ui_file(TOY).read_text(encoding="utf-8")
    start = text.rindex("<connection>", 0, text.index(connection))
    end = text.index("</connection>", start) + len("</connection>")
    module = load(ui=[(text[start:end], "")])
    module.show()
    assert module.ui.inputSelector.mrmlScene() is None
    assert not module.ui.inputSelector.enabled
    add_volume()
    with pytest.raises(host.NotClickable):
        host.choose(module.ui.inputSelector, "Head")
    assert any("inputSelector" in str(f) for f in host.lint_ui(ui_file(Path(module.module.path).parent)))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            '"clicked(bool)"',
            '"cliked(bool)"',
            "signal 'cliked(bool)' does not exist on QPushButton 'applyButton'",
        ),
        ('"clicked(bool)"', '"clicked(int)"', "signal 'clicked\\(int\\)' does not exist"),
        ("progressBar.visible = False", "progressBar.setVisible = False", "can not be overwritten"),
        ("progressBar.visible = False", "progressBar.shown = False", "'shown' does not exist"),
        ("progressBar.visible = False", "progresBar.visible = False", "has no attribute 'progresBar'"),
        ("progressBar.visible = False", "progressBar.visible()", "'bool' object is not callable"),
        ("progressBar.visible = False", "nameEdit.text()", "'str' object is not callable"),
        (
            "progressBar.visible = False",
            "inputSelector.setNoneEnabled(True)",
            "no attribute named 'setNoneEnabled'",
        ),
        (
            "progressBar.visible = False",
            "applyButton.text = qt.QSize()",
            "does not accept an object of type QSize",
        ),
        ("progressBar.visible = False", "progressBar.connect('valueChanged(int)', 3)", "not callable"),
    ],
)
def test_what_fails_in_slicer_fails_here(load, old, new, error):
    module = load(code=[(old, new)])
    with pytest.raises((AttributeError, TypeError, ValueError), match=error.replace("(bool)", r"\(bool\)")):
        module.show()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('class="ctkSliderWidget"', 'class="ctkSliderWidgett"', "no such widget class: ctkSliderWidgett"),
        ("<receiver>inputSelector<", "<receiver>inputSelektor<", "'inputSelektor', which does not exist"),
        ("mrmlSceneChanged(", "mrmlSceneChange(", "does not exist on qMRMLWidget"),
        ("<slot>setMRMLScene(", "<slot>setScene(", "no|does not exist on qMRMLNodeComboBox"),
    ],
)
def test_a_broken_ui_file_does_not_load_and_is_found_by_the_lint(load, old, new, error):
    module = load(ui=[(old, new)])
    with pytest.raises((ValueError, AttributeError), match=error):
        module.show()
    assert host.lint_ui(ui_file(Path(module.module.path).parent))


def test_the_lints_find_nothing_in_the_toy_and_what_is_wrong_in_others(tmp_path):
    assert host.lint_ui(ui_file(TOY), TOY) == []
    assert host.lint_keyword_arguments(TOY.rglob("*.py")) == []
    assert host.lint_dialect(TOY.rglob("*.py")) == []
    source = tmp_path / "bad.py"
    source.write_text(
        "import qt, slicer\n"
        "label = qt.QLabel(text='x')\n"
        "label.setText('y')\n"
        "label.setEnabled(enabled=True)\n"
        "slicer.util.errorDisplay('x', windowTitle='y')\n"
        "def use(self):\n"
        "    self.timer = qt.QTimer()\n"
        "    self.timer.start(msec=3)\n"
        "    self.ui.applyButton.setToolTip(text='x')\n"
        "    self.ui.aplyButton.click()\n"
        "    label.alignment = qt.Qt.AlignmentFlag.AlignLeft\n"
        "    label.alignment = qt.Qt.AlignLeft\n"
        "    self.ui.checkBox.connect('stateChanged(int)', use)\n"
        "    with qt.QSignalBlocker(label):\n"
        "        qt.QTimer.singleShot(0, label, use)\n",
        encoding="utf-8",
    )
    assert [finding.line for finding in host.lint_keyword_arguments([source])] == [2, 4, 8, 9]
    assert [finding.line for finding in host.lint_dialect([source])] == [11, 13, 14, 15]
    found = [finding.text for finding in host.lint_ui(ui_file(TOY), tmp_path)]
    assert found == [f"ui.{name} is not in ToyThreshold.ui" for name in ("aplyButton", "checkBox")]


def test_stand_ins_have_no_public_name_that_the_real_class_lacks():
    from host.lint.public_names import unknownNames

    assert unknownNames() == []


def test_dialogs_are_recorded_and_never_wait():
    box = qt.QMessageBox
    host.dialogs().answer(box.No)
    assert box.question(None, "Title", "Really?", box.Yes | box.No) == box.No
    assert slicer.util.confirmOkCancelDisplay is not None
    host.dialogs().answer(box.Ok, "/data/scan.nrrd", None)
    assert slicer.util.confirmOkCancelDisplay("Go on?")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "") == ("/data/scan.nrrd", "")
    assert qt.QFileDialog.getExistingDirectory(None, "Folder", "") == ""
    assert host.dialogs().texts()[:2] == ["Really?", "Go on?"]
    with pytest.raises(host.UnansweredDialog, match="Go on"):
        slicer.util.confirmOkCancelDisplay("Go on?")


def test_slicers_own_files_and_an_older_slicer_without_window(tmp_path):
    for name in ("ScriptedLoadableModule.py", "i18n.py", "parameterNodeWrapper/__init__.py", "packaging.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ORIGIN = 'given'\n", encoding="utf-8")
    code = (
        "import host, sys; host.start(slicerSources=sys.argv[1], version=(5, 10), mainWindow=False);"
        "import slicer.i18n, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper as p, importlib.util as u;"
        "print(slicer.i18n.ORIGIN, slicer.ScriptedLoadableModule.ORIGIN, p.ORIGIN);"
        "print(slicer.app.minorVersion, u.find_spec('slicer.packaging'), slicer.util.mainWindow())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(host.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert "given given given\n10 None None" in done.stdout, done.stderr
    (tmp_path / "i18n.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks Slicer's i18n.py"):
        checkedSources(tmp_path)
