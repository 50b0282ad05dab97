"""Broken copies of the module must fail on the host: every connection of its .ui file removed, signals misspelt,
properties called as methods, names that do not exist, keyword arguments. What passes here unnoticed would be found
by a person in Slicer."""

import builtins
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from mutations import (
    NoPlace,
    assignmentRemoved,
    byName,
    callAsProperty,
    callRemoved,
    countSignals,
    readAsMethod,
    renamed,
    signalMisspelt,
    throughClass,
    uiChanged,
)
from segmentation_panel import MODULE, ReadySetup, add_scan

import host

UI = Path("Resources/UI/KAFSegmentation.ui")


class SilentClient:
    """A worker that starts, takes every request and never answers."""

    detail = ""

    def start(self):
        pass

    def submit(self, *_):
        return self

    def poll(self):
        return False

    def cancel(self):
        pass

    def close(self):
        pass


@pytest.fixture
def broken(library, heart, tmp_path):
    """Uses a copy of the module after ``change(folder)``; raises what a test would fail with."""
    ours = {name: found for name, found in sys.modules.items() if name.split(".")[0] == "KAFSegmentationLib"}
    path = list(sys.path)
    loaded = []

    def use(change=lambda folder: None):
        folder = tmp_path / "KAFSegmentation"
        ignored = shutil.ignore_patterns("__pycache__", "kaf", "models")
        shutil.copytree(MODULE, folder, ignore=ignored)
        change(folder)
        for name in ours:
            sys.modules.pop(name, None)
        module = host.load_module(folder / "KAFSegmentation.py")
        loaded.append(module)
        module.source.KAFSegmentationWidget.makeSetup = ReadySetup
        walk(module, heart)
        check(folder)

    host.close_scene()
    host.dialogs().clear()
    host.take_errors()
    yield use
    for module in loaded:
        put_away(module)
    sys.path[:] = path
    for name, found in list(sys.modules.items()):
        if str(getattr(found, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.modules.update(ours)
    host.take_errors()
    host.close_scene()


def put_away(module):
    """Ends a module that may not be able to end itself: nothing of it may hear of the tests that follow."""
    widget = module.module._widget and module.widget
    if widget is not None:
        name = "moduleAboutToBeUnloaded(QString)"
        slicer.app.moduleManager().disconnect(name, widget._onModuleAboutToBeUnloaded)
        part = widget.segmentation
        for end in (part.exit, part.attention.exit, part.attention.clicks.close, part.adaptation.close,
                    part.manyScans.close, part.results.close, part.logic.close, part.logic.removeObservers,
                    part.removeObservers):
            with suppress(Exception):
                end()
        part.parameters = part.attention.parameters = None
        part.adaptation.structures.parameters = part.adaptation.examples.parameters = None
        module.panel._entered = False
    module.unload()


def walk(module, heart):
    """What a person does first, and what must be seen then."""
    module.widget.logic.backend._makeClient = lambda **_: SilentClient()
    module.widget.logic.getParameterNode().modelName = "tiny"
    module.show()
    ui = module.ui
    for widget in vars(ui).values():
        if hasattr(widget, "mrmlScene"):
            assert widget.mrmlScene() is slicer.mrmlScene, f"{widget.name} has no scene"
    assert ui.forecastLabel.text == "Choose a scan to begin."
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    assert "tiny" in ui.modelComboBox.currentText
    ui.optionsGroupBox.checked = True
    ui.attentionSection.collapsed = False
    host.pump()
    host.choose(ui.viewComboBox, "Attention of the whole scan")
    host.check_errors()
    assert module.widget.logic.backend.isBusy()
    host.choose(ui.viewComboBox, "Nothing")
    module.panel.window().activateWindow()
    ui.applyButton.setFocus()
    host.press_key(ui.applyButton, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    host.check_errors()
    assert ui.applyButton.text == "Cancel"
    host.pump(50)
    from kaf.runtime.events import Progress

    module.widget.segmentation._onEvent(Progress("segmenting", 1, 2, 3.0))
    assert ui.progressBar.value == 500
    host.click(ui.applyButton)
    assert ui.applyButton.text == "Apply"
    ui.adaptSection.collapsed = False
    host.pump()
    host.click(ui.newStructureButton)
    host.click(ui.addExampleButton)
    host.check_errors()
    assert ui.structureList.item(0).text() == "New structure"
    assert ui.exampleList.count == 1
    ui.exampleList.setCurrentRow(0)
    host.click(ui.removeExampleButton)
    assert ui.exampleList.count == 0
    ui.adaptSection.collapsed = True
    ui.logSection.collapsed = False
    host.pump()
    host.click(ui.diagnoseButton)
    assert "Python: " in ui.logText.plainText
    from KAFSegmentationLib.backend.ShortJob import ShortJob

    host.dialogs().answer(lambda gallery: gallery.reject())
    host.click(ui.modelGalleryButton)
    host.check_errors()
    ShortJob(sys.executable, ["--help"], lambda event: None, lambda values, error: None).close()
    module.leave()
    module.widget.logic.getParameterNode().modelName = "elsewhere"  # a scene of another computer
    module.show()
    assert ui.modelComboBox.currentText == "elsewhere (not on this computer)"
    module.leave()
    host.check_errors()


def check(folder):
    """What the lints would say."""
    sources = [folder / "KAFSegmentation.py", *sorted((folder / "KAFSegmentationLib").rglob("*.py"))]
    assert host.lint_ui(folder / UI, folder) == []
    assert host.lint_keyword_arguments(sources) == []
    assert host.lint_dialect(sources) == []


def connections():
    """The connections of the .ui file: (sender, signal, receiver, slot)."""
    found = ElementTree.parse(MODULE / UI).iter("connection")
    return [tuple(connection.findtext(part) for part in ("sender", "signal", "receiver", "slot"))
            for connection in found]


def test_as_it_is_it_passes_and_makes_every_connection(broken, monkeypatch):
    """A signal that does not exist fails where it is connected; so it is enough that each is, once."""
    reported, there = set(), set()

    def hear(*site):
        reported.add(site)
        return site[-1]

    monkeypatch.setattr(builtins, "hearSignal", hear, raising=False)
    broken(lambda folder: there.update(countSignals(folder, "hearSignal")))
    assert len(there) > 15
    assert there - reported == set()
    assert len(connections()) >= 3


MISSPELT = signalMisspelt("KAFSegmentation", "startupCompleted()")


def test_one_broken_copy_does_not_break_the_next(broken, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        broken(MISSPELT.apply)
    shutil.rmtree(tmp_path / "KAFSegmentation")
    broken()


@pytest.mark.parametrize("mutation", [
    signalMisspelt("RunControls", "clicked(bool)"),
    signalMisspelt("AttentionChoices", "currentIndexChanged(int)"),
    signalMisspelt("StructureChoice", "itemChanged(QListWidgetItem*)")], ids=str)
def test_with_a_signal_that_does_not_exist(broken, mutation):
    with pytest.raises((ValueError, AttributeError, AssertionError), match="does not exist"):
        broken(mutation.apply)


def inUi(change):
    return lambda folder: uiChanged(folder / UI, change)


@pytest.mark.parametrize("number", range(len(connections())))
def test_without_one_connection_of_the_ui_file(broken, number):
    def remove(element):
        if element.tag == "connections":
            element.remove(element.findall("connection")[number])
        return element.tag == "connections"

    with pytest.raises((AssertionError, host.NotClickable)):
        broken(inUi(remove))


def attribute(widget, name, new):
    """Changes an attribute of the widget of this name."""
    def change(element):
        if element.tag == "widget" and element.get("name") == widget:
            element.set(name, new)
            return True
        return False

    return inUi(change)


def text(old, new):
    """Changes a text."""
    def change(element):
        if element.text == old:
            element.text = new
            return True
        return False

    return inUi(change)


FAILURES = (AssertionError, AttributeError, TypeError, ValueError, host.NotClickable)


@pytest.mark.parametrize("mutation", [
    # a property called as a method
    readAsMethod("MessageLine", "self._label.text"),
    readAsMethod("RunControls", "self._button.enabled"),
    readAsMethod("ModelSelector", "self._combo.count"),
    readAsMethod("_fill", "comboBox.count"),
    readAsMethod("PreRunChecks", "self._label.text"),
    readAsMethod("ExampleList", "self.ui.exampleList.count"),
    # a method written like a property
    renamed("MessageLine", "self._frame.visible", "setVisible"),
    callAsProperty("AttentionChoices", "self.ui.viewComboBox.setCurrentIndex"),
    # a wrong name
    renamed("RunControls", "self._bar.maximum", "maximun"),
    renamed("RunControls", "self._bar.format", "formatt"),
    renamed("RunControls", "self._button.toolTip", "tooltip"),
    renamed("SegmentationWidget", "self.ui.framesCheckBox", "framesCheckbox"),
    renamed("shortcut", "qt.Qt.WidgetWithChildrenShortcut", "WidgetAndChildrenShortcut"),
    renamed("ModelSelector", "self._combo.addItem", "appendItem"),
    renamed("StructureChoice", "segments.maximumHeight", "maximalHeight"),
    renamed("EmbeddedEditor", "editor.setEffectNameOrder", "setEffectNamesOrder"),
    renamed("ScanSlices", "manager.sliceViewNames", "sliceViewsNames"),
    # arguments by name, which PythonQt does not take
    byName("AttentionChoices", "ui.viewComboBox.addItem", "text"),
    byName("shortcut", "made.setContext", "context"),
    # what PySide6 has and PythonQt has not
    throughClass("shortcut", "qt.Qt.WidgetWithChildrenShortcut", "ShortcutContext"),
    # the module's own part in the dance
    callRemoved("KAFSegmentationWidget", "uiWidget.setMRMLScene"),
    callRemoved("KAFSegmentationWidget", "self.segmentation.enter"),
    assignmentRemoved("RunControls", "self._button.text", "start"),
], ids=str)
def test_what_would_fail_in_slicer_fails_here(broken, mutation):
    with pytest.raises(FAILURES) as caught:
        broken(mutation.apply)
    assert not isinstance(caught.value, NoPlace), caught.value


@pytest.mark.parametrize("change", [
    pytest.param(attribute("inputSelector", "class", "qMRMLNodeCombobox"), id="class"),
    pytest.param(attribute("applyButton", "name", "aplyButton"), id="name"),
    pytest.param(text("inputVolume", "inputVolumes"), id="parameter")])
def test_a_mistake_in_the_ui_file_is_found(broken, change):
    with pytest.raises(FAILURES) as caught:
        broken(change)
    assert not isinstance(caught.value, NoPlace), caught.value


@pytest.mark.parametrize("mutation", [renamed("RunControls", "self._bar.nothing", "x"),
                                      callRemoved("Nobody", "self.run")], ids=str)
def test_a_mutation_without_a_place_says_so(mutation):
    with pytest.raises(NoPlace, match=r"nothing like it|no class or function"):
        mutation.apply(MODULE / "KAFSegmentationLib")
